package roster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/catalog"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// logged returns the messages that Logs emits.
func logged(t *testing.T, r *Roster, name string, last int) []string {
	t.Helper()
	var out []string
	err := r.Logs(t.Context(), name, last, false, func(lines []*pb.PluginLogLine) error {
		for _, l := range lines {
			out = append(out, l.From+" "+l.Level+" "+l.Message)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLogsOfAPlugin(t *testing.T) {
	r := running(t, candidate("/a", "old"))
	l := r.logger("out", fromPlugin)
	l.Log(hclog.Info, "hello", "user", "a\x1b[2Jb", "n", 3)
	l.Debug("\tdetails\r\n")
	r.logger("out", fromHost).Warn("it ended")
	got := logged(t, r, "file", 3) // also found by its file's name
	want := []string{"plugin info hello user=a\uFFFD[2Jb n=3", "plugin debug  details\uFFFD\uFFFD", "host warn it ended"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if got := logged(t, r, "out", 1); len(got) != 1 || got[0] != want[2] {
		t.Errorf("the last line: got %q, want %q", got, want[2])
	}
	if err := r.Logs(t.Context(), "nobody", 1, false, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("logs of nobody: got %v, want ErrNotFound", err)
	}
}

func TestARefusedFileHasLines(t *testing.T) {
	junk := &plugin{file: "junk", path: "/a/junk", refusal: catalog.NewRefusal(catalog.NotAPlugin, "junk", "a plugin", "rm it")}
	r := running(t, candidate("/a", "old"))
	if err := r.adopt([]*plugin{junk, candidate("/a", "old")}); err != nil {
		t.Fatal(err)
	}
	if got := logged(t, r, "junk", 10); len(got) != 0 {
		t.Errorf("got %q of a file that was never run", got)
	}
	r.logger("junk", fromPlugin).Error("panic: no such luck")
	if got := logged(t, r, "junk", 10); len(got) != 1 {
		t.Errorf("got %q, want its last words", got)
	}
}

func TestLogsAreBounded(t *testing.T) {
	ring := newLogRing()
	k := &keptLogger{Logger: hclog.NewNullLogger(), ring: ring, from: fromPlugin}
	for i := range 10 * maxLogLines {
		k.Info(fmt.Sprint(i))
	}
	lines, next, _ := ring.since(0)
	if len(lines) != maxLogLines || next != 10*maxLogLines || lines[0].Message != fmt.Sprint(9*maxLogLines) {
		t.Errorf("got %d lines up to %d, want the last %d", len(lines), next, maxLogLines)
	}
	for range 100 {
		k.Info(strings.Repeat("ö", maxLogBytes))
	}
	lines, _, _ = ring.since(0)
	size := 0
	for _, l := range lines {
		size += len(l.Message)
		if !strings.HasSuffix(l.Message, "ö") || len(l.Message) > maxLogLine {
			t.Fatalf("a line of %d bytes ends in %q, want it cut between characters", len(l.Message), l.Message[len(l.Message)-2:])
		}
	}
	if size > maxLogBytes {
		t.Errorf("%d bytes are kept, want at most %d", size, maxLogBytes)
	}
}

func TestFollowingLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Roster{log: hclog.NewNullLogger(), logs: make(map[string]*logRing)}
		l := r.logger("out", fromPlugin)
		l.Info("before")
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		done := make(chan error, 1)
		go func() {
			done <- r.Logs(ctx, "out", 5, true, func(lines []*pb.PluginLogLine) error {
				for _, l := range lines {
					got = append(got, l.Message)
				}
				return nil
			})
		}()
		synctest.Wait()
		l.Info("one")
		l.Info("two")
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Logs: %v", err)
		}
		if diff := cmp.Diff([]string{"before", "one", "two"}, got); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
		errGone := errors.New("gone")
		if err := r.Logs(t.Context(), "out", 5, true, func([]*pb.PluginLogLine) error { return errGone }); !errors.Is(err, errGone) {
			t.Errorf("Logs: got %v, want the error of emit", err)
		}
	})
}
