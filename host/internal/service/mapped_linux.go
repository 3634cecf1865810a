package service

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// looker looks into processes for one reply. Nothing that it does waits for a file
// system of a process, which may be one that never answers.
type looker struct {
	files files
	buf   []byte
	// root is the host's root directory, shared the device of memfd_create(2).
	root   unix.Statx_t
	shared uint64
}

func newLooker() (*looker, error) {
	l := &looker{files: files{index: make(map[fileKey]uint32)}, buf: make([]byte, 64<<10)}
	if err := unix.Statx(unix.AT_FDCWD, "/", unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &l.root); err != nil {
		return nil, fmt.Errorf("look at the root directory: %w", err)
	}
	fd, err := unix.MemfdCreate("ironpost", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("find the device of shared memory: %w", err)
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("find the device of shared memory: %w", err)
	}
	l.shared = st.Dev
	return l, nil
}

// open opens the folder of a process.
func (l *looker) open(pid uint32) (*opened, error) {
	fd, err := unix.Open("/proc/"+strconv.FormatUint(uint64(pid), 10), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, ended(err)
	}
	return &opened{looker: l, fd: fd, out: new(pb.MappedProcess), root: -1}, nil
}

// opened is the folder in /proc of one process; what is read through it is about that
// process, even when another one gets its id.
type opened struct {
	*looker
	fd    int
	out   *pb.MappedProcess
	paths int // bytes of the paths of its files
	root  int // its root directory, -1 when it is not open
}

// look reads what there is to tell of one process, or returns errNoProcess.
func (l *looker) look(pid uint32) (*pb.MappedProcess, error) {
	o, err := l.open(pid)
	if err != nil {
		return nil, err
	}
	defer o.close()
	l.files.process++
	if o.out.Process, err = o.process(pid); err != nil {
		return nil, err
	}
	switch err := o.program(); {
	case err == nil:
	case denied(err):
		o.out.Unseen = true
		return o.out, nil
	default: // a kernel thread, or one that is no more than its exit code
		return nil, errNoProcess
	}
	for _, step := range []func() error{o.place, o.maps, o.descriptors} {
		switch err := step(); {
		case err == nil:
		case denied(err):
			o.out.Unseen = true
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESRCH):
			return nil, errNoProcess
		default:
			return nil, fmt.Errorf("process %d: %w", pid, err)
		}
	}
	o.first()
	return o.out, nil
}

func (o *opened) close() {
	_ = unix.Close(o.fd) // they were read only
	if o.root >= 0 {
		_ = unix.Close(o.root)
	}
}

func ended(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return errNoProcess
	}
	return err
}

func denied(err error) bool { return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) }

// link returns where a link of the process leads, in the looker's buffer.
func (o *opened) link(name string) ([]byte, error) {
	n, err := unix.Readlinkat(o.fd, name, o.buf)
	if err != nil {
		return nil, err
	}
	return o.buf[:n], nil
}

// program notes what the process executes.
func (o *opened) program() error {
	to, err := o.link("exe")
	if errors.Is(err, unix.ENAMETOOLONG) {
		o.out.More = true
		return nil
	}
	if err == nil {
		o.out.Process.Executable = bytes.Clone(to)
	}
	return err
}

// place notes the mount namespace and the root directory.
func (o *opened) place() error {
	space, err := o.link("ns/mnt") // "mnt:[4026531841]"
	if err != nil {
		return err
	}
	digits := bytes.TrimSuffix(bytes.TrimPrefix(space, []byte("mnt:[")), []byte("]"))
	o.out.MountNamespace, _ = number(digits, 10)
	root, err := o.link("root")
	switch {
	case errors.Is(err, unix.ENAMETOOLONG):
		o.out.More = true
	case err != nil:
		return err
	}
	o.out.Root = bytes.Clone(root)
	var at unix.Statx_t
	if err := unix.Statx(o.fd, "root", unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &at); err != nil {
		return err
	}
	o.out.OtherRoot = !same(&at, &o.looker.root)
	return nil
}

func same(a, b *unix.Statx_t) bool {
	return a.Ino == b.Ino && a.Dev_major == b.Dev_major && a.Dev_minor == b.Dev_minor
}

// maps notes what is mapped.
func (o *opened) maps() error {
	fd, err := unix.Openat(o.fd, "maps", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // it was read only
	held, total := 0, 0
	for {
		if held == len(o.buf) { // no line is as long: a path has at most 4096 bytes, four for each line feed
			o.out.More = true
			return nil
		}
		n, err := unix.Read(fd, o.buf[held:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return nil
		}
		held += n
		if total += n; total > maxTableBytes {
			o.out.More = true
			return nil
		}
		rest := o.buf[:held]
		for {
			line, after, ok := bytes.Cut(rest, []byte("\n"))
			if !ok {
				break
			}
			if m, ok := parseMapping(line); ok && !o.take(m) {
				return nil
			}
			rest = after
		}
		held = copy(o.buf, rest)
	}
}

// take notes a mapping; false is that no more are noted.
func (o *opened) take(m mapping) bool {
	key := fileKey{device: m.device, inode: m.inode, executed: m.executed}
	deleted, written := bytes.HasSuffix(m.path, gone), bytes.Contains(m.path, escaped)
	if deleted || written {
		key.space = o.out.MountNamespace
	}
	i, ok := o.files.index[fileKey{key.device, key.inode, key.space, key.executed, string(m.path)}]
	if !ok {
		if len(m.path) > 4*maxPath {
			o.out.More = true
			return true
		}
		key.path = string(m.path)
		f := &pb.MappedFile{Path: []byte(key.path), Device: m.device, Inode: m.inode, Executed: m.executed}
		if written {
			f.Path = o.unwritten(f.Path, string(m.span))
		}
		if deleted {
			o.deleted(f, string(m.span))
		}
		i = o.files.add(key, f)
	}
	return o.note(i)
}

// add takes a file into the reply.
func (l *files) add(key fileKey, f *pb.MappedFile) uint32 {
	i := uint32(len(l.list)) //nolint:gosec // a reply holds far fewer
	l.index[key] = i
	l.list = append(l.list, f)
	l.seen = append(l.seen, 0)
	l.bytes += len(f.Path) + 16
	return i
}

// note gives the process a file of the reply, once; false is that it gets no more.
func (o *opened) note(i uint32) bool {
	if o.files.seen[i] == o.files.process {
		return true
	}
	size := len(o.files.list[i].Path)
	if len(o.out.Files) == maxFiles || o.paths+size > maxFileBytes {
		o.out.More = true
		return false
	}
	o.files.seen[i] = o.files.process
	o.paths += size
	o.out.Files = append(o.out.Files, i)
	return true
}

// unwritten turns \012 in a path back into line feeds, unless the name holds these
// very letters.
func (o *opened) unwritten(path []byte, span string) []byte {
	buf := make([]byte, 4*maxPath)
	if n, err := unix.Readlinkat(o.fd, "map_files/"+trimmed(span), buf); err == nil {
		return bytes.Clone(buf[:n]) // there nothing is written otherwise
	}
	// Only with CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE that can be read.
	if o.live(path, nil) {
		return path
	}
	return unescaped(path)
}

// trimmed is a span as map_files writes it: there are no zeros before an address.
func trimmed(span string) string {
	from, to, _ := strings.Cut(span, "-")
	zero := func(s string) string {
		if t := strings.TrimLeft(s, "0"); t != "" {
			return t
		}
		return "0"
	}
	return zero(from) + "-" + zero(to)
}

// deleted tells a file whose name is gone from one whose name ends like it. span may be
// empty.
func (o *opened) deleted(f *pb.MappedFile, span string) {
	var is *unix.Statx_t
	if span != "" {
		var st unix.Statx_t
		if unix.Statx(o.fd, "map_files/"+trimmed(span), unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &st) == nil {
			is = &st
		}
	}
	if is == nil {
		is = &unix.Statx_t{Ino: f.Inode, Dev_major: unix.Major(f.Device), Dev_minor: unix.Minor(f.Device)}
	}
	if o.live(f.Path, is) {
		return
	}
	f.Path, f.Deleted = bytes.TrimSuffix(f.Path, gone), true
	f.Memory = f.Device == o.shared || bytes.HasPrefix(f.Path, []byte("/memfd:")) || bytes.HasPrefix(f.Path, []byte("/anon_hugepage"))
}

// resolveCached is RESOLVE_CACHED of openat2(2), since Linux 5.12; before, deleted files
// are all that end so.
const resolveCached = 0x20

// live says whether a path leads to something now, and to the file is, if that is not
// nil. What a process has mapped under its name is in the kernel's memory together with
// all folders on the way, and only there it is looked for.
func (o *opened) live(path []byte, is *unix.Statx_t) bool {
	if o.root < 0 {
		fd, err := unix.Openat(o.fd, "root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return false
		}
		o.root = fd
	}
	at := string(path)
	if root := string(o.out.Root); root != "/" {
		rest, ok := strings.CutPrefix(at, root)
		if !ok || !strings.HasPrefix(rest, "/") {
			return false
		}
		at = rest
	}
	fd, err := unix.Openat2(o.root, at, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS | resolveCached,
	})
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }() // it was not read
	if is == nil {
		return true
	}
	var st unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &st)
	return err == nil && same(&st, is)
}

// descriptors notes the archives that the process has open.
func (o *opened) descriptors() error {
	fd, err := unix.Openat(o.fd, "fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), "fd")
	defer func() { _ = dir.Close() }() // it was read only
	names, err := dir.Readdirnames(maxDescriptors + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(names) > maxDescriptors {
		o.out.More, names = true, names[:maxDescriptors]
	}
	for _, name := range names {
		n, err := unix.Readlinkat(fd, name, o.buf)
		if err != nil || n == 0 || o.buf[0] != '/' || !archive(o.buf[:n]) {
			continue // closed by now, or no archive
		}
		if !o.behind(fd, name, o.buf[:n]) {
			return nil
		}
	}
	return nil
}

// behind notes a file that a link of /proc leads to; false is that no more are noted.
func (o *opened) behind(dir int, name string, path []byte) bool {
	if i := slices.IndexFunc(o.out.Files, func(i uint32) bool {
		f := o.files.list[i]
		return bytes.Equal(f.Path, bytes.TrimSuffix(path, gone)) || bytes.Equal(f.Path, path)
	}); i >= 0 {
		return true // it is mapped as well
	}
	var st unix.Statx_t
	if unix.Statx(dir, name, unix.AT_STATX_DONT_SYNC, unix.STATX_INO|unix.STATX_TYPE, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return true
	}
	executed := dir == o.fd // else it is a descriptor
	key := fileKey{deviceNumber(st.Dev_major, st.Dev_minor), st.Ino, o.out.MountNamespace, executed, string(path)}
	i, ok := o.files.index[key]
	if !ok {
		f := &pb.MappedFile{Path: bytes.Clone(path), Device: key.device, Inode: st.Ino, Executed: executed}
		if bytes.HasSuffix(path, gone) && !o.live(path, &st) {
			f.Path, f.Deleted = bytes.TrimSuffix(f.Path, gone), true
			f.Memory = f.Device == o.shared
		}
		i = o.files.add(key, f)
	}
	return o.note(i)
}

// first puts what the process executes before its other files.
func (o *opened) first() {
	exe := o.out.Process.Executable
	if len(exe) == 0 {
		return
	}
	is := func(i uint32) bool {
		f := o.files.list[i]
		if f.Deleted {
			rest, ok := bytes.CutSuffix(exe, gone)
			return ok && bytes.Equal(f.Path, rest)
		}
		return bytes.Equal(f.Path, exe)
	}
	at := slices.IndexFunc(o.out.Files, is)
	if at < 0 {
		// It has unmapped its program, or there was no room for it.
		if len(o.out.Files) == maxFiles {
			o.out.Files = o.out.Files[:maxFiles-1]
			o.out.More = true
		}
		o.paths = 0 // there is room for one more
		o.behind(o.fd, "exe", exe)
		at = slices.IndexFunc(o.out.Files, is)
	}
	if at >= 0 {
		o.out.Program = true
		o.out.Files[0], o.out.Files[at] = o.out.Files[at], o.out.Files[0]
	}
}
