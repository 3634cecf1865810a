package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of discovery.
const (
	// MaxCandidates is how many executables all plugin directories together may hold.
	MaxCandidates = 256
	// MaxFileSize is the largest plugin, in bytes.
	MaxFileSize = 512 << 20

	maxFileName   = 128
	maxDirEntries = 8192 // read from one directory
)

// Candidate is one executable in a plugin directory.
type Candidate struct {
	// File is the file's name, which names the plugin until it has been described. When it
	// is unusable (IP108) it is quoted here, so that it can be shown.
	File string
	// Path is absolute.
	Path string
	// Size in bytes and Mode, as they were seen.
	Size int64
	Mode fs.FileMode
	// Refusal says why the candidate may not even be described; nil if it may.
	Refusal *Refusal
}

// Options of a scan. The zero value is the strictest: only root's files are right.
type Options struct {
	// HostUID is the host's effective user, whose files are right.
	HostUID uint32
	// HostExecutable is the path of the host's own executable, whose owner's
	// files are right, and the directories on whose path are accepted as they
	// are: whoever can change those controls the host already. May be empty.
	HostExecutable string
	// Expected says whether a file of this name is a built or enabled plugin. It is
	// then refused, rather than ignored, when it is not executable. May be nil.
	Expected func(file string) bool
}

// Digest returns the SHA-256 in lower-case hex of a regular file, without following a link in
// its last element. What is executed is hashed by [Store.Import]; this is for comparing.
func Digest(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return "", fmt.Errorf("hash plugin: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("hash plugin %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return "", NewRefusal(NotRegular, fmt.Sprintf("%s is a %s", path, kindOf(info.Mode())), "a regular file", "mv "+Quote(path)+" "+Quote(path+".old"))
	}
	digest, err := hashUpTo(f, io.Discard)
	if err != nil {
		return "", importError(path, err)
	}
	return digest, nil
}

// HostOptions returns the options of the running host.
func HostOptions(expected func(file string) bool) (Options, error) {
	exe, err := os.Executable()
	if err != nil {
		return Options{}, fmt.Errorf("find the host's executable: %w", err)
	}
	uid := max(os.Geteuid(), 0) // -1 where there is no such thing
	return Options{HostUID: uint32(uid), HostExecutable: exe, Expected: expected}, nil
}

// Scan returns the candidates in dirs, in the order of dirs and then of file
// names, not recursively. A directory that does not exist is skipped, and one that is given
// twice is read once. The error joins what went wrong with whole
// directories; the candidates are valid with it. Each refusal is in its Candidate.
func Scan(dirs []string, opts Options) ([]Candidate, error) {
	var (
		found []Candidate
		errs  []error
		seen  = make(map[string]bool)
		rules = newRules(opts)
	)
	for _, dir := range dirs {
		abs, err := filepath.Abs(dir)
		if err != nil {
			errs = append(errs, fmt.Errorf("plugin directory %s: %w", dir, err))
			continue
		}
		real, err := filepath.EvalSymlinks(abs)
		if errors.Is(err, fs.ErrNotExist) || err == nil && seen[real] {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("plugin directory %s: %w", dir, err))
			continue
		}
		seen[real] = true
		names, err := fileNames(abs)
		if err != nil {
			errs = append(errs, fmt.Errorf("plugin directory %s: %w", dir, err))
		}
		dirRefusal := rules.checkPath(abs)
		for _, name := range names {
			c, ok := rules.inspect(abs, name, dirRefusal)
			if !ok {
				continue
			}
			if len(found) == MaxCandidates {
				errs = append(errs, NewRefusal(TooMany, fmt.Sprintf("more than %d executables; %s and those after it are left out", MaxCandidates, c.Path),
					fmt.Sprintf("at most %d in all plugin directories", MaxCandidates), "mv "+Quote(c.Path)+" elsewhere"))
				return found, errors.Join(errs...)
			}
			found = append(found, c)
		}
	}
	return found, errors.Join(errs...)
}

// Check applies the rules to one file and everything on its path, wherever it lies: one that
// was named or installed, or a plugins.sha256. It returns nil or the refusal.
func Check(path string, opts Options) *Refusal {
	abs, err := filepath.Abs(path)
	if err != nil {
		return NewRefusal(Unreadable, err.Error(), "a path that exists", "ls -l "+Quote(path))
	}
	r := newRules(opts)
	info, err := os.Lstat(abs)
	if err != nil {
		return unreadable(abs, err)
	}
	if ref := r.checkPath(filepath.Dir(abs)); ref != nil {
		return ref
	}
	return r.checkFile(abs, info)
}

// fileNames lists a directory, sorted.
func fileNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(maxDirEntries + 1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	slices.Sort(names)
	if len(names) > maxDirEntries {
		names = names[:maxDirEntries]
		err = cmp.Or(err, fmt.Errorf("more than %d entries; the others are left out", maxDirEntries))
	}
	return names, err
}

// rules are what files and paths are held to.
type rules struct {
	opts     Options
	owners   map[uint32]bool
	hostDirs map[string]bool // directories on the host executable's own path
}

func newRules(opts Options) *rules {
	r := &rules{opts: opts, owners: map[uint32]bool{0: true, opts.HostUID: true}, hostDirs: make(map[string]bool)}
	if opts.HostExecutable == "" {
		return r
	}
	paths := []string{opts.HostExecutable}
	if real, err := filepath.EvalSymlinks(opts.HostExecutable); err == nil {
		paths = append(paths, real)
		if info, err := os.Stat(real); err == nil {
			if uid, ok := owner(info); ok {
				r.owners[uid] = true
			}
		}
	}
	for _, p := range paths {
		for d := filepath.Dir(p); !r.hostDirs[d]; d = filepath.Dir(d) {
			r.hostDirs[d] = true
		}
	}
	return r
}

// inspect looks at one directory entry. It returns false for what is no candidate.
func (r *rules) inspect(dir, name string, dirRefusal *Refusal) (Candidate, bool) {
	path := filepath.Join(dir, name)
	c := Candidate{File: name, Path: path}
	expected := r.opts.Expected != nil && r.opts.Expected(name)
	info, err := os.Lstat(path)
	if err != nil {
		// A file that went away since it was listed is no candidate.
		c.Refusal = unreadable(path, err)
		return c, expected && !errors.Is(err, fs.ErrNotExist)
	}
	c.Size, c.Mode = info.Size(), info.Mode()
	if info.Mode().Type() == fs.ModeSymlink {
		target, err := os.Stat(path)
		if !expected && (err != nil || !target.Mode().IsRegular() || target.Mode().Perm()&0o111 == 0) {
			return c, false
		}
	} else if !expected && (!info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0) {
		return c, false
	}
	if len(name) > maxFileName || !utf8.ValidString(name) || strings.IndexFunc(name, unprintable) >= 0 {
		c.File = fmt.Sprintf("%.64q", name)
		c.Refusal = NewRefusal(BadFileName, fmt.Sprintf("%.200q (%d bytes)", name, len(name)),
			fmt.Sprintf("printable UTF-8 of at most %d bytes", maxFileName), "mv "+Quote(path)+" "+Quote(filepath.Join(dir, "plugin")))
		return c, true
	}
	if c.Refusal = r.checkFile(path, info); c.Refusal == nil {
		c.Refusal = dirRefusal
	}
	return c, true
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// checkFile applies the rules that concern the file itself.
func (r *rules) checkFile(path string, info fs.FileInfo) *Refusal {
	mode := info.Mode()
	switch {
	case mode.Type() == fs.ModeSymlink:
		target, err := os.Readlink(path)
		if err != nil {
			return unreadable(path, err)
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		return NewRefusal(SymbolicLink, fmt.Sprintf("%s is a link to %s", path, target), "a regular file",
			fmt.Sprintf("cp --remove-destination %s %s", Quote(target), Quote(path)))
	case !mode.IsRegular():
		return NewRefusal(NotRegular, fmt.Sprintf("%s is a %s", path, kindOf(mode)), "a regular file", "mv "+Quote(path)+" "+Quote(path+".old"))
	}
	if uid, ok := owner(info); ok && !r.owners[uid] {
		return NewRefusal(WrongOwner, fmt.Sprintf("%s belongs to user %d", path, uid), r.wantedOwner(), r.chown(path))
	}
	switch {
	case mode&(fs.ModeSetuid|fs.ModeSetgid) != 0:
		return NewRefusal(SetID, fmt.Sprintf("%s has mode %04o", path, unixMode(mode)), "neither setuid nor setgid", "chmod ug-s "+Quote(path))
	case mode.Perm()&0o022 != 0:
		return NewRefusal(WritableFile, fmt.Sprintf("%s has mode %04o", path, unixMode(mode)), "not writable by group or others", "chmod go-w "+Quote(path))
	case mode.Perm()&0o111 == 0 && r.opts.Expected != nil && r.opts.Expected(filepath.Base(path)):
		return NewRefusal(NotExecutable, fmt.Sprintf("%s has mode %04o", path, unixMode(mode)), "executable", "chmod 0755 "+Quote(path))
	case info.Size() > MaxFileSize:
		return NewRefusal(TooLarge, fmt.Sprintf("%s is %d bytes", path, info.Size()), fmt.Sprintf("at most %d bytes", int64(MaxFileSize)), "strip "+Quote(path))
	}
	return nil
}

// checkPath applies the rules to a directory and everything that leads to it,
// through symbolic links: each link's own directory and its target's.
func (r *rules) checkPath(dir string) *Refusal {
	const maxLinks = 40 // MAXSYMLINKS of the kernel
	root := filepath.VolumeName(dir) + string(filepath.Separator)
	rest := splitPath(dir)
	at := root
	if ref := r.checkDir(at); ref != nil {
		return ref
	}
	for links := 0; len(rest) > 0; {
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(next)
		if err != nil {
			return unreadable(next, err)
		}
		if info.Mode().Type() != fs.ModeSymlink {
			at = next
			if ref := r.checkDir(at); ref != nil {
				return ref
			}
			continue
		}
		if links++; links > maxLinks {
			return NewRefusal(Unreadable, fmt.Sprintf("%s: more than %d symbolic links", dir, maxLinks), "a path without a loop", "ls -l "+Quote(next))
		}
		// The target is whatever the owner of the link says.
		if uid, ok := owner(info); ok && !r.owners[uid] && !r.hostDirs[at] {
			return NewRefusal(WrongPathOwner, fmt.Sprintf("the link %s belongs to user %d", next, uid), r.wantedOwner(), r.chown(next))
		}
		target, err := os.Readlink(next)
		if err != nil {
			return unreadable(next, err)
		}
		if filepath.IsAbs(target) {
			at = root
		}
		rest = append(splitPath(target), rest...)
	}
	return nil
}

// splitPath returns the elements of a path. It keeps "..", which means the
// parent of what a link before it led to.
func splitPath(path string) []string {
	path = path[len(filepath.VolumeName(path)):]
	return slices.DeleteFunc(strings.FieldsFunc(path, func(c rune) bool { return c < utf8.RuneSelf && os.IsPathSeparator(uint8(c)) }),
		func(e string) bool { return e == "." })
}

func (r *rules) checkDir(dir string) *Refusal {
	info, err := os.Lstat(dir)
	if err != nil {
		return unreadable(dir, err)
	}
	if r.hostDirs[dir] {
		return nil
	}
	uid, ok := owner(info)
	if !ok {
		return nil // no owners on this system
	}
	if !r.owners[uid] {
		return NewRefusal(WrongPathOwner, fmt.Sprintf("the directory %s belongs to user %d", dir, uid), r.wantedOwner(), r.chown(dir))
	}
	if info.Mode().Perm()&0o022 != 0 && !(info.Mode()&fs.ModeSticky != 0 && uid == 0) {
		return NewRefusal(WritablePath, fmt.Sprintf("the directory %s has mode %04o", dir, unixMode(info.Mode())),
			"not writable by group or others", "chmod go-w "+Quote(dir))
	}
	return nil
}

func (r *rules) wantedOwner() string {
	ids := make([]string, 0, len(r.owners))
	for uid := range r.owners {
		if uid == 0 {
			ids = append(ids, "root")
		} else {
			ids = append(ids, fmt.Sprintf("user %d", uid))
		}
	}
	slices.Sort(ids)
	return strings.Join(ids, " or ")
}

func (r *rules) chown(path string) string {
	to := "root"
	if r.opts.HostUID != 0 {
		to = fmt.Sprint(r.opts.HostUID)
	}
	return "chown -h " + to + " " + Quote(path)
}

func unreadable(path string, err error) *Refusal {
	return NewRefusal(Unreadable, err.Error(), "readable by the host", "ls -ld "+Quote(path))
}

// unixMode is the mode as chmod takes it.
func unixMode(m fs.FileMode) uint32 {
	mode := uint32(m.Perm())
	for _, b := range []struct {
		bit fs.FileMode
		val uint32
	}{{fs.ModeSetuid, 0o4000}, {fs.ModeSetgid, 0o2000}, {fs.ModeSticky, 0o1000}} {
		if m&b.bit != 0 {
			mode |= b.val
		}
	}
	return mode
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "directory"
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	default:
		return "device"
	}
}
