//go:build bench

package main_test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// relays is a chain of processes that pass a byte on: the floor of every latency
// through processes, on this machine at this moment.
type relays struct{ first, last *os.File }

// startRelays starts n processes, and so n+1 hops.
func startRelays(t *testing.T, n int) *relays {
	t.Helper()
	program := hosttest.Compile(t, "./cmd/ironpost/testdata/bench/relay")
	from, first, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r := &relays{first: first}
	for range n {
		next, to, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program)
		cmd.Stdin, cmd.Stdout = from, to
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_ = from.Close()
		_ = to.Close()
		t.Cleanup(func() { _ = cmd.Wait() }) // it ends when the first pipe is closed
		from = next
	}
	r.last = from
	t.Cleanup(func() {
		_ = first.Close()
		_ = r.last.Close()
	})
	return r
}

// pass returns how long a byte takes through the chain.
func (r *relays) pass(t *testing.T) time.Duration {
	t.Helper()
	var b [1]byte
	began := time.Now()
	if _, err := r.first.Write(b[:]); err != nil {
		t.Fatal(err)
	}
	if _, err := r.last.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}
