package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// flippedRows is how many events of each kind there are before a byte is flipped.
const flippedRows = 120

// flips is how many bytes are flipped of each file: STORE_FLIPS, or a few.
func flips(t *testing.T) int {
	t.Helper()
	text := os.Getenv("STORE_FLIPS")
	if text == "" {
		return 6
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// written returns the events that are written, by kind and sequence.
func written(n int) map[event.Kind]sdk.Record {
	acked := sdk.Record{Alert: alert(n), State: "open"}
	if n%10 == 3 {
		acked.State = "acknowledged"
		acked.History = []sdk.AlertChange{{Time: noon, State: "acknowledged", Actor: "ann", Note: "looking"}}
	}
	return map[event.Kind]sdk.Record{
		event.KindAlert: acked, event.KindAction: {Action: action(n)}, event.KindLog: {Log: logEvent(n)}, event.KindPacket: {Packet: packet(n)},
	}
}

// files are the databases with their journals: all closed, or as a killed process leaves
// them.
func files(t *testing.T, closed bool) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	for n := range flippedRows {
		s.PutAlert(alert(n))
		s.PutAction(action(n))
		s.PutLog(logEvent(n))
		s.PutPacket(packet(n))
		if n%10 == 3 {
			if ok, err := s.UpdateAlert(t.Context(), alert(n).ID, "acknowledged", "ann", "looking"); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
	}
	flushed(t, s)
	if closed {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	out := make(map[string][]byte)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if out[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestFlippedBytes flips one byte of a file at a time. The store opens, what it gives is
// what was written, what it does not give it says is lost, and it goes on.
func TestFlippedBytes(t *testing.T) {
	type outcome struct{ unhurt, salvaged, damaged, lost, all int }
	for _, closed := range []bool{true, false} {
		all := files(t, closed)
		for name, content := range all {
			if closed && filepath.Ext(name) != ".db" || !closed && filepath.Ext(name) == ".db" {
				continue
			}
			t.Run(fmt.Sprintf("%s,closed=%v", name, closed), func(t *testing.T) {
				random := rand.New(rand.NewPCG(7, uint64(len(content))))
				var sum outcome
				for range flips(t) {
					offset, flip := random.IntN(len(content)), byte(1<<random.IntN(8))
					dir := t.TempDir()
					for other, bytes := range all {
						if other == name {
							bytes = append([]byte(nil), bytes...)
							bytes[offset] ^= flip
						}
						if err := os.WriteFile(filepath.Join(dir, other), bytes, 0o600); err != nil {
							t.Fatal(err)
						}
					}
					missing, stats := checkFlipped(t, dir, fmt.Sprintf("%s: byte %d ^ %#x", name, offset, flip))
					sum.all++
					switch {
					case stats.Corrupt > 0 && missing == 0:
						sum.salvaged++
					case missing > 0:
						sum.damaged++
						sum.lost += missing
					default:
						sum.unhurt++
					}
					if err := os.RemoveAll(dir); err != nil {
						t.Fatal(err)
					}
				}
				t.Logf("%d bytes flipped: %d hurt nothing, %d were mended without loss, %d lost %d of %d rows and said so",
					sum.all, sum.unhurt, sum.salvaged, sum.damaged, sum.lost, sum.damaged*4*flippedRows)
			})
		}
	}
}

// checkFlipped returns how many events are not there any more.
func checkFlipped(t *testing.T, dir, what string) (missing int, stats Stats) {
	t.Helper()
	s, err := Open(t.Context(), Config{Dir: dir, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("%s: close: %v", what, err)
		}
	}()
	ask := func(q sdk.Query) (got []sdk.Record) {
		for range 3 {
			got = nil
			err := s.Query(t.Context(), q, func(r sdk.Record) bool { got = append(got, r); return true })
			if err == nil {
				return got
			}
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: query: %v", what, err)
				return got
			}
		}
		t.Errorf("%s: query %v: corrupt again and again", what, q.Kind)
		return got
	}
	options := []cmp.Option{cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()}
	for _, kind := range []event.Kind{event.KindAlert, event.KindAction, event.KindLog, event.KindPacket} {
		seen := make(map[uint64]bool)
		for _, r := range ask(sdk.Query{Kind: kind}) {
			n := sequences([]sdk.Record{r})[0]
			if n >= flippedRows || seen[n] {
				t.Errorf("%s: %v %d was never written, or comes twice", what, kind, n)
				continue
			}
			seen[n] = true
			want := written(int(n))[kind]
			if r.State == "open" && s.Stats().Corrupt > 0 {
				want.State, want.History = r.State, nil // of a journal the end is lost
			}
			if diff := cmp.Diff(want, r, options...); diff != "" {
				t.Errorf("%s: %v %d is not what was written (-want +got):\n%s", what, kind, n, diff)
			}
		}
		missing += flippedRows - len(seen)
	}
	// What is found by entity and by state is there, and is all when nothing is said.
	found := map[string]int{}
	for name, q := range map[string]sdk.Query{
		"entity": {Kind: event.KindAlert, Equal: []event.Field{{Key: "src_ip", Value: "203.0.113.1"}}},
		"state":  {Kind: event.KindAlert, State: "acknowledged"},
		"words":  {Kind: event.KindLog, Text: `"failed password"`},
		"alerts": {Kind: event.KindAlert, Text: "brute ssh"},
	} {
		for _, r := range ask(q) {
			n := sequences([]sdk.Record{r})[0]
			right := n < flippedRows && (name != "entity" || n%4 == 1) && (name != "state" || n%10 == 3)
			if !right {
				t.Errorf("%s: by %s it finds %d", what, name, n)
			}
			found[name]++
		}
	}
	stats = s.Stats()
	said := s.Health() != nil && (stats.Corrupt > 0 || stats.Damaged > 0)
	want := map[string]int{"entity": flippedRows / 4, "state": flippedRows / 10, "words": flippedRows, "alerts": flippedRows}
	// The index of words carries no sums: damage to it may hide rows from a search, and
	// makes none up.
	delete(want, "words")
	delete(want, "alerts")
	delete(found, "words")
	delete(found, "alerts")
	if diff := cmp.Diff(want, found); (missing > 0 || diff != "") && !said {
		t.Errorf("%s: %d rows are missing and nothing is said; found (-want +got):\n%s", what, missing, diff)
	}
	// It goes on.
	for n := range 3 {
		s.PutAlert(alert(1000 + n))
		s.PutLog(logEvent(1000 + n))
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Errorf("%s: write: %v", what, err)
	}
	for _, kind := range []event.Kind{event.KindAlert, event.KindLog} {
		if got := sequences(ask(sdk.Query{Kind: kind, Limit: 3})); !cmp.Equal(got, []uint64{1002, 1001, 1000}) {
			t.Errorf("%s: after a write the newest of %v are %v", what, kind, got)
		}
	}
	return missing, s.Stats()
}
