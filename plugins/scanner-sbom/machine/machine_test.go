package machine

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/engine"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/owner"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/running"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/watch"
	"github.com/ironpost/ironpost/sdk"
)

// processes are those of a machine.
type processes []sdk.MappedProcess

func (p processes) List(context.Context, ...int) (out []sdk.Process, err error) {
	for _, one := range p {
		out = append(out, one.Process)
	}
	return out, nil
}

func (p processes) Mapped(_ context.Context, pids ...int) (out []sdk.MappedProcess, err error) {
	for _, one := range p {
		if len(pids) == 0 || slices.Contains(pids, one.PID) {
			out = append(out, one)
		}
	}
	return out, nil
}

// installed is an entry of dpkg's database.
func installed(name, version string) string {
	return "Package: " + name + "\nStatus: install ok installed\nArchitecture: all\nVersion: " + version + "\n\n"
}

// TestHost: of a machine's own folders the packages are found, with those of them that are in
// use, also by a file whose name is gone, but not by one that another version has
// replaced; a program in a place of packages that none of them has is a stranger, and so is
// one in a folder where everybody may write.
func TestHost(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"usr/lib/os-release":              "ID=debian\nVERSION_ID=\"12\"\n",
		"usr/bin/tool":                    "",
		"usr/bin/stray":                   "",
		"usr/bin/upgraded":                "",
		"var/lib/dpkg/status":             "Package: tool\nStatus: install ok installed\nArchitecture: all\nVersion: 1.0\n\nPackage: idle\nStatus: install ok installed\nArchitecture: all\nVersion: 2.0\n\n" + installed("removed", "3.0") + installed("upgraded", "4.0"),
		"var/lib/dpkg/info/removed.list":  "/.\n/usr/bin/removed\n",
		"var/lib/dpkg/info/upgraded.list": "/.\n/usr/bin/upgraded\n",
		"var/lib/dpkg/info/tool.list":     "/.\n/usr/bin/tool\n",
		"var/lib/dpkg/info/idle.list":     "/.\n/usr/bin/idle\n",
		"home/somebody/yarn.lock":         "",
		"etc/hostname":                    "",
		"usr/local/bin/built-by-hand":     "",
		"usr/lib/interpreter/thing.so":    "",
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	readers, err := extract.Readers()
	if err != nil {
		t.Fatal(err)
	}
	program := func(pid int, path string) sdk.MappedProcess {
		return sdk.MappedProcess{Process: sdk.Process{PID: pid, Name: filepath.Base(path)}, HasProgram: true, Files: []*sdk.MappedFile{{Path: path, Executed: true}}}
	}
	gone := func(p sdk.MappedProcess) sdk.MappedProcess {
		p.Files[0].Deleted = true
		return p
	}
	elsewhere := program(9, "/usr/bin/idle")
	elsewhere.OtherRoot = true
	m := New(Config{
		Root: dir, Host: []string{filepath.Join(dir, "usr"), filepath.Join(dir, "var/lib/dpkg")}, Name: "here",
		Scan: scan.Config{Readers: readers}, Folder: scan.Dir, Log: hclog.NewNullLogger(),
		Processes: processes{
			program(1, "/usr/bin/tool"), program(2, "/usr/bin/stray"), program(3, "/tmp/dropped"), program(4, "/usr/local/bin/built-by-hand"),
			gone(program(5, "/usr/bin/removed")), gone(program(6, "/usr/bin/upgraded")), gone(program(7, "/usr/bin/upgraded.dpkg-tmp")), elsewhere,
		},
	})
	targets, err := m.Targets(t.Context())
	if err != nil || len(targets) != 1 || targets[0].ID != watch.Host {
		t.Fatalf("targets %v, %v, want the host alone", targets, err)
	}
	target, h, err := m.Look(t.Context(), watch.Target{ID: watch.Host}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, p := range h.Packages {
		found = append(found, p.Name+" "+p.Ecosystem)
	}
	if diff := cmp.Diff([]string{"idle Debian:12", "removed Debian:12", "tool Debian:12", "upgraded Debian:12"}, found); diff != "" || target.Name != "here" {
		t.Errorf("packages of %q (-want +got):\n%s", target.Name, diff)
	}
	seen, err := m.Observe(t.Context(), []string{watch.Host, watch.ContainerPrefix + "nobody"})
	if err != nil {
		t.Fatal(err)
	}
	var used, strange []string
	for _, u := range seen[watch.Host].Uses {
		used = append(used, u.Path)
	}
	for _, u := range seen[watch.Host].Unowned {
		strange = append(strange, u.Path)
	}
	slices.Sort(used)
	if diff := cmp.Diff([]string{"/usr/bin/removed", "/usr/bin/tool"}, used); diff != "" {
		t.Errorf("in use (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/tmp/dropped", "/usr/bin/stray"}, strange); diff != "" {
		t.Errorf("strangers (-want +got):\n%s", diff)
	}
	if len(seen) != 1 {
		t.Errorf("%d targets were observed, want the one that was looked at", len(seen))
	}
}

// TestStray: in a container a stranger is what its image did not bring.
func TestStray(t *testing.T) {
	index, _ := owner.Read(t.Context(), none{}, nil, owner.Options{})
	s := &sighted{index: index, own: func(path string) bool { return path == "usr/bin/dropped" }, memory: []string{"run"}}
	for _, tt := range []struct {
		use  running.Use
		want bool
	}{
		{running.Use{Path: "/app/server", State: running.Present}, false}, // the image's own
		{running.Use{Path: "/usr/bin/dropped", State: running.Present}, true},
		{running.Use{Path: "/run/x", State: running.Present}, true},
		{running.Use{Path: "/dev/shm/x", State: running.Present}, true},
		{running.Use{Path: "/data/plugin.so", State: running.Present}, false}, // of a volume
		{running.Use{Path: "/usr/bin/gone", State: running.Deleted}, true},
		{running.Use{Path: "/memfd:runc", State: running.Memory}, false},
	} {
		if got := s.stray(&tt.use); got != tt.want {
			t.Errorf("%s, %s: got %v, want %v", tt.use.Path, tt.use.State, got, tt.want)
		}
	}
}

// none is a tree without files.
type none struct{}

func (none) Open(name string) (fs.File, error)          { return nil, fs.ErrNotExist }
func (none) Stat(name string) (fs.FileInfo, error)      { return nil, fs.ErrNotExist }
func (none) ReadDir(name string) ([]fs.DirEntry, error) { return nil, fs.ErrNotExist }
func (none) Sub(string) (tree.View, func(), error)      { return nil, nil, fs.ErrNotExist }

// TestTranslate: each event of Docker's means something for a target.
func TestTranslate(t *testing.T) {
	for kind, want := range map[engine.Kind]watch.Event{
		engine.Started:   {Target: watch.Target{ID: "container:c", Name: "n"}, Kind: watch.Appeared},
		engine.Renamed:   {Target: watch.Target{ID: "container:c", Name: "n"}, Kind: watch.Appeared},
		engine.Executed:  {Target: watch.Target{ID: "container:c", Name: "n"}, Kind: watch.Executed},
		engine.Ended:     {Target: watch.Target{ID: "container:c", Name: "n"}, Kind: watch.Stopped},
		engine.Removed:   {Target: watch.Target{ID: "container:c", Name: "n"}, Kind: watch.Vanished},
		engine.ImageCame: {Target: watch.Target{ID: "image:i", Name: "n"}, Kind: watch.Appeared},
		engine.ImageGone: {Target: watch.Target{ID: "image:i", Name: "n"}, Kind: watch.Vanished},
		0:                {},
	} {
		if got := translate(&engine.Event{Kind: kind, Container: "c", Image: "i", Name: "n"}); got != want {
			t.Errorf("%d: got %+v, want %+v", kind, got, want)
		}
	}
}
