package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// sleeper is a program to copy: it is linked to nothing, and does nothing for long.
const sleeper = "/bin/busybox"

// copied returns a copy of the sleeper under the name.
func copied(t *testing.T, name string) string {
	t.Helper()
	from, err := os.Open(sleeper)
	if err != nil {
		t.Skipf("needs Debian's busybox-static: %v", err)
	}
	defer from.Close()
	to, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// started starts a program that sleeps until the test ends, and returns its id once it
// is loaded.
func started(t *testing.T, program string, files ...*os.File) uint32 {
	t.Helper()
	cmd := &exec.Cmd{Path: program, Args: []string{"sleep", "600"}, ExtraFiles: files}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return uint32(cmd.Process.Pid)
}

// one asks about one process.
func one(t *testing.T, pid uint32) (*pb.MappedProcess, []*pb.MappedFile) {
	t.Helper()
	s := &Session{granted: Grants{Services: Services()}}
	r, err := s.mapped(&pb.ListMapped{Pids: []uint32{pid}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Mapped) != 1 || r.More {
		t.Fatalf("got %d processes, want one", len(r.Mapped))
	}
	var out []*pb.MappedFile
	for _, i := range r.Mapped[0].Files {
		out = append(out, r.Files[i])
	}
	return r.Mapped[0], out
}

func stat(t *testing.T, path string) *unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return &st
}

func TestMapped(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: map_files is for CAP_CHECKPOINT_RESTORE")
	}
	dir := t.TempDir()
	for _, tt := range []struct {
		name, file string
		then       func(t *testing.T, path string) // once it runs
		deleted    bool
	}{
		{"plain", "plain", nil, false},
		{"a name that ends like a deleted one", "x (deleted)", nil, false},
		{"that one, deleted", "y (deleted)", remove, true},
		{"deleted, with another name left", "linked", func(t *testing.T, path string) {
			if err := os.Link(path, path+".other"); err != nil {
				t.Fatal(err)
			}
			remove(t, path)
		}, true},
		{"deleted, with its mark in another name", "marked", func(t *testing.T, path string) {
			if err := os.WriteFile(path+" (deleted)", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			remove(t, path)
		}, true},
		{"a line feed", "a\nb", nil, false},
		{"what the kernel writes for one", `a\012b`, nil, false},
		{"both", "a\n\\012b (deleted)", nil, false},
		{"replaced by an upgrade", "upgraded", func(t *testing.T, path string) {
			if err := os.Rename(copied(t, path+".new"), path); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"moved", "moved", func(t *testing.T, path string) {
			if err := os.Rename(path, path+" away"); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"bytes of no encoding", "\xff\x01 \t", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := copied(t, filepath.Join(dir, tt.file))
			st := stat(t, path)
			pid := started(t, path)
			want := path
			if tt.then != nil {
				tt.then(t, path)
			}
			if tt.name == "moved" {
				want += " away"
			}
			p, files := one(t, pid)
			if !p.Program || len(files) == 0 {
				t.Fatalf("got %v, want its program", p)
			}
			f := files[0]
			if string(f.Path) != want || f.Inode != st.Ino || f.Device != st.Dev || f.Deleted != tt.deleted || f.Memory || !f.Executed {
				t.Errorf("got %q, device %#x, inode %d, deleted %v, memory %v; want %q, %#x, %d, %v, false",
					f.Path, f.Device, f.Inode, f.Deleted, f.Memory, want, st.Dev, st.Ino, tt.deleted)
			}
			if n := len(files); n != 1 {
				t.Errorf("got %d files, want one: it is linked to nothing", n)
			}
			if p.OtherRoot || p.Unseen || p.More || string(p.Root) != "/" {
				t.Errorf("got %v, want the root directory of the host", p)
			}
			own, err := os.Readlink("/proc/self/ns/mnt")
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("mnt:[%d]", p.MountNamespace); own != want {
				t.Errorf("mount namespace: got %s, want %s", want, own)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// TestMappedElsewhere looks into a process with a root directory of its own.
func TestMappedElsewhere(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for chroot")
	}
	dir := t.TempDir()
	copied(t, filepath.Join(dir, "box (deleted)"))
	cmd := &exec.Cmd{
		Path: "/box (deleted)", Args: []string{"sleep", "600"},
		SysProcAttr: &unix.SysProcAttr{Chroot: dir}, Dir: "/",
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	p, files := one(t, uint32(cmd.Process.Pid))
	if !p.OtherRoot || string(p.Root) != dir || len(files) != 1 || string(files[0].Path) != filepath.Join(dir, "box (deleted)") || files[0].Deleted {
		t.Errorf("got %v and %v, want another root, and the program as the host sees it", p, files)
	}
}

// TestMappedMemory looks into a process whose program never was in a folder.
func TestMappedMemory(t *testing.T) {
	fd, err := unix.MemfdCreate("tool", 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "tool")
	defer f.Close()
	data, err := os.ReadFile(sleeper)
	if err != nil {
		t.Skipf("needs Debian's busybox-static: %v", err)
	}
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	p, files := one(t, started(t, fmt.Sprintf("/proc/self/fd/%d", fd)))
	if len(files) != 1 || string(files[0].Path) != "/memfd:tool" || !files[0].Memory || !files[0].Deleted || !p.Program {
		t.Errorf("got %v and %v, want a program in memory", p, files)
	}
}

// TestMappedArchives looks at archives that are open, and at a library that is mapped.
func TestMappedArchives(t *testing.T) {
	dir := t.TempDir()
	path := copied(t, filepath.Join(dir, "java"))
	var open []*os.File
	for _, name := range []string{"app.jar", "gone.war", "notes.txt"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		open = append(open, f)
	}
	open = append(open, open[0]) // twice
	pid := started(t, path, open...)
	remove(t, filepath.Join(dir, "gone.war"))
	p, files := one(t, pid)
	var got []string
	for _, f := range files {
		got = append(got, fmt.Sprintf("%s %v %v", filepath.Base(string(f.Path)), f.Deleted, f.Executed))
		if filepath.Base(string(f.Path)) == "app.jar" {
			if st := stat(t, filepath.Join(dir, "app.jar")); f.Inode != st.Ino || f.Device != st.Dev {
				t.Errorf("app.jar: got device %#x, inode %d, want %#x, %d", f.Device, f.Inode, st.Dev, st.Ino)
			}
		}
	}
	slices.Sort(got[1:])
	if want := []string{"java false true", "app.jar false false", "gone.war true false"}; !slices.Equal(got, want) || !p.Program {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestMappedLibraries holds what is told of this machine's processes against what
// another program reads of them.
func TestMappedLibraries(t *testing.T) {
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Skip("needs cat")
	}
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	cmd := exec.Command(cat)
	cmd.Stdin = in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	pid := uint32(cmd.Process.Pid)
	want := func() []string {
		text, err := exec.Command("awk", `$2 ~ /x/ && $5 > 0 { print $6 }`, fmt.Sprintf("/proc/%d/maps", pid)).Output()
		if err != nil {
			t.Fatal(err)
		}
		list := strings.Fields(string(text))
		slices.Sort(list)
		return slices.Compact(list)
	}
	for deadline := time.Now().Add(10 * time.Second); len(want()) < 2; { // until it is linked
		if time.Now().After(deadline) {
			t.Skip("cat is linked to nothing here")
		}
	}
	_, files := one(t, pid)
	var got []string
	for _, f := range files {
		got = append(got, string(f.Path))
	}
	slices.Sort(got)
	if !slices.Equal(got, want()) {
		t.Errorf("got %q, want %q", got, want())
	}
}

// TestMappedAll asks for everything, a page at a time, and finds no thread of the
// kernel, no process twice and no reply that is too large.
func TestMappedAll(t *testing.T) {
	s := &Session{granted: Grants{Services: Services()}}
	own, last := false, uint32(0)
	for ask := new(pb.ListMapped); ; ask = (&pb.ListMapped{After: last}) {
		r, err := s.mapped(ask)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Mapped {
			if p.Process.Pid <= last {
				t.Fatalf("process %d comes after %d", p.Process.Pid, last)
			}
			last = p.Process.Pid
			own = own || last == uint32(os.Getpid())
			if len(p.Process.Executable) == 0 && !p.More && !p.Unseen {
				t.Errorf("process %d has no program", last)
			}
		}
		if !r.More {
			break
		}
	}
	if !own {
		t.Error("this process is not among them")
	}
	if _, err := (&Session{}).mapped(&pb.ListMapped{}); err == nil || !strings.Contains(err.Error(), "was not granted") {
		t.Errorf("without a grant: got %v", err)
	}
	if r, err := s.mapped(&pb.ListMapped{Pids: []uint32{2, 1<<30 - 1}}); err != nil || len(r.Mapped) != 0 {
		t.Errorf("a thread of the kernel and none: got %v, %v", r, err)
	}
}

// TestMappedBounds maps more files than are told, under names as long as they may be.
func TestMappedBounds(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("x", 240)
	mapping := func(i int) {
		f, err := os.OpenFile(filepath.Join(dir, long+strconv.Itoa(i)), os.O_CREATE|os.O_RDWR, 0o700)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Truncate(4096); err != nil {
			t.Fatal(err)
		}
		m, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
		if errors.Is(err, unix.EPERM) {
			t.Skip("the folder for temporary files is mounted noexec")
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Munmap(m) })
	}
	for i := range 3000 {
		mapping(i)
	}
	p, files := one(t, uint32(os.Getpid()))
	size := 0
	for _, f := range files {
		size += len(f.Path)
	}
	if !p.More || size > maxFileBytes+maxPath || size < maxFileBytes/2 {
		t.Errorf("got %d files with %d bytes of paths, more: %v; want at most %d, and more", len(files), size, p.More, maxFileBytes)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if !p.Program || !bytes.Equal(files[0].Path, []byte(exe)) {
		t.Errorf("the first is %q, want the program %q", files[0].Path, exe)
	}
}

// BenchmarkMapped looks into 300 processes.
func BenchmarkMapped(b *testing.B) {
	const processes = 300
	var pids []uint32
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		b.Skip("needs sleep")
	}
	var all []*exec.Cmd
	for range processes {
		cmd := exec.CommandContext(ctx, sleep, "600")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		all = append(all, cmd)
		pids = append(pids, uint32(cmd.Process.Pid))
	}
	defer func() {
		cancel()
		for _, cmd := range all {
			_ = cmd.Wait()
		}
	}()
	s := &Session{granted: Grants{Services: Services()}}
	b.ReportAllocs()
	for b.Loop() {
		for _, part := range [][]uint32{pids[:150], pids[150:]} {
			r, err := s.mapped(&pb.ListMapped{Pids: part})
			if err != nil || len(r.Mapped) != len(part) {
				b.Fatalf("got %d processes, %v", len(r.GetMapped()), err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/processes, "ns/process")
}
