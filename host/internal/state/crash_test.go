package state

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// victimEnv names the directory in which the test binary writes until it is
// killed.
const victimEnv = "IRONPOST_STATE_TEST_VICTIM"

// victim writes one moment after the other into the store, each in all three
// places, and entries into the journal; it prints what Wait returned for.
func victim(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	s, err := Open(dir, 1<<20)
	fail(err)
	j, err := OpenJournal(filepath.Join(dir, "journal"), 1<<30, nil)
	fail(err)
	go s.Run(context.Background(), time.Millisecond, fail)
	go func() {
		for moment := uint64(1); ; moment++ {
			// The three belong together as far as one call says so: state and
			// position in Durable; the checkpoint follows behind.
			s.Durable("d", []Position{{Stream: 1, Next: moment}}, []*pb.StateEntry{
				{Key: "a", Value: binary.BigEndian.AppendUint64(nil, moment)},
				{Key: "b", Value: binary.BigEndian.AppendUint64(nil, moment)},
			})
			s.Checkpoint("s", "stream", moment, binary.BigEndian.AppendUint64(nil, moment))
		}
	}()
	for writer := range 4 {
		go func() {
			for n := 0; ; n++ {
				i, err := j.Append(uint8(writer), fmt.Appendf(nil, "%d/%d %s", writer, n, strings.Repeat("x", n%500)))
				fail(err)
				fail(j.Wait(context.Background(), i))
				fmt.Printf("%d %d %d\n", i, writer, n)
			}
		}()
	}
	select {}
}

// TestKilled kills a host in the middle of its work again and again.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	lastMoment, promised := uint64(0), map[uint64]string{}
	for round := range 8 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), victimEnv+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(time.Duration(100+rand.IntN(200))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		lines, _ := io.ReadAll(out)
		kill.Stop()
		_ = cmd.Wait()
		sc := bufio.NewScanner(strings.NewReader(string(lines)))
		for sc.Scan() {
			index, rest, ok := strings.Cut(sc.Text(), " ")
			n, err := strconv.ParseUint(index, 10, 64)
			if !ok || err != nil || strings.Count(rest, " ") != 1 {
				continue // cut by the kill
			}
			promised[n] = strings.Replace(rest, " ", "/", 1)
		}
		lastMoment = checkMoment(t, dir, lastMoment)
		checkPromises(t, filepath.Join(dir, "journal"), promised)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	if lastMoment == 0 || len(promised) == 0 {
		t.Fatalf("nothing was written: moment %d, %d promises", lastMoment, len(promised))
	}
	t.Logf("moment %d, %d entries promised and kept", lastMoment, len(promised))
}

func checkMoment(t *testing.T, dir string, before uint64) uint64 {
	t.Helper()
	s, err := Open(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	positions, err := s.Positions("d")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := s.PluginState("d")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := s.SourcePositions("s")
	if err != nil {
		t.Fatal(err)
	}
	moment := positions[1]
	if moment == 0 {
		return before // killed before the first commit
	}
	for _, e := range entries {
		if got := binary.BigEndian.Uint64(e.Value); got != moment {
			t.Errorf("state %s is of moment %d, the position of %d", e.Key, got, moment)
		}
	}
	if len(entries) != 2 || len(sources) != 1 {
		t.Errorf("%d keys and %d sources, want 2 and 1", len(entries), len(sources))
		return moment
	}
	// The checkpoint may be one behind: it is noted after the effects, and must
	// never be ahead of them.
	if c := binary.BigEndian.Uint64(sources[0].Checkpoint); c != sources[0].NextSequence || c > moment || c+1 < moment {
		t.Errorf("the checkpoint is of moment %d (sequence %d), the position of %d", c, sources[0].NextSequence, moment)
	}
	return moment
}

func checkPromises(t *testing.T, dir string, promised map[uint64]string) {
	t.Helper()
	got := map[uint64]string{}
	next := uint64(1)
	j, err := OpenJournal(dir, 1<<30, func(e Entry) {
		if e.Index != next {
			t.Errorf("entry %d follows entry %d", e.Index, next-1)
		}
		next = e.Index + 1
		text, _, _ := strings.Cut(string(e.Data), " ")
		got[e.Index] = text
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}()
	for i, want := range promised {
		if got[i] != want {
			t.Errorf("entry %d: got %q, want %q, for which Wait returned", i, got[i], want)
			return
		}
	}
}
