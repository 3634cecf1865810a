// Command init is the first process of a virtual machine that tests the packet
// filter under another kernel. It mounts the usual file systems, loads the
// modules in /modules, runs each test binary in /tests with test2json, one after
// the other, and switches the machine off. What it writes to the console is what
// "go test -json" would, and as its last line
//
//	guest: KERNEL ran N packages, M failed
//
// A machine that ends without that line did not get so far.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(); err != nil {
		fmt.Println("guest:", err)
	}
	unix.Sync()
	// On a machine that cannot be switched off, the end of the first process is a
	// panic, which ends it as well.
	fmt.Println("guest: off:", unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

func run() error {
	if err := mounts(); err != nil {
		return err
	}
	plainConsole()
	if err := load(); err != nil {
		return err
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	list, err := os.Open("/tests/list")
	if err != nil {
		return err
	}
	defer list.Close()
	var ran, failed int
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		// PACKAGE FILE FLAGS...
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		ran++
		if err := test(words[0], words[1], words[2:]); err != nil {
			failed++
		}
	}
	if lines.Err() != nil {
		return lines.Err()
	}
	fmt.Printf("guest: %s ran %d packages, %d failed\n", unix.ByteSliceToString(u.Release[:]), ran, failed)
	return nil
}

// mounts makes the file systems that programs expect.
func mounts() error {
	for _, m := range []struct{ kind, at, options string }{
		{"proc", "/proc", ""},
		{"sysfs", "/sys", ""},
		{"devtmpfs", "/dev", ""},
		{"tmpfs", "/tmp", "mode=1777"},
		{"tmpfs", "/run", "mode=0755"},
		{"bpf", "/sys/fs/bpf", "mode=0700"},
		{"cgroup2", "/sys/fs/cgroup", ""},
	} {
		if err := unix.Mount(m.kind, m.at, m.kind, 0, m.options); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	return nil
}

// plainConsole keeps the terminal from changing the ends of lines.
func plainConsole() {
	t, err := unix.IoctlGetTermios(1, unix.TCGETS)
	if err != nil {
		return
	}
	t.Oflag &^= unix.OPOST
	_ = unix.IoctlSetTermios(1, unix.TCSETS, t)
}

// load loads the modules in the order of their names.
func load() error {
	files, err := filepath.Glob("/modules/*.ko")
	if err != nil {
		return err
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		_ = f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load %s: %w", filepath.Base(name), err)
		}
	}
	return nil
}

// test runs one test binary in the folder of its package.
func test(pkg, file string, flags []string) error {
	dir := filepath.Join("/src", pkg)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	args := append([]string{"-t", "-p", pkg, file, "-test.v=test2json"}, flags...)
	cmd := exec.Command("/bin/test2json", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stdout
	cmd.Env = append(os.Environ(), "PATH=/bin:/usr/bin:/sbin:/usr/sbin", "HOME=/tmp", "IRONPOST_TEST_GUEST=1")
	return cmd.Run()
}
