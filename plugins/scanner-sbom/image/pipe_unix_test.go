//go:build unix

package image_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/image"
)

// A pipe in the place of an archive is none, and is not waited for.
func TestPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "image.tar")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	answer := make(chan bool, 2)
	go func() {
		answer <- image.Is(pipe)
		im, err := image.Open(t.Context(), pipe, image.Options{Dir: t.TempDir()})
		if err == nil {
			_ = im.Close()
		}
		answer <- err == nil
	}()
	for _, what := range []string{"is looked at", "is opened"} {
		select {
		case ok := <-answer:
			if ok {
				t.Errorf("a pipe %s as an image", what)
			}
		case <-time.After(20 * time.Second):
			f, err := os.OpenFile(pipe, os.O_RDWR, 0) // lets it go
			if err == nil {
				err = f.Close()
			}
			t.Fatalf("a pipe %s: it waits for who writes into it (%v)", what, err)
		}
	}
}
