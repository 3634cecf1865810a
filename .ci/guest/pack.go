// Command pack writes the initial file system of a virtual machine that tests
// the packet filter under another kernel:
//
//	pack -o initramfs.cpio -kernel DIR -modules veth,bonding /init=build/init /bin/nmap=/usr/bin/nmap
//
// DIR is an unpacked kernel package. The modules, and those that they depend on,
// go to /modules, numbered in the order in which they have to be loaded; those
// that are built into the kernel are left out. Each further argument is the path
// of a file in the machine and that of a file or a folder here. The archive is a
// cpio of the form "newc" (Documentation/driver-api/early-userspace/buffer-format.rst
// of the kernel).
package main

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	out := flag.String("o", "", "the archive")
	kernel := flag.String("kernel", "", "an unpacked kernel package")
	modules := flag.String("modules", "", "names of modules, with commas")
	flag.Parse()
	if err := pack(*out, *kernel, strings.Split(*modules, ","), flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func pack(out, kernel string, modules, files []string) error {
	found, err := findModules(kernel)
	if err != nil {
		return err
	}
	order, err := found.order(modules)
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	a := &archive{w: w, made: map[string]bool{}}
	for _, dir := range []string{"proc", "sys", "dev", "tmp", "run"} {
		a.folder(dir)
	}
	for i, m := range order {
		a.file(fmt.Sprintf("modules/%03d-%s.ko", i, m.name), m.content, 0o644)
	}
	for _, arg := range files {
		to, from, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q is not GUEST=HOST", arg)
		}
		if err := a.tree(strings.TrimPrefix(to, "/"), from); err != nil {
			return err
		}
	}
	a.entry("TRAILER!!!", 0, nil)
	return errors.Join(a.err, w.Flush(), f.Close())
}

// archive writes a cpio. Its first error stays in err.
type archive struct {
	w     io.Writer
	made  map[string]bool
	inode int
	err   error
}

const (
	modeFile   = 0o100000
	modeFolder = 0o040000
)

// entry writes one entry, padded to four bytes.
func (a *archive) entry(name string, mode int, content []byte) {
	a.inode++
	head := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		a.inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
	for _, part := range [][]byte{[]byte(head), content} {
		if a.err == nil {
			_, a.err = a.w.Write(part)
		}
		if a.err == nil {
			_, a.err = a.w.Write(make([]byte, -len(part)&3))
		}
	}
}

// folder makes a folder and those above it, once.
func (a *archive) folder(name string) {
	if name == "." || name == "/" || a.made[name] {
		return
	}
	a.folder(path.Dir(name))
	a.made[name] = true
	a.entry(name, modeFolder|0o755, nil)
}

func (a *archive) file(name string, content []byte, perm fs.FileMode) {
	if a.made[name] {
		return
	}
	a.folder(path.Dir(name))
	a.made[name] = true
	a.entry(name, modeFile|int(perm), content)
}

// tree copies a file, or a folder with what is in it. Links are followed.
func (a *archive) tree(to, from string) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		in := path.Join(to, filepath.ToSlash(relative))
		if d.IsDir() {
			a.folder(in)
			return nil
		}
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		a.file(in, content, info.Mode().Perm())
		return a.err
	})
}

type module struct {
	name    string
	content []byte
}

// modules are those of an unpacked kernel package. It has no modules.dep, which
// is made when a kernel is installed; each module names what it needs.
type modules struct {
	files   map[string]string
	builtin map[string]bool
}

func findModules(kernel string) (*modules, error) {
	// Before and after Debian joined /lib and /usr/lib.
	var roots []string
	for _, lib := range []string{"lib", "usr/lib"} {
		found, err := filepath.Glob(filepath.Join(kernel, lib, "modules", "*"))
		if err != nil {
			return nil, err
		}
		roots = append(roots, found...)
	}
	if len(roots) != 1 {
		return nil, fmt.Errorf("%s has modules of %d kernels, want one", kernel, len(roots))
	}
	m := &modules{files: map[string]string{}, builtin: map[string]bool{}}
	text, err := os.ReadFile(filepath.Join(roots[0], "modules.builtin"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		m.builtin[moduleName(strings.TrimSpace(line))] = true
	}
	return m, filepath.WalkDir(roots[0], func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(d.Name(), ".ko") {
			m.files[moduleName(name)] = name
		}
		return err
	})
}

// moduleName is the name of a module by that of its file. The kernel takes - and
// _ for the same.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(filepath.ToSlash(file)), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// order returns the modules and what they need, each after what it needs.
func (m *modules) order(names []string) (out []module, err error) {
	seen := map[string]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		name = moduleName(name)
		if name == "" || seen[name] || m.builtin[name] {
			return nil
		}
		seen[name] = true
		file, ok := m.files[name]
		if !ok {
			return fmt.Errorf("this kernel has no module %s", name)
		}
		content, err := readModule(file)
		if err != nil {
			return err
		}
		needs, err := dependencies(content)
		if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		for _, n := range needs {
			if err := visit(n); err != nil {
				return err
			}
		}
		out = append(out, module{name, content})
		return nil
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readModule reads a module; newer packages have them compressed.
func readModule(file string) ([]byte, error) {
	if filepath.Ext(file) == ".xz" {
		content, err := exec.Command("xz", "-dc", file).Output()
		if err != nil {
			return nil, fmt.Errorf("xz -dc %s: %w", file, err)
		}
		return content, nil
	}
	return os.ReadFile(file)
}

// dependencies reads the modules that one needs out of its section .modinfo:
// strings of the form key=value, each with a zero byte.
func dependencies(content []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	var out []string
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if value, ok := bytes.CutPrefix(field, []byte("depends=")); ok {
			out = append(out, strings.Split(string(value), ",")...)
		}
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" }), nil
}
