package roster

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/catalog"
	"github.com/ironpost/ironpost/host/internal/config"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// verb looks at a folder of plugins as one process of an offline verb after the other does.
// Files have the form "NAME KIND ...", and are never run: that they describe themselves as
// such is remembered.
type verb struct {
	t      *testing.T
	dir    string // of the plugins
	exe    string // the host's, beside plugins.sha256
	memory string
	keys   []string
	// copies is where the last one kept copies.
	copies string
}

func newVerb(t *testing.T) *verb {
	t.Helper()
	root := t.TempDir()
	v := &verb{t: t, dir: filepath.Join(root, "plugins"), exe: filepath.Join(root, "ironpost"), memory: filepath.Join(root, "memory")}
	if err := os.Mkdir(v.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	v.put(v.exe, "host")
	return v
}

func (v *verb) path(file string) string { return filepath.Join(v.dir, file) }

func (v *verb) put(path, content string) {
	v.t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		v.t.Fatal(err)
	}
}

func digestOf(content string) string {
	h := sha256.Sum256([]byte(content))
	return hex.EncodeToString(h[:])
}

// list writes plugins.sha256.
func (v *verb) list(files map[string]string) {
	v.t.Helper()
	var b strings.Builder
	for file, content := range files {
		fmt.Fprintf(&b, "%s  %s\n", digestOf(content), file)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(v.exe), catalog.SumsFile), []byte(b.String()), 0o644); err != nil {
		v.t.Fatal(err)
	}
}

// look is one process: it wants scanners. It returns what it decided of each candidate by path, and the
// files that it read.
func (v *verb) look(memory string) (decided map[string]string, read []string) {
	v.t.Helper()
	m, _ := catalog.OpenMemory(memory, func() time.Time { return time.Now().Add(time.Hour) }) // of no use is empty
	for _, kind := range []string{"scanner", "sink"} {
		for _, name := range []string{"one", "two", "own"} {
			for _, variant := range []string{"a", "b"} {
				b, err := proto.Marshal(&pb.Description{Name: name, Version: "1", Api: pb.API, Kinds: []string{kind}})
				if err != nil {
					v.t.Fatal(err)
				}
				m.Describe(digestOf(content(name, kind, variant)), "1.0.0", b)
			}
		}
	}
	data := v.t.TempDir()
	v.copies = filepath.Join(data, "plugins")
	r, err := New(Config{
		Logger: hclog.NewNullLogger(), DataDir: data, Dirs: []string{v.dir}, Version: "1.0.0", Memory: m, TrustAll: true,
		Plugins: config.Plugins{TrustedKeys: v.keys},
		Want:    func(d *pb.Description) bool { return slices.Contains(d.Kinds, "scanner") },
	})
	if err != nil {
		v.t.Fatal(err)
	}
	defer r.chill()
	r.options.HostExecutable = v.exe
	if err := r.Scan(v.t.Context()); err != nil {
		v.t.Fatal(err)
	}
	decided = make(map[string]string)
	for _, p := range r.plugins {
		said := fmt.Sprintf("%s, %s by %s", p.name(), p.decision.State, p.decision.Trust)
		if p.decision.Refusal != nil {
			said += fmt.Sprintf(", %s", p.decision.Refusal)
		}
		decided[p.path] = said
		if !p.recalled && p.digest != "" {
			read = append(read, p.file)
		}
		if run := r.mayRun(p); run && p.recalled {
			v.t.Errorf("%s may run and was not looked at", p.path)
		}
	}
	slices.Sort(read)
	stored, err := os.ReadDir(v.copies)
	if err != nil {
		v.t.Fatal(err)
	}
	if len(stored) > len(read) {
		v.t.Errorf("got %d copies, want at most those of %v", len(stored), read)
	}
	return decided, read
}

// content is what a plugin's file has; those of variants are of the same size.
func content(name, kind, variant string) string { return name + " " + kind + " " + variant }

// TestRecallAnswersTheSame changes what lies in the plugin directory under a verb that remembers
// it: the answers are those of one that remembers nothing.
func TestRecallAnswersTheSame(t *testing.T) {
	// A file is put in place with the time of the one before it.
	back := func(v *verb, file, with string) {
		info, err := os.Lstat(v.path(file))
		if err == nil {
			v.put(v.path(file), with)
			err = os.Chtimes(v.path(file), info.ModTime(), info.ModTime())
		}
		if err != nil {
			v.t.Fatal(err)
		}
	}
	do := func(v *verb, err error) {
		if err != nil {
			v.t.Fatal(err)
		}
	}
	one, two, own := content("one", "scanner", "a"), content("two", "sink", "a"), content("own", "sink", "a")
	for _, c := range []struct {
		name   string
		change func(v *verb)
		read   []string // files
		says   string   // of one candidate
	}{
		{"nothing", func(*verb) {}, []string{"one"}, "one, enabled by built-in"},
		{"other bytes of a wanted one", func(v *verb) { back(v, "one", content("one", "scanner", "b")) }, []string{"one"}, "one, changed by , IP130"},
		{"other bytes of one that is not wanted", func(v *verb) { back(v, "two", content("two", "sink", "b")) }, []string{"one", "two"}, "two, changed by , IP130"},
		{"what is not wanted becomes what is", func(v *verb) { back(v, "own", content("own", "scanner", "b")) }, []string{"one", "own"}, "own, enabled by pinned"},
		{"a file swapped for another", func(v *verb) {
			do(v, os.Rename(v.path("one"), v.path("x")))
			do(v, os.Rename(v.path("two"), v.path("one")))
			do(v, os.Rename(v.path("x"), v.path("two")))
		}, []string{"one", "two"}, "two, changed by , IP130"},
		{"a link", func(v *verb) {
			do(v, os.Rename(v.path("two"), v.path("x")))
			do(v, os.Symlink("x", v.path("two")))
		}, []string{"one", "x"}, "IP106"},
		{"writable by others", func(v *verb) { do(v, os.Chmod(v.path("two"), 0o775)) }, []string{"one"}, "IP102"},  //nolint:gosec // it is meant to be refused
		{"a wanted one writable by others", func(v *verb) { do(v, os.Chmod(v.path("one"), 0o775)) }, nil, "IP102"}, //nolint:gosec // likewise
		{"a directory writable by others", func(v *verb) { do(v, os.Chmod(v.dir, 0o777)) }, nil, "IP104"},          //nolint:gosec // likewise
		{"another claims a name that is wanted", func(v *verb) { v.put(v.path("thief"), content("one", "sink", "b")) }, []string{"thief"}, "IP131"},
		{"another claims a name that is not", func(v *verb) { v.put(v.path("thief"), content("two", "sink", "b")) }, []string{"one", "thief"}, "IP131"},
		{"plugins.sha256 lists other bytes", func(v *verb) {
			v.list(map[string]string{"one": one, "two": content("two", "sink", "b")})
		}, []string{"one"}, "two, changed by , IP130"},
		{"a file is gone", func(v *verb) { do(v, os.Remove(v.path("two"))) }, []string{"one"}, "one, enabled"},
		{"keys are trusted from now on", func(v *verb) {
			v.keys = []string{"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"}
		}, []string{"one", "own"}, "own, refused by , IP133"},
		{"the memory is damaged", func(v *verb) { do(v, os.Truncate(v.memory, 100)) }, []string{"one", "own", "two"}, "one, enabled by built-in"},
		{"the memory is writable by others", func(v *verb) { do(v, os.Chmod(v.memory, 0o620)) }, []string{"one", "own", "two"}, "one, enabled by built-in"}, //nolint:gosec // likewise
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVerb(t)
			for file, text := range map[string]string{"one": one, "two": two, "own": own} {
				v.put(v.path(file), text)
			}
			v.list(map[string]string{"one": one, "two": two})
			if _, read := v.look(v.memory); !slices.Equal(read, []string{"one", "own", "two"}) {
				t.Errorf("nothing is remembered: got read %v, want all", read)
			}
			tick(t, v.path("one"))
			c.change(v)
			warm, read := v.look(v.memory)
			cold, _ := v.look(filepath.Join(t.TempDir(), "other"))
			if diff := cmp.Diff(cold, warm); diff != "" {
				t.Errorf("it remembers something else than what is (-is +remembered):\n%s", diff)
			}
			if !slices.Equal(read, c.read) {
				t.Errorf("read: got %v, want %v", read, c.read)
			}
			said := false
			for _, s := range warm {
				said = said || strings.Contains(s, c.says)
			}
			if !said {
				t.Errorf("got %v, want %q in it", warm, c.says)
			}
		})
	}
}

// tick waits until a file that is written is given another time than this one has.
func tick(t *testing.T, path string) {
	t.Helper()
	was, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	clock := filepath.Join(t.TempDir(), "clock")
	for {
		if err := os.WriteFile(clock, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		now, err := os.Lstat(clock)
		if err != nil {
			t.Fatal(err)
		}
		if changedAt(now).After(changedAt(was)) {
			return
		}
	}
}
