package recall

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A pipe that took the place of a file after that was read does not hold the scan up.
func TestPipe(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "Cargo.lock")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	s := newSession(root, newKnown(), nil, func(int) bool { return true })
	answer := make(chan bool, 1)
	go func() { answer <- s.trusts("Cargo.lock", 1<<40) }()
	select {
	case ok := <-answer:
		if ok {
			t.Error("the file system of a pipe on another device is trusted")
		}
	case <-time.After(20 * time.Second):
		t.Error("it waits for who writes into the pipe")
		f, err := os.OpenFile(pipe, os.O_RDWR, 0) // lets it go
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		<-answer
	}
}
