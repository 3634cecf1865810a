package logfile

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func zipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFind(t *testing.T) {
	dir := tree(t, map[string]string{
		"auth.log": "3\n", "auth.log.1": "2", "auth.log.2.gz": zipped(t, "1\n"), "auth.log.10.gz": zipped(t, "0\n"), "auth.log.gz": zipped(t, "x\n"),
		"nginx/access.log-20260131": "a\n", "nginx/access.log-20260201.gz": zipped(t, "b\n"), "nginx/access.log": "c\n", "nginx/error.log.1": "e\n",
		"app/app-2026-01-31.log": "2\n", "app/app-2025-12-31.log": "1\n", "app/app.log": "3\n", "app/postgresql-2026-02-01_101500.log": "p\n",
		"empty": "", ".hidden": "x\n", ".git/a": "x\n", "wtmp": "a\x00b", "hole.log": "\x00\x00\x00line\n", "guest.log": "Invalid user \x00\x01 from 192.0.2.7\n", "zeros": "\x00\x00",
		"old.log.3.xz": "\xfd7zXZ\x00rest", "broken.gz": "\x1f\x8bno", "empty.gz": zipped(t, ""), "v1.2": "dots\n",
	})
	if err := os.Symlink(filepath.Join(dir, "auth.log"), filepath.Join(dir, "link.log")); err != nil {
		t.Fatal(err)
	}
	streams, left, err := Find([]string{filepath.Join(dir, "nginx", "error.log.1"), "-", dir})
	if err != nil {
		t.Fatal(err)
	}
	relative := func(path string) string { return strings.TrimPrefix(path, dir+"/") }
	var got []Stream
	for _, s := range streams {
		for i := range s.Files {
			s.Files[i] = relative(s.Files[i])
		}
		got = append(got, Stream{relative(s.Name), s.Files, s.found})
	}
	want := []Stream{
		{"nginx/error.log.1", []string{"nginx/error.log.1"}, false},
		{"-", []string{"-"}, false},
		{"app/app.log", []string{"app/app-2025-12-31.log", "app/app-2026-01-31.log", "app/app.log"}, true},
		{"app/postgresql.log", []string{"app/postgresql-2026-02-01_101500.log"}, true},
		{"auth.log", []string{"auth.log.10.gz", "auth.log.2.gz", "auth.log.1", "auth.log", "auth.log.gz"}, true},
		{"guest.log", []string{"guest.log"}, true},
		{"hole.log", []string{"hole.log"}, true},
		{"nginx/access.log", []string{"nginx/access.log-20260131", "nginx/access.log-20260201.gz", "nginx/access.log"}, true},
		{"nginx/error.log", []string{"nginx/error.log.1"}, true},
		{"v1", []string{"v1.2"}, true},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Stream{})); diff != "" {
		t.Errorf("streams (-want +got):\n%s", diff)
	}
	var names []string
	for _, p := range left {
		names = append(names, relative(p.Error()))
	}
	wantLeft := []string{
		"broken.gz: decompress: unexpected EOF", "old.log.3.xz: xz: its compression is not read; decompress it first",
		"wtmp: it holds no text", "zeros: it holds no text",
	}
	if diff := cmp.Diff(wantLeft, names); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
	if _, _, err := Find([]string{filepath.Join(dir, "absent")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is not there: got %v, want an error that says so", err)
	}
}

func TestRead(t *testing.T) {
	text := strings.Repeat("a line of a log\n", 10_000)
	dir := tree(t, map[string]string{
		"1.gz": zipped(t, text) + zipped(t, "and a second member"), "2": "two", "3": "", "4": "four\n", "cut": zipped(t, text)[:200], "xz": "\xfd7zXZ\x00",
	})
	at := func(names ...string) (s Stream) {
		for _, n := range names {
			if n != "-" {
				n = filepath.Join(dir, n)
			}
			s.Files = append(s.Files, n)
		}
		return s
	}
	for _, tc := range []struct {
		name    string
		stream  Stream
		want    string
		damaged string
	}{
		{"files end with a line", at("1.gz", "2", "3", "4", "2"), text + "and a second member\ntwo\nfour\ntwo", ""},
		{"standard input", at("-", "4"), "input\nfour\n", ""},
		{"a damaged one", at("cut", "4"), "four\n", "cut: read as far as it goes: decompress: unexpected EOF"},
		{"one that is gone", at("2", "gone", "4"), "two\nfour\n", "gone: no such file or directory"},
		{"another compression", at("2", "xz", "4"), "two\nfour\n", "xz: xz: its compression"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := tc.stream.Open(strings.NewReader("input"))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(iotest.OneByteReader(r))
			if err != nil {
				t.Fatal(err)
			}
			damaged := ""
			for _, p := range r.Damaged() {
				damaged += p.Error()
			}
			if got := string(b); tc.name == "a damaged one" {
				if !strings.HasSuffix(got, tc.want) || !strings.HasPrefix(got, "a line") {
					t.Errorf("got %d bytes, want what could be read, and %q", len(got), tc.want)
				}
			} else if got != tc.want {
				t.Errorf("got %d bytes, want %d: %.80q", len(got), len(tc.want), got)
			}
			if !strings.Contains(damaged, tc.damaged) || (tc.damaged == "") != (damaged == "") {
				t.Errorf("damaged: got %q, want %q", damaged, tc.damaged)
			}
			if err := r.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	for name, want := range map[string]string{"gone": "no such file", "xz": "decompress it first"} {
		if _, err := at(name).Open(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

// FuzzRead checks that no content hangs the reader or makes it panic, and that
// what is not compressed comes as it is.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"", "a\n", "a", "\x1f\x8b", zipped(f, "a\nb"), zipped(f, "a")[:15], "BZh", "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := Stream{Files: []string{"-"}}.Open(bytes.NewReader(content))
		if err != nil {
			return
		}
		got, err := io.ReadAll(io.LimitReader(r, 1<<24))
		if err != nil || compression(content) == "" && !bytes.Equal(got, content) {
			t.Fatalf("got %q, %v, want %q", got, err, content)
		}
	})
}
