package incident_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/host/internal/incident"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const id = "5d0c7f1e9a2b4c68"

const document = `{"id":"5d0c7f1e9a2b4c68","alert_id":"a1","trace_id":"t1","container":"c1","reason":"A miner runs in it.",
"details":{"policy":"miners","target_name":"web-1"},"begun":"2026-03-01T12:00:00Z","ended":"2026-03-01T12:00:01Z",
"missing":{"top.json":"it does not run"},"cut":["logs.bin"]}`

func line(name, text string) string {
	return fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(text)), name)
}

// write makes an incident as the plugin does, and returns the folder of incidents and
// the hash of its manifest.
func write(t *testing.T, name string) (dir, recorded string) {
	t.Helper()
	dir = t.TempDir()
	return dir, add(t, dir, name)
}

func add(t *testing.T, dir, name string) (recorded string) {
	t.Helper()
	sums := line("incident.json", document) + line("inspect.json", "{}") + line("logs.bin", "hello\n")
	for file, text := range map[string]string{"incident.json": document, "inspect.json": "{}", "logs.bin": "hello\n", "SHA256SUMS": sums} {
		put(t, filepath.Join(dir, name, file), text)
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(sums)))
}

func put(t *testing.T, path, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestVerify(t *testing.T) {
	dir, recorded := write(t, id)
	got, err := incident.Verify(t.Context(), dir, id, recorded)
	if err != nil {
		t.Fatal(err)
	}
	if got.State != incident.Verified || len(got.Faults) > 0 || got.Manifest != recorded {
		t.Errorf("got %s, %q", got.State, got.Faults)
	}
	if got.Path != filepath.Join(dir, id) || got.AlertId != "a1" || got.TraceId != "t1" || got.Container != "c1" || got.ContainerName != "web-1" ||
		got.Policy != "miners" || got.Reason != "A miner runs in it." || !got.Begun.AsTime().Equal(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)) ||
		!cmp.Equal(got.Missing, map[string]string{"top.json": "it does not run"}) {
		t.Errorf("got %v", got)
	}
	var files []string
	for _, f := range got.Files {
		files = append(files, fmt.Sprintf("%s %d %s %v", f.Name, f.Bytes, f.State, f.Cut))
	}
	sums := len(line("incident.json", "")) + len(line("inspect.json", "")) + len(line("logs.bin", ""))
	want := []string{fmt.Sprintf("SHA256SUMS %d ok false", sums), fmt.Sprintf("incident.json %d ok false", len(document)), "inspect.json 2 ok false", "logs.bin 6 ok true"}
	if d := cmp.Diff(want, files); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	if got, err := incident.Verify(t.Context(), dir, id, ""); err != nil || got.State != incident.Unrecorded {
		t.Errorf("without what was recorded: got %v, %v", got.GetState(), err)
	}
}

// TestChanged changes an incident in every way that its owner can.
func TestChanged(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(t *testing.T, place string)
		fault  string
	}{
		{"a file", func(t *testing.T, p string) { put(t, filepath.Join(p, "inspect.json"), "{ }") }, "inspect.json is not as it was kept."},
		{"a file is gone", func(t *testing.T, p string) { remove(t, filepath.Join(p, "logs.bin")) }, "logs.bin is gone."},
		{"a file more", func(t *testing.T, p string) { put(t, filepath.Join(p, "new.json"), "") }, "new.json is not in the manifest."},
		{"a file and the manifest", func(t *testing.T, p string) {
			put(t, filepath.Join(p, "inspect.json"), "[]")
			put(t, filepath.Join(p, "SHA256SUMS"), line("incident.json", document)+line("inspect.json", "[]")+line("logs.bin", "hello\n"))
		}, "The manifest is not the one that was recorded"},
		{"no manifest", func(t *testing.T, p string) { remove(t, filepath.Join(p, "SHA256SUMS")) }, "The manifest SHA256SUMS cannot be read"},
		{"a manifest that is none", func(t *testing.T, p string) { put(t, filepath.Join(p, "SHA256SUMS"), "hello\n") }, "The manifest is not as it was written"},
		{"a manifest that names a path", func(t *testing.T, p string) {
			put(t, filepath.Join(p, "SHA256SUMS"), strings.Replace(line("x", ""), "  x", "  ../../../etc/passwd", 1))
		}, "The manifest is not as it was written"},
		{"a manifest that is too long", func(t *testing.T, p string) {
			put(t, filepath.Join(p, "SHA256SUMS"), strings.Repeat(line("x", ""), 2000))
		}, "it has more than 65536 bytes"},
		{"a name twice", func(t *testing.T, p string) {
			put(t, filepath.Join(p, "SHA256SUMS"), line("inspect.json", "{}")+line("inspect.json", "[]"))
		}, "it names inspect.json twice"},
		{"a link out of it", func(t *testing.T, p string) {
			remove(t, filepath.Join(p, "inspect.json"))
			if err := os.Symlink("/etc/passwd", filepath.Join(p, "inspect.json")); err != nil {
				t.Skip(err)
			}
		}, "inspect.json cannot be read"},
		{"what it is about", func(t *testing.T, p string) { put(t, filepath.Join(p, "incident.json"), "{") }, "incident.json cannot be read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, recorded := write(t, id)
			test.change(t, filepath.Join(dir, id))
			got, err := incident.Verify(t.Context(), dir, id, recorded)
			if err != nil {
				t.Fatal(err)
			}
			if got.State != incident.Changed || !slices.ContainsFunc(got.Faults, func(f string) bool { return strings.Contains(f, test.fault) }) {
				t.Errorf("got %s, %q; want %q", got.State, got.Faults, test.fault)
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

func TestFind(t *testing.T) {
	dir, _ := write(t, id)
	add(t, dir, "5d0c7f1e00000000")
	add(t, dir, "short-1")
	for _, test := range []struct {
		id, want string
		err      error
	}{
		{id, id, nil},
		{"5d0c7f1e9", id, nil},
		{"5d0c7f1e", "", incident.ErrAmbiguous},
		{"5d0c7f1", "", incident.ErrNone}, // too short to be sure
		{"ffffffff", "", incident.ErrNone},
		{"../" + id, "", incident.ErrNone},
		{"", "", incident.ErrNone},
	} {
		if got, err := incident.Find(dir, test.id); got != test.want || !errors.Is(err, test.err) {
			t.Errorf("Find(%q): got %q, %v; want %q, %v", test.id, got, err, test.want, test.err)
		}
	}
	if _, err := incident.Find(filepath.Join(dir, "nowhere"), id); !errors.Is(err, incident.ErrNone) {
		t.Errorf("in no folder: got %v", err)
	}
	for _, wrong := range []string{"../" + filepath.Base(dir), "ffffffff", "."} {
		if _, err := incident.Verify(t.Context(), dir, wrong, ""); !errors.Is(err, incident.ErrNone) {
			t.Errorf("Verify(%q): got %v", wrong, err)
		}
	}
}

func TestList(t *testing.T) {
	dir, _ := write(t, "first000")
	for n, name := range []string{"second00", "third000"} {
		add(t, dir, name)
		at := time.Now().Add(time.Duration(n+1) * time.Hour)
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(dir, "half0000.partial", "x"), "") // it is being collected
	put(t, filepath.Join(dir, "a-file-here"), "")
	put(t, filepath.Join(dir, "empty000", "incident.json"), strings.Repeat(" ", 2<<20))
	old := time.Unix(1_700_000_000, 0)
	if err := os.Chtimes(filepath.Join(dir, "empty000"), old, old); err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int][]string{0: {"third000", "second00", "first000", "empty000"}, 2: {"third000", "second00"}} {
		list, err := incident.List(dir, limit)
		if err != nil {
			t.Fatal(err)
		}
		if got := ids(list); !cmp.Equal(got, want) {
			t.Errorf("at most %d: got %q, want %q", limit, got, want)
		}
		if limit == 0 && len(list[3].Faults) == 0 {
			t.Error("nothing is said of one that cannot be read")
		}
	}
	if _, err := incident.List(filepath.Join(dir, "nowhere"), 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of no folder: got %v", err)
	}
}

func ids(list []*pb.Incident) (out []string) {
	for _, i := range list {
		out = append(out, i.Id)
	}
	return out
}

// TestEnded: who has gone has nothing hashed for.
func TestEnded(t *testing.T) {
	dir, _ := write(t, id)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	put(t, filepath.Join(dir, id, "logs.bin"), strings.Repeat("x", 5<<20))
	if _, err := incident.Verify(ctx, dir, id, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was given up", err)
	}
}
