//go:build amd64 || arm64

package sandbox

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/internal/sandbox/shim"
)

// tree is a directory laid out as the kernel lays out control groups, and a
// proc directory that leads to it.
type tree struct{ proc, groups string }

func newTree(t *testing.T, cgroup, mountRoot, options string, files map[string]string) tree {
	t.Helper()
	dir := t.TempDir()
	tr := tree{proc: filepath.Join(dir, "proc"), groups: filepath.Join(dir, "with blank")}
	files = maps.Clone(files)
	if files == nil {
		files = map[string]string{}
	}
	mountinfo := "24 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n" +
		"30 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	if options != "" {
		mountinfo += fmt.Sprintf("31 24 0:28 %s %s %s,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
			mountRoot, strings.ReplaceAll(tr.groups, " ", `\040`), options)
	}
	for path, content := range map[string]string{"mountinfo": mountinfo, "cgroup": cgroup} {
		files["../proc/"+path] = content
	}
	for path, content := range files {
		path = filepath.Join(tr.groups, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

func (tr tree) read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(tr.groups, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCgroups(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	tr := newTree(t, "5:pids:/\n0::/system.slice/ironpost.service\n", "/", "rw", map[string]string{
		"system.slice/ironpost.service/cgroup.controllers":       "cpuset cpu io memory hugetlb pids\n",
		"system.slice/ironpost.service/cgroup.procs":             own + "\n",
		"system.slice/ironpost.service/plugin-old-7/cgroup.kill": "",
	})
	c := OpenCgroups(tr.proc)
	if why := c.Why(); why != "" {
		t.Fatalf("Why: got %q, want that the groups can be used", why)
	}
	const service = "system.slice/ironpost.service/"
	for path, want := range map[string]string{
		"host/cgroup.procs":        own,
		"cgroup.subtree_control":   "+memory +pids +cpu",
		"plugin-old-7/cgroup.kill": "1",
	} {
		if got := tr.read(t, service+path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}

	var report Report
	pl := &shim.Plan{MaxProcs: 512}
	g := c.join(&Spec{Name: "parser/Ü1", MaxMemory: 1 << 30}, pl, &report)
	if g == nil || !pl.InControlGroup || !slices.Contains(report.Applied, shim.ControlGroup) {
		t.Fatalf("join: got %v, %+v, want a group", g, report)
	}
	if want := filepath.Join(tr.groups, service, "plugin-parser__1-1"); g.path != want {
		t.Errorf("path: got %q, want %q", g.path, want)
	}
	for file, want := range map[string]string{"pids.max": "512", "memory.max": "1073741824", "memory.oom.group": "1", "cpu.weight": "50"} {
		if got := tr.read(t, service+"plugin-parser__1-1/"+file); got != want {
			t.Errorf("%s: got %q, want %q", file, got, want)
		}
	}
	g.remove()
	if got := tr.read(t, service+"plugin-parser__1-1/cgroup.kill"); got != "1" {
		t.Errorf("cgroup.kill: got %q, want 1", got)
	}
}

func TestCgroupsBelowAMount(t *testing.T) {
	// A container sees its own group as the root of the mount.
	tr := newTree(t, "0::/docker/abc/host\n", "/docker/abc", "rw", map[string]string{
		"host/cgroup.controllers": "memory pids\n",
	})
	c := OpenCgroups(tr.proc)
	if why := c.Why(); why != "" || c.dir != tr.groups {
		t.Errorf("got %q in %q, want the group above that of the host", why, c.dir)
	}
	if got := tr.read(t, "cgroup.subtree_control"); got != "+memory +pids" {
		t.Errorf("controllers: got %q, want no cpu", got)
	}
}

// TestGroup starts a plugin inside a group of the kernel's, and takes the group
// away with what is left in it.
func TestGroup(t *testing.T) {
	needRoot(t)
	above, err := ownGroup("/proc/self")
	if err != nil {
		t.Skipf("needs control groups of version 2: %v", err)
	}
	path := filepath.Join(above, fmt.Sprintf("ironpost-test-%d", os.Getpid()))
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Skipf("needs a writable tree of control groups: %v", err)
	}
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	held := &holdings{group: &group{path: path, dir: dir}}
	l := newLauncher(t)
	if err := l.begin(); err != nil {
		t.Fatal(err)
	}
	defer l.starts.Done()
	spec := &Spec{Name: "hostile", Exe: hostile(t)}
	pl, err := newPlan(spec)
	if err != nil {
		t.Fatal(err)
	}
	planR, planW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer planW.Close()
	defer planR.Close()
	p, err := l.fork(t.Context(), spec, pl, planR, planW, held, new(Report)) // the shim waits for its plan
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.Pid()))
	if err != nil || !strings.Contains(string(own), filepath.Base(path)) {
		t.Errorf("the plugin's groups: got %q, %v, want %s among them", own, err, path)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the group after its plugin: got %v, want it gone", err)
	}
}

func TestCgroupsWithout(t *testing.T) {
	full := map[string]string{"a/cgroup.controllers": "memory pids\n", "a/cgroup.procs": ""}
	with := func(path, content string) map[string]string {
		m := maps.Clone(full)
		m[path] = content
		return m
	}
	for _, tt := range []struct {
		name, cgroup, root, options string
		files                       map[string]string
		want                        string
	}{
		{"version 1 alone", "4:memory:/a\n", "/", "rw", full, "no control groups of version 2"},
		{"not mounted", "0::/a\n", "/", "", full, "no tree of control groups of version 2 is mounted"},
		{"mounted elsewhere", "0::/a\n", "/b", "rw", full, "no tree"},
		{"read-only", "0::/a\n", "/", "ro", full, "read-only"},
		{"controllers with version 1", "0::/a\n", "/", "rw", with("a/cgroup.controllers", "hugetlb\n"), "no memory controller"},
		{"no pids", "0::/a\n", "/", "rw", with("a/cgroup.controllers", "memory\n"), "no pids controller"},
		{"in a session", "0::/a\n", "/", "rw", with("a/cgroup.procs", "1\n"), "Delegate=yes"},
		{"gone", "0::/c\n", "/", "rw", full, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTree(t, tt.cgroup, tt.root, tt.options, tt.files)
			c := OpenCgroups(tr.proc)
			if !strings.Contains(c.Why(), tt.want) {
				t.Errorf("Why: got %q, want %q in it", c.Why(), tt.want)
			}
			var report Report
			if g := c.join(&Spec{Name: "p"}, new(shim.Plan), &report); g != nil {
				t.Errorf("join: got %v, want none", g)
			}
			want := Report{Missing: []Missing{{What: shim.ControlGroup, Why: c.Why()}}}
			if diff := cmp.Diff(want, report); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			if _, err := os.Stat(filepath.Join(tr.groups, "a", "cgroup.subtree_control")); err == nil {
				t.Error("a group that cannot be used was changed")
			}
		})
	}
	if why := (*Cgroups)(nil).Why(); why == "" {
		t.Error("Why of none: got nothing, want a reason")
	}
}
