//go:build unix

package logfile

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What was found may be something else when it is opened. None of it may block.
func TestReplacedFile(t *testing.T) {
	dir := tree(t, map[string]string{"elsewhere/secret": "text\n"})
	path := filepath.Join(dir, "logs", "app.log")
	for name, put := range map[string]func() error{
		"named pipe": func() error { return syscall.Mkfifo(path, 0o600) },
		"link":       func() error { return os.Symlink(filepath.Join(dir, "elsewhere", "secret"), path) },
		"directory":  func() error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("a line\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			streams, _, err := Find([]string{filepath.Dir(path)})
			if err != nil || len(streams) != 1 {
				t.Fatalf("got %v, %v; want one stream", streams, err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := put(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = os.RemoveAll(path) }()
			want := errNoFile
			if name == "link" {
				want = syscall.ELOOP
			}
			r, err := streams[0].Open(nil)
			if !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
			if err == nil {
				_ = r.Close()
			}
			if err := readable(path); !errors.Is(err, want) {
				t.Errorf("readable: got %v, want %v", err, want)
			}
		})
	}
}
