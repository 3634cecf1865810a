//go:build amd64 || arm64

package sandbox

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/internal/sandbox/shim"
)

// TestPrivateSpace fills a private directory, which nobody else feels.
func TestPrivateSpace(t *testing.T) {
	needRoot(t)
	dir := privateDir(t)
	got, report := try(t, Spec{UID: testUID, GID: testUID, PrivateDir: dir}, "fill="+dir, "fillnames="+dir)
	for _, a := range []string{"fill=" + dir, "fillnames=" + dir} {
		if !strings.HasPrefix(got[a], "denied: ") || !strings.Contains(got[a], "no space") {
			t.Errorf("%s: got %q, want that there is no space left", a, got[a])
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("the host's directory: got %v, %v, want it empty", entries, err)
	}
	wantApplied(t, report, shim.PrivateSpace, shim.FileTree, shim.MemoryVictim)
	wantMissing(t, report, shim.ControlGroup)
}

// TestFileTree looks for what was not granted, by name.
func TestFileTree(t *testing.T) {
	needRoot(t)
	dir := privateDir(t)
	hidden := filepath.Join(reachableDir(t), "hidden")
	if err := os.WriteFile(hidden, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p := start(t, newLauncher(t), Spec{UID: testUID, GID: testUID, WritePaths: []string{dir}},
		"stat="+hidden, "stat=/etc/passwd", "stat=/proc/1", "stat="+dir, "hold")
	got := p.answers(t)
	want := map[string]string{"stat=" + hidden: "denied", "stat=/etc/passwd": "denied", "stat=/proc/1": "denied", "stat=" + dir: "ok"}
	for a, w := range want {
		if g, _, _ := strings.Cut(got[a], ":"); g != w {
			t.Errorf("%s: got %q, want %s", a, got[a], w)
		}
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", p.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for line := range strings.Lines(string(mounts)) {
		points = append(points, strings.Fields(line)[4])
	}
	if diff := cmp.Diff([]string{"/", dir}, points); diff != "" {
		t.Errorf("mounts of the plugin (-want +got):\n%s", diff)
	}
}

// TestLocalConnect lets a plugin connect to a socket that the host puts into
// its private directory, and to nothing else.
func TestLocalConnect(t *testing.T) {
	needRoot(t)
	dir := privateDir(t)
	other := filepath.Join(reachableDir(t), "other.sock")
	ln, err := net.Listen("unix", other)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := os.Chmod(other, 0o666); err != nil {
		t.Fatal(err)
	}
	var own net.Listener
	spec := Spec{UID: testUID, GID: testUID, PrivateDir: dir, LocalConnect: true, Prepare: func(reach string) (err error) {
		path := filepath.Join(reach, "own.sock")
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			return err
		}
		l.SetUnlinkOnClose(false)
		own = l
		return os.Lchown(path, int(testUID), int(testUID))
	}}
	a, b := "dial=unix://"+filepath.Join(dir, "own.sock"), "dial=unix://"+other
	got, report := try(t, spec, a, b, "dial=tcp://127.0.0.1:1", "inetsocket")
	own.Close()
	if got[a] != "ok" {
		t.Errorf("its own socket: got %q, want ok", got[a])
	}
	for _, d := range []string{b, "dial=tcp://127.0.0.1:1", "inetsocket"} {
		if !strings.HasPrefix(got[d], "denied: ") {
			t.Errorf("%s: got %q, want it denied", d, got[d])
		}
	}
	wantApplied(t, report, shim.FileTree, shim.PrivateSpace)

	udp, err := Listen(t.Context(), "udp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	spec.Name, spec.Exe, spec.Files, spec.Prepare = "both", hostile(t), []*os.File{udp}, nil
	if _, err := newLauncher(t).Start(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "cannot connect") {
		t.Errorf("with an internet socket: got %v, want it refused", err)
	}
}

// TestWithoutMounts runs a plugin where the host may make no mounts.
func TestWithoutMounts(t *testing.T) {
	needRoot(t)
	dir := privateDir(t)
	l := newLauncher(t)
	why := "not here"
	l.noMounts.Store(&why)
	p := start(t, l, Spec{UID: testUID, GID: testUID, PrivateDir: dir, LocalConnect: true}, "write="+dir+"/file", "read=/etc/shadow")
	got := p.answers(t)
	if got["write="+dir+"/file"] != "ok" || !strings.HasPrefix(got["read=/etc/shadow"], "denied") {
		t.Errorf("got %v, want the file written and the other denied", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "file")); err != nil || p.Reach(filepath.Join(dir, "file")) != filepath.Join(dir, "file") {
		t.Errorf("Reach: got %q, %v, want the file where the plugin made it", p.Reach(filepath.Join(dir, "file")), err)
	}
	for _, m := range []Protection{shim.PrivateSpace, shim.FileTree} {
		wantMissing(t, p.Report(), m)
	}
	if shim.LandlockABI() < 9 {
		wantMissing(t, p.Report(), shim.LocalSockets)
	}
}
