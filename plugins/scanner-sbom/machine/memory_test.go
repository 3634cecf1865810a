package machine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/watch"
	"github.com/ironpost/ironpost/sdk"
)

// debian is a root file system with a database of dpkg.
type debian struct {
	t   *testing.T
	dir string
}

func (d debian) write(name, text string) {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		d.t.Fatal(err)
	}
	// As package managers do, so that the inode is another one.
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		d.t.Fatal(err)
	}
}

// machine is a new process that watches it.
func (d debian) machine(p ...sdk.MappedProcess) *Machine {
	d.t.Helper()
	readers, err := extract.Readers()
	if err != nil {
		d.t.Fatal(err)
	}
	return New(Config{
		Root: d.dir, Host: []string{filepath.Join(d.dir, "usr"), filepath.Join(d.dir, "var/lib/dpkg")}, Name: "here",
		Scan: scan.Config{Readers: readers}, Folder: scan.Dir, Log: hclog.NewNullLogger(), Processes: processes(p),
	})
}

func (d debian) look(m *Machine, memory []byte) *watch.Holding {
	d.t.Helper()
	_, h, err := m.Look(d.t.Context(), watch.Target{ID: watch.Host}, memory)
	if err != nil {
		d.t.Fatal(err)
	}
	return h
}

func root(t *testing.T) debian {
	d := debian{t, t.TempDir()}
	d.write("usr/lib/os-release", "ID=debian\nVERSION_ID=\"12\"\n")
	for _, name := range []string{"tool", "sudo"} {
		d.write("usr/bin/"+name, "")
		d.write("var/lib/dpkg/info/"+name+".list", "/.\n/usr/bin/"+name+"\n")
	}
	d.write("var/lib/dpkg/status", installed("tool", "1.0")+installed("sudo", "2.0"))
	return d
}

// TestEditedMeanwhile: what was done to a database while nobody watched is seen by the next
// process, by what the one before left it; an upgrade is none of that.
func TestEditedMeanwhile(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile func(d debian)
		want      []string
	}{
		"nothing": {func(debian) {}, nil},
		"an entry is gone": {func(d debian) {
			d.write("var/lib/dpkg/status", installed("tool", "1.0"))
		}, []string{"sudo"}},
		"a version is claimed": {func(d debian) {
			d.write("var/lib/dpkg/status", installed("tool", "9.0")+installed("sudo", "2.0"))
		}, []string{"tool"}},
		"an upgrade": {func(d debian) {
			d.write("usr/bin/tool", "2")
			d.write("var/lib/dpkg/status", installed("tool", "2.0")+installed("sudo", "2.0"))
		}, nil},
		"the database is gone": {func(d debian) {
			if err := os.RemoveAll(filepath.Join(d.dir, "var/lib/dpkg/status")); err != nil {
				d.t.Fatal(err)
			}
		}, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			d := root(t)
			before := d.look(d.machine(), nil)
			if len(before.Memory) == 0 || len(before.Changes) != 0 {
				t.Fatalf("the first look leaves %d bytes, changes %v", len(before.Memory), before.Changes)
			}
			test.meanwhile(d)
			var got []string
			for _, c := range d.look(d.machine(), before.Memory).Changes {
				got = append(got, c.Package)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("edited are %q, want %q", got, test.want)
			}
			if h := d.look(d.machine(), nil); len(h.Changes) > 0 {
				t.Errorf("without a memory there are changes %v", h.Changes)
			}
			if h := d.look(d.machine(), []byte("damaged")); len(h.Changes) > 0 {
				t.Errorf("with a damaged memory there are changes %v", h.Changes)
			}
		})
	}
}

// TestUpgraded: a program that was upgraded under a process is one of the version before, also
// after further looks.
func TestUpgraded(t *testing.T) {
	d := root(t)
	p := sdk.MappedProcess{
		Process: sdk.Process{PID: 5, Name: "tool"}, HasProgram: true,
		Files: []*sdk.MappedFile{{Path: "/usr/bin/tool", Executed: true, Deleted: true}},
	}
	m := d.machine(p)
	d.look(m, nil)
	d.write("usr/bin/tool", "2")
	d.write("var/lib/dpkg/status", installed("tool", "2.0")+installed("sudo", "2.0"))
	for range 2 {
		d.look(m, nil)
		seen, err := m.Observe(t.Context(), []string{watch.Host})
		if err != nil {
			t.Fatal(err)
		}
		o := seen[watch.Host]
		for ref, u := range o.Former {
			if u.PID != 5 || !strings.Contains(ref, "/tool@1.0") {
				t.Errorf("%s is used by %+v", ref, u)
			}
		}
		if len(o.Uses) != 0 || len(o.Former) != 1 {
			t.Errorf("observed %+v", o)
		}
	}
}

// TestKnown: that a target is there which was listed is no event, and what happened since is one.
func TestKnown(t *testing.T) {
	m := New(Config{})
	listedAt := time.Now()
	for _, name := range []string{"container:a", "container:b", "container:c", "image:d", "image:e"} {
		m.listed[name] = listed{"n", listedAt}
	}
	before, after := listedAt.Add(-time.Hour), listedAt.Add(time.Second)
	for _, tt := range []struct {
		id, name string
		kind     watch.EventKind
		at       time.Time
		want     bool
	}{
		{"container:a", "n", watch.Appeared, before, true},
		{"container:a", "n", watch.Appeared, before, false}, // again: it happened
		{"container:b", "n", watch.Appeared, after, false},  // it was started since
		{"container:c", "other", watch.Appeared, before, false},
		{"container:x", "n", watch.Appeared, before, false},
		{"image:d", "n", watch.Appeared, after, true},
		{"image:d", "n", watch.Appeared, after, false},
		{"image:e", "n", watch.Vanished, after, false},
	} {
		e := watch.Event{Target: watch.Target{ID: tt.id, Name: tt.name}, Kind: tt.kind}
		if got := m.known(&e, tt.at); got != tt.want {
			t.Errorf("%s %s: got %v, want %v", tt.id, tt.name, got, tt.want)
		}
	}
}
