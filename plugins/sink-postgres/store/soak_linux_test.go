//go:build soak

package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/pgtest"
	"github.com/ironpost/ironpost/plugins/internal/storebench"
)

// TestKillsOfAMillion kills the server and the writer at random while a million events
// (EVENTS) are written: every event that was acknowledged is there, and none twice.
func TestKillsOfAMillion(t *testing.T) {
	if dir := os.Getenv("STORE_TEST_WRITER"); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	own := ownServer(t, pgtest.Config{})
	events := wanted(t)
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	kills := map[string]int{}
	for acknowledged(t, dir) < events {
		writer := exec.Command(os.Args[0], "-test.run", "^TestKillsOfAMillion$", "-test.timeout", "1h")
		writer.Env = append(os.Environ(), "STORE_TEST_WRITER="+dir, "STORE_TEST_URL="+own.URL("postgres"), fmt.Sprint("EVENTS=", events))
		writer.Stderr = os.Stderr
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- writer.Wait() }()
		for alive := true; alive; {
			select {
			case err := <-ended:
				t.Logf("a writer ended: %v", err)
				alive = false
			case <-time.After(time.Duration(200+random.IntN(1800)) * time.Millisecond):
				if random.IntN(2) == 0 {
					kills["writer"]++
					if err := writer.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
						t.Fatal(err)
					}
					continue
				}
				kills["server"]++
				if err := own.Kill(); err != nil {
					t.Fatal(err)
				}
				if random.IntN(2) == 0 { // it stays away for a while
					select {
					case err := <-ended:
						t.Logf("the writer ended: %v", err)
						alive = false
					case <-time.After(time.Duration(random.IntN(3000)) * time.Millisecond):
					}
				}
				if err := own.Start(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	s := open(t, Config{Connection: connection(t, own.URL("postgres")), Host: "host-a", Dir: filepath.Join(dir, "spool")})
	running(t, s)
	eventually(t, "drained", func() bool { return s.Stats().Waiting == 0 && s.Health() == nil })
	all, different := count(t, own, "postgres")
	t.Logf("killed %v; %d events acknowledged, %d there, %d different, %+v", kills, acknowledged(t, dir), all, different, s.Stats())
	if all != events || different != events || s.Stats().Corrupt > 0 {
		t.Errorf("got %d events, %d different, want %d", all, different, events)
	}
}

// wanted returns how many events there are to be.
func wanted(t *testing.T) int {
	t.Helper()
	text := os.Getenv("EVENTS")
	if text == "" {
		return 1_000_000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// acknowledged returns how many events the writers were told are safe.
func acknowledged(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "acknowledged"))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	n, convErr := strconv.Atoi(string(b))
	if err = errors.Join(err, convErr); err != nil {
		t.Fatal(err)
	}
	return n
}

// writeUntilKilled goes on behind what was acknowledged, as a host does that redelivers.
func writeUntilKilled(t *testing.T, dir string) {
	s := open(t, Config{
		Connection: connection(t, os.Getenv("STORE_TEST_URL")), Host: "host-a", Dir: filepath.Join(dir, "spool"),
		Timeout: 2 * time.Second, MaxPause: 200 * time.Millisecond,
	})
	running(t, s)
	events := wanted(t)
	for n := acknowledged(t, dir); n < events; {
		for range min(500, events-n) {
			s.PutLog(storebench.Log(n, noon.Add(time.Duration(n)*10*time.Millisecond)))
			n++
		}
		flushed(t, s)
		next := filepath.Join(dir, "next")
		if err := errors.Join(os.WriteFile(next, []byte(strconv.Itoa(n)), 0o600), os.Rename(next, filepath.Join(dir, "acknowledged"))); err != nil {
			t.Fatal(err)
		}
	}
}
