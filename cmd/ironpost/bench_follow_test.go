//go:build bench

package main_test

import (
	"bufio"
	"context"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// benchFollow calls visit, in one goroutine, with each event of a kind as
// ironpost events tail writes it, until the test ends. ctx is done then.
func benchFollow(t *testing.T, h *hosttest.Host, kind string, visit func(ctx context.Context, line []byte)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(hosttest.Build(), "ironpost"), "--socket", h.Socket, "events", "tail", "--kind", kind)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		in := bufio.NewScanner(out)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			visit(ctx, in.Bytes())
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = cmd.Wait() // it was killed
	})
}
