//go:build unix

package catalog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree returns the files in a directory with their contents; directories end in
// a slash.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, e := range entries {
		if e.IsDir() {
			out[e.Name()+"/"] = ""
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(b)
	}
	return out
}

func TestPlace(t *testing.T) {
	for _, tt := range []struct {
		name      string
		before    map[string]string
		signature []byte
		after     map[string]string
	}{
		{"new", nil, nil, map[string]string{"p": "new"}},
		{"new and signed", nil, []byte("s2"), map[string]string{"p": "new", "p.minisig": "s2"}},
		{"in place of another", map[string]string{"p": "old"}, nil, map[string]string{"p": "new"}},
		{"signed ones", map[string]string{"p": "old", "p.minisig": "s1"}, []byte("s2"), map[string]string{"p": "new", "p.minisig": "s2"}},
		{"unsigned for signed", map[string]string{"p": "old", "p.minisig": "s1"}, nil, map[string]string{"p": "new"}},
		{"signed for unsigned", map[string]string{"p": "old"}, []byte("s2"), map[string]string{"p": "new", "p.minisig": "s2"}},
	} {
		for _, keep := range []bool{true, false} {
			t.Run(tt.name+map[bool]string{true: ", kept", false: ", undone"}[keep], func(t *testing.T) {
				dir, opts := plugins(t)
				for name, content := range tt.before {
					write(t, filepath.Join(dir, name), content, 0o700)
				}
				p, err := Place(strings.NewReader("new"), sum("new"), tt.signature, filepath.Join(dir, "p"), opts)
				if err != nil {
					t.Fatal(err)
				}
				if info, err := os.Stat(p.Path); err != nil || info.Mode() != installedMode {
					t.Errorf("got %v, %v, want mode %04o", info.Mode(), err, installedMode)
				}
				if found := scan(t, opts, dir); len(found) != 1 || found[0].Refusal != nil || found[0].File != "p" {
					t.Errorf("a scan meanwhile finds %+v, want the new file alone", found)
				}
				want := tt.after
				if keep {
					err = p.Keep()
				} else {
					want = tt.before
					err = p.Undo()
				}
				if err != nil {
					t.Error(err)
				}
				if want == nil {
					want = map[string]string{}
				}
				if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
					t.Errorf("directory (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestPlaceRefuses(t *testing.T) {
	dir, opts := plugins(t)
	path := filepath.Join(dir, "p")
	write(t, path, "old", 0o755)
	if _, err := Place(strings.NewReader("other"), sum("new"), nil, path, opts); !errors.Is(err, ErrMoved) {
		t.Errorf("other bytes: got %v, want %v", err, ErrMoved)
	}
	chmod(t, dir, 0o777)
	var refusal *Refusal
	if _, err := Place(strings.NewReader("new"), sum("new"), nil, path, opts); !errors.As(err, &refusal) || refusal.Code != WritablePath {
		t.Errorf("a directory that anybody can write: got %v, want %s", err, WritablePath)
	}
	chmod(t, dir, 0o755)
	if _, err := Place(strings.NewReader("new"), sum("new"), nil, filepath.Join(dir, "none", "p"), opts); err == nil {
		t.Error("a directory that is not there: got no error")
	}
	if diff := cmp.Diff(map[string]string{"p": "old"}, tree(t, dir)); diff != "" {
		t.Errorf("after all that (-want +got):\n%s", diff)
	}
}

func TestUnplace(t *testing.T) {
	dir, _ := plugins(t)
	for _, name := range []string{"p", "p.minisig", "q", "q.minisig2"} {
		write(t, filepath.Join(dir, name), "x", 0o755)
	}
	if err := os.Symlink("q", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"p", "link"} {
		if err := Unplace(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if err := Unplace(filepath.Join(dir, "p")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want %v", err, os.ErrNotExist)
	}
	if diff := cmp.Diff(map[string]string{"q": "x", "q.minisig2": "x"}, tree(t, dir)); diff != "" {
		t.Errorf("directory (-want +got):\n%s", diff)
	}
}
