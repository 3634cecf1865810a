package tail

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ironpost/ironpost/sdk"
)

// TestEndurance writes numbered lines while the file is rotated by renaming and
// by copying and truncating, and restarts the source from the durable
// checkpoint at random points. Within one life the numbers rise by one; a life
// begins right behind the durable record: nothing is lost, and nothing comes
// twice but what was not durable.
func TestEndurance(t *testing.T) {
	for _, poll := range []bool{false, true} {
		t.Run(fmt.Sprintf("blind=%v", poll), func(t *testing.T) { endure(t, poll) })
	}
}

func endure(t *testing.T, blind bool) {
	total := 1_000_000
	if testing.Short() {
		total = 100_000
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "0\n")

	written := make(chan error, 1)
	writer := rand.New(rand.NewPCG(seed, 2))
	var rotations atomic.Int64
	begun := make(chan struct{})
	go func() {
		<-begun // a file that is rotated away before it was ever seen is not followed
		written <- produce(path, total, writer, &rotations)
	}()

	begin := sync.OnceFunc(func() { close(begun) })
	defer begin()
	l := newLedger()
	var last, durable int
	var lastAt []byte
	var restarts, again int
	var emitted atomic.Int64
	pace := rand.New(rand.NewPCG(seed, 3))
	var problem string
	// Emission is serial, and the ledger is locked around onEmit.
	l.onEmit = func(_ string, line, checkpoint []byte) {
		n, err := strconv.Atoi(string(line))
		if problem == "" && (err != nil || n != last+1) {
			problem = fmt.Sprintf("life %d: got %q after %d, counters %v\nposition before %s\nposition now    %s\n%s",
				restarts, clip([]string{string(line)}), last, l.counts, describe(lastAt), describe(checkpoint), generations(path, last+1))
		}
		if n == 0 {
			begin()
		}
		last = n
		lastAt = append(lastAt[:0], checkpoint...)
		// The host takes over what came in groups, at its own pace.
		if pace.IntN(500) == 0 {
			durable = last
			l.streams[path].durable = slices.Clone(lastAt)
		}
		emitted.Add(1)
	}
	last = -1

	deadline := time.Now().Add(4 * time.Minute)
	for finished := false; !finished; {
		config := beginning(path)
		if blind {
			config.PollInterval = 10 * time.Millisecond
		}
		src := New(&config)
		if err := src.Setup(t.Context(), sdk.Env{Counter: l.count}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- src.Run(ctx, l) }()
		goal := emitted.Load() + int64(total/50+rng.IntN(total/10))
		tick := time.NewTicker(time.Millisecond)
		for emitted.Load() < goal {
			<-tick.C
			l.mu.Lock()
			finished = last == total || problem != ""
			l.mu.Unlock()
			if finished || time.Now().After(deadline) {
				break
			}
		}
		tick.Stop()
		cancel()
		if err := <-done; err != nil {
			t.Fatalf("Run: %v", err)
		}
		if time.Now().After(deadline) {
			t.Errorf("stuck after %d", last)
			break
		}
		if !finished {
			restarts++
			again += last - durable
			last = durable
		}
	}
	if err := <-written; err != nil {
		t.Errorf("writer: %v", err)
	}
	if problem != "" {
		t.Error(problem)
	}
	t.Logf("%d lines, %d rotations, %d restarts, %d lines again after a restart, counters %v",
		total, rotations.Load(), restarts, again, l.counts)
}

// produce writes the numbers 1 to total; about every 5,000 lines it rotates,
// keeping 400 old files, in one of the two ways, and compresses half of them.
func produce(path string, total int, rng *rand.Rand, rotations *atomic.Int64) error {
	open := func() (*os.File, *bufio.Writer, error) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
		if err != nil {
			return nil, nil, err
		}
		return f, bufio.NewWriterSize(f, 1+rng.IntN(8<<10)), nil
	}
	shift := func() error {
		if rng.IntN(2) == 0 { // the newest old file has no writer any more
			if out, err := exec.Command("gzip", path+".1").CombinedOutput(); err != nil && rotations.Load() > 1 {
				return fmt.Errorf("gzip: %w: %s", err, out)
			}
		}
		for i := 400; i > 0; i-- {
			for _, suffix := range []string{"", ".gz"} {
				err := os.Rename(fmt.Sprintf("%s.%d%s", path, i, suffix), fmt.Sprintf("%s.%d%s", path, i+1, suffix))
				if err != nil && !os.IsNotExist(err) {
					return err
				}
			}
		}
		return nil
	}
	f, w, err := open()
	if err != nil {
		return err
	}
	for n := 1; n <= total; n++ {
		if _, err := fmt.Fprintf(w, "%d\n", n); err != nil {
			return err
		}
		if rng.IntN(5_000) != 0 {
			continue
		}
		rotations.Add(1)
		if err := shift(); err != nil {
			return err
		}
		if rng.IntN(2) == 0 {
			if err := os.Rename(path, path+".1"); err != nil {
				return err
			}
			if rng.IntN(2) == 0 { // the rotator creates the new file
				if err := os.WriteFile(path, nil, 0o644); err != nil {
					return err
				}
			}
			// The writer goes on in the old file for a while.
			for late := rng.IntN(200); late > 0 && n < total; late-- {
				n++
				if _, err := fmt.Fprintf(w, "%d\n", n); err != nil {
					return err
				}
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if info, err := os.Stat(path); err == nil {
			if own, err := f.Stat(); err == nil && os.SameFile(info, own) {
				content, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				if err := os.WriteFile(path+".1", content, 0o644); err != nil {
					return err
				}
				if err := os.Truncate(path, 0); err != nil {
					return err
				}
				continue
			}
		}
		if err := f.Close(); err != nil {
			return err
		}
		if f, w, err = open(); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// describe and generations say where a gap lies.
func describe(checkpoint []byte) string {
	marks, err := decodePosition(checkpoint)
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, m := range marks {
		out = append(out, fmt.Sprintf("inode %d offset %d", m.inode, m.offset))
	}
	return strings.Join(out, ", ")
}

func generations(path string, missing int) string {
	var out strings.Builder
	names, _ := filepath.Glob(path + "*")
	for _, name := range names {
		content, err := os.ReadFile(name)
		info, statErr := os.Stat(name)
		if err != nil || statErr != nil {
			continue
		}
		lines := strings.Fields(string(content))
		if len(lines) == 0 {
			continue
		}
		first, _ := strconv.Atoi(lines[0])
		if first < missing-20_000 || first > missing+20_000 {
			continue
		}
		fmt.Fprintf(&out, "%s inode %d size %d modified %s: %s to %s\n", filepath.Base(name), identify(info).inode,
			info.Size(), info.ModTime().Format("05.000000"), lines[0], lines[len(lines)-1])
	}
	return out.String()
}
