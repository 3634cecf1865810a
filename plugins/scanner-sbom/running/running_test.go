package running_test

import (
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/owner"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/running"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
	"github.com/ironpost/ironpost/sdk"
)

// memory is a tree in memory.
type memory struct{ fstest.MapFS }

func (m memory) Readlink(name string) (string, error) { return m.ReadLink(name) }

func (m memory) Sub(string) (tree.View, func(), error) { return nil, nil, fs.ErrInvalid }

// index returns the owners of a tree with a database of apk.
func index(t testing.TB, database string) *owner.Index {
	t.Helper()
	const place = "lib/apk/db/installed"
	var packages []*inventory.Package
	for _, name := range []string{"a", "b", "c"} {
		packages = append(packages, &inventory.Package{Name: name, Version: "1", PURL: name, Locations: []inventory.Location{{Path: place, By: "apk"}}})
	}
	x, problems := owner.Read(t.Context(), memory{fstest.MapFS{place: {Data: []byte(database), Mode: 0o644}}}, packages, owner.Options{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return x
}

func file(path string) *sdk.MappedFile { return &sdk.MappedFile{Path: path, Executed: true} }

func gone(path string) *sdk.MappedFile {
	return &sdk.MappedFile{Path: path, Executed: true, Deleted: true}
}

func process(pid int, files ...*sdk.MappedFile) sdk.MappedProcess {
	return sdk.MappedProcess{
		Process: sdk.Process{PID: pid, UID: 33, Name: fmt.Sprint("p", pid), Executable: files[0].Path, StartedTicks: uint64(pid) * 100}, Files: files, HasProgram: true,
	}
}

func TestObserve(t *testing.T) {
	now := index(t, "P:a\nV:1\nF:bin\nR:a\nF:lib\nR:a.so\n\nP:b\nV:1\nF:bin\nR:b\n\nP:c\nV:1\nF:bin\nR:c\n\nP:hidden\nV:1\nF:bin\nR:hidden\n\n")
	former := index(t, "P:b\nV:1\nF:lib\nR:b.so.1\n\n")
	lib := file("/lib/a.so")
	processes := []sdk.MappedProcess{
		process(30, file("/bin/b"), lib, gone("/lib/b.so.1"), file("/opt/plugin.so")),
		process(20, file("/bin/a"), lib, gone("/lib/a.so"), gone("/bin/c.dpkg-new"), gone("/bin/c;0123abcd"), gone("/lib/never.so")),
		process(40, &sdk.MappedFile{Path: "/memfd:x", Executed: true, Memory: true, Deleted: true}, &sdk.MappedFile{Path: "/memfd:jit", Executed: true, Memory: true, Deleted: true}),
		process(50, file("/opt/plugin.so"), &sdk.MappedFile{Path: "/opt/x.jar"}, file("/bin/hidden")),
		{Process: sdk.Process{PID: 60}, Unseen: true},
	}
	r := running.Observe(processes, running.Target{
		Owners: now, Former: former,
		Exists: func(path string) bool { return path == "/lib/a.so" || path == "/bin/c.dpkg-new" },
	})
	use := func(pid int, exe, path string, program bool, state running.State) running.Use {
		return running.Use{
			PID: pid, UID: 33, Process: fmt.Sprint("p", pid), Executable: exe, Path: path, Program: program, StartedTicks: uint64(pid) * 100, State: state,
		}
	}
	a20, b30 := use(20, "/bin/a", "/bin/a", true, running.Present), use(30, "/bin/b", "/bin/b", true, running.Present)
	replaced := use(20, "/bin/a", "/lib/a.so", false, running.Replaced)
	old := use(30, "/bin/b", "/lib/b.so.1", false, running.Deleted)
	settled := use(20, "/bin/a", "/bin/c.dpkg-new", false, running.Replaced)
	want := &running.Result{
		Used: map[string]*running.Uses{
			"a": {First: a20, Some: []running.Use{a20, use(30, "/bin/b", "/lib/a.so", false, running.Present)}, Processes: 2, Files: []running.Use{a20, use(20, "/bin/a", "/lib/a.so", false, running.Present)}},
			"b": {First: b30, Some: []running.Use{b30}, Processes: 1, Files: []running.Use{b30}},
		},
		Replaced: map[string]*running.Uses{
			"a": {First: replaced, Some: []running.Use{replaced}, Processes: 1, Files: []running.Use{replaced}},
			"c": {First: settled, Some: []running.Use{settled}, Processes: 1, Files: []running.Use{settled, use(20, "/bin/a", "/bin/c;0123abcd", false, running.Deleted)}},
		},
		Former: map[string]*running.Uses{
			"b": {First: old, Some: []running.Use{old}, Processes: 1, Files: []running.Use{old}},
		},
		Unowned: []running.Use{
			use(20, "/bin/a", "/lib/never.so", false, running.Deleted),
			use(40, "/memfd:x", "/memfd:x", true, running.Memory),
			use(50, "/opt/plugin.so", "/opt/plugin.so", true, running.Present),
		},
		Unseen: 1, Processes: 5,
	}
	if diff := cmp.Diff(want, r, cmpopts.IgnoreUnexported(running.Uses{})); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if r.Whole() {
		t.Error("one process could not be seen, and the result is whole")
	}
	if processes[0].PID != 30 {
		t.Error("the processes were put into another order")
	}
}

func TestObserveNobody(t *testing.T) {
	r := running.Observe([]sdk.MappedProcess{process(1, file("/bin/a"))}, running.Target{})
	if len(r.Used) != 0 || len(r.Unowned) != 1 || !r.Whole() {
		t.Errorf("without owners: got %+v, want one file of nobody", r)
	}
}

func TestObserveBounds(t *testing.T) {
	var files []*sdk.MappedFile
	for i := range running.MaxUnowned + 10 {
		files = append(files, file(fmt.Sprint("/opt/", i)))
	}
	var processes []sdk.MappedProcess
	for pid := range 100 {
		processes = append(processes, process(pid+1, file("/bin/a")))
	}
	processes = append(processes, process(200, files...))
	r := running.Observe(processes, running.Target{Owners: index(t, "P:a\nV:1\nF:bin\nR:a\n\n")})
	if len(r.Unowned) != running.MaxUnowned || r.More != 10 {
		t.Errorf("got %d files of nobody and %d more, want %d and 10", len(r.Unowned), r.More, running.MaxUnowned)
	}
	if a := r.Used["a"]; a.Processes != 100 || len(a.Some) != running.MaxUses || a.First.PID != 1 {
		t.Errorf("got %d processes, %d named, want 100 and %d", a.Processes, len(a.Some), running.MaxUses)
	}
}

func TestOf(t *testing.T) {
	all := []sdk.MappedProcess{
		{Process: sdk.Process{PID: 1}},
		{Process: sdk.Process{PID: 2, Container: "x"}, OtherRoot: true},
		{Process: sdk.Process{PID: 3, Container: "y"}, OtherRoot: true},
		{Process: sdk.Process{PID: 4, Container: "x"}},   // it sees the host's files
		{Process: sdk.Process{PID: 5}, OtherRoot: true},  // chroot(2), another kind of container
		{Process: sdk.Process{PID: 6, Delegate: "1000"}}, // no container
	}
	for target, want := range map[string][]int{running.Host: {1, 4, 6}, "x": {2}, "y": {3}, "z": nil} {
		var got []int
		for _, p := range running.Of(all, target) {
			got = append(got, p.PID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", target, diff)
		}
	}
}

// BenchmarkObserve holds 300 processes with 60 files each against the owners.
func BenchmarkObserve(b *testing.B) {
	x := index(b, "P:a\nV:1\nF:lib\nR:l1.so\n\n")
	var shared []*sdk.MappedFile
	for i := range 50 {
		shared = append(shared, file(fmt.Sprintf("/lib/l%d.so", i)))
	}
	var processes []sdk.MappedProcess
	for pid := range 300 {
		files := append([]*sdk.MappedFile{}, shared...)
		for i := range 10 {
			files = append(files, file(fmt.Sprintf("/usr/lib/app%d/l%d.so", pid, i)))
		}
		processes = append(processes, process(pid+1, files...))
	}
	b.ReportAllocs()
	for b.Loop() {
		if r := running.Observe(processes, running.Target{Owners: x}); len(r.Used) != 1 {
			b.Fatal(r)
		}
	}
}

// TestOfDelegated: a user who names a control group of his own as somebody's container
// adds nothing to it; an engine of his own has nothing else.
func TestOfDelegated(t *testing.T) {
	made := func(pid int, delegate string) sdk.MappedProcess {
		p := process(pid, file("/bin/a"))
		p.Container, p.OtherRoot, p.Delegate = "c", true, delegate
		return p
	}
	for name, tc := range map[string]struct {
		processes []sdk.MappedProcess
		want      []int
	}{
		"beside the container's":  {[]sdk.MappedProcess{made(1, ""), made(2, "1000"), made(3, "")}, []int{1, 3}},
		"an engine of the user's": {[]sdk.MappedProcess{made(1, "1000"), made(2, "1000")}, []int{1, 2}},
		"two users":               {[]sdk.MappedProcess{made(1, "1000"), made(2, "1001")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			for _, p := range running.Of(tc.processes, "c") {
				got = append(got, p.PID)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("processes (-want +got):\n%s", diff)
			}
		})
	}
}
