//go:build linux

package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// manyAlerts is a store of many alerts, the newest first, many of them of one time.
type manyAlerts struct {
	*backend
	alerts []*ironpostv1.AlertEvent
	// queries are how many there were; grow adds an alert of now before each.
	queries int
	grow    bool
	// broken is the query that breaks off.
	broken int
}

func newManyAlerts(n int) *manyAlerts {
	m := &manyAlerts{backend: newBackend()}
	for i := range n {
		at := uint64(i)
		if i >= n/3 && i < n/2 {
			at = uint64(n / 3) // a sixth of them at once
		}
		m.alerts = append(m.alerts, &ironpostv1.AlertEvent{Id: fmt.Sprintf("%032x", i), Time: 1e18 + at, RuleId: fmt.Sprint("r", i%7), Count: 2})
	}
	slices.SortStableFunc(m.alerts, func(a, b *ironpostv1.AlertEvent) int { return -cmp.Compare(a.Time, b.Time) })
	return m
}

func (m *manyAlerts) Query(_ context.Context, q *ironpostv1.QueryRequest, send func(*ironpostv1.Batch) error) error {
	if m.queries++; m.queries == m.broken {
		return fmt.Errorf("the disk is gone")
	}
	if m.grow {
		newest := &ironpostv1.AlertEvent{Id: fmt.Sprintf("new%029x", m.queries), Time: 2e18 + uint64(m.queries)}
		m.alerts = append([]*ironpostv1.AlertEvent{newest}, m.alerts...)
	}
	skip, limit := q.GetSkip(), q.GetLimit()
	for _, a := range m.alerts {
		switch {
		case q.GetUntil() != 0 && a.GetTime() > q.GetUntil() || a.GetTime() < q.GetSince():
		case skip > 0:
			skip--
		case limit == 0:
			return nil
		default:
			limit--
			if err := send(&ironpostv1.Batch{Alerts: []*ironpostv1.AlertEvent{a}}); err != nil {
				return err
			}
		}
	}
	return nil
}

// serve runs the command line against a store.
func serve(t *testing.T, m *manyAlerts) func(args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	socket := listen(t, m)
	return func(args ...string) (string, string, int) {
		var out, errOut bytes.Buffer
		exit := run(t.Context(), fakeApp(), append([]string{"--socket", socket}, args...), strings.NewReader(""), &out, &errOut)
		return out.String(), errOut.String(), exit
	}
}

// storing is a backend whose store is its own.
type storing interface {
	control.Store
	parts() control.Backend
}

// listen serves a store on a control socket until the test ends.
func listen(t *testing.T, store storing) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "cli") // short: the path of a socket is bounded
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	parts := store.parts()
	parts.Store = store
	server, err := control.Listen(t.Context(), control.Config{Socket: socket, Backend: parts})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return socket
}

// TestEveryAlertIsExportedOnce has more alerts than a page, of which more than a page
// happened at one time, and new ones while it goes on.
func TestEveryAlertIsExportedOnce(t *testing.T) {
	const n = 7 * pageSize
	m := newManyAlerts(n)
	m.grow = true
	out, errOut, exit := serve(t, m)("alerts", "export", "--format", "json")
	if exit != exitDone {
		t.Fatalf("exit %d: %s", exit, errOut)
	}
	seen := make(map[string]int, n)
	var last time.Time
	for line := range strings.Lines(out) {
		var a struct {
			ID   string
			Time time.Time
		}
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		seen[a.ID]++
		if !last.IsZero() && a.Time.After(last) {
			t.Fatalf("%v comes after %v", a.Time, last)
		}
		last = a.Time
	}
	for i := range n {
		if got := seen[fmt.Sprintf("%032x", i)]; got != 1 {
			t.Fatalf("alert %d was written %d times, want once", i, got)
		}
	}
	if m.queries != n/pageSize+1 || len(seen) != n+1 {
		t.Errorf("got %d alerts by %d queries, want %d by %d: the first page has one of the new ones", len(seen), m.queries, n+1, n/pageSize+1)
	}
	if want := fmt.Sprintf("%d alerts\n", n+1); errOut != want {
		t.Errorf("got %q, want %q", errOut, want)
	}
}

func TestAnExportThatBreaksOff(t *testing.T) {
	m := newManyAlerts(3 * pageSize)
	m.broken = 2
	out, errOut, exit := serve(t, m)("alerts", "export", "--format", "ocsf")
	if exit != exitFailed || !strings.Contains(errOut, fmt.Sprintf("after %d alerts", pageSize)) || !strings.Contains(errOut, "the disk is gone") {
		t.Errorf("exit %d: %s", exit, errOut)
	}
	if n := strings.Count(out, "\n"); n != pageSize || !strings.HasSuffix(out, "}\n") {
		t.Errorf("got %d whole lines, want %d", n, pageSize)
	}
}

func TestGroupsOfManyAlerts(t *testing.T) {
	const n = 2*pageSize + 10
	out, _, exit := serve(t, newManyAlerts(n))("alerts", "list", "--group", "-o", "json")
	var groups []struct {
		RuleID        string `json:"rule_id"`
		Alerts, Count int
	}
	if err := json.Unmarshal([]byte(out), &groups); err != nil || exit != exitDone {
		t.Fatalf("exit %d: %v: %s", exit, err, out)
	}
	got := map[string]int{}
	for _, g := range groups {
		got[g.RuleID] = g.Alerts
		if g.Count != 2*g.Alerts {
			t.Errorf("%s: got %d events of %d alerts, want 2 each", g.RuleID, g.Count, g.Alerts)
		}
	}
	want := map[string]int{}
	for i := range n {
		want[fmt.Sprint("r", i%7)]++
	}
	for rule, alerts := range want {
		if got[rule] != alerts {
			t.Errorf("%s: got %d alerts, want %d", rule, got[rule], alerts)
		}
	}
}

// flood is a store of alerts that are made as they are asked for, of 4 KiB each.
type flood struct {
	*backend
	n uint64
}

func (s *flood) Query(_ context.Context, q *ironpostv1.QueryRequest, send func(*ironpostv1.Batch) error) error {
	text := strings.Repeat("x", 4<<10)
	first := s.n
	if q.GetUntil() != 0 {
		first = q.GetUntil()
	}
	first -= uint64(q.GetSkip())
	for at := first; at > 0 && first-at < uint64(q.GetLimit()); at-- {
		a := &ironpostv1.AlertEvent{Id: fmt.Sprintf("%032x", at), Time: at, RuleId: "r", Description: text}
		if err := send(&ironpostv1.Batch{Alerts: []*ironpostv1.AlertEvent{a}}); err != nil {
			return err
		}
	}
	return nil
}

// meter counts lines and bytes, and how large the heap was at most meanwhile.
type meter struct{ lines, bytes, heap uint64 }

func (m *meter) Write(b []byte) (int, error) {
	m.lines += uint64(bytes.Count(b, []byte("\n")))
	if m.bytes>>22 != (m.bytes+uint64(len(b)))>>22 {
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		m.heap = max(m.heap, s.HeapAlloc)
	}
	m.bytes += uint64(len(b))
	return len(b), nil
}

// TestAnExportKeepsNothing writes many times what it may keep.
func TestAnExportKeepsNothing(t *testing.T) {
	const n, most = 25_000, 48 << 20
	var out meter
	var errOut bytes.Buffer
	if exit := run(t.Context(), fakeApp(), []string{"--socket", listen(t, &flood{newBackend(), n}), "alerts", "export", "--format", "ecs"}, strings.NewReader(""), &out, &errOut); exit != exitDone {
		t.Fatalf("exit %d: %s", exit, &errOut)
	}
	if out.lines != n || out.bytes < 4*most || out.heap > most {
		t.Errorf("%d lines of %d MiB with a heap of %d MiB; want %d lines and at most %d MiB", out.lines, out.bytes>>20, out.heap>>20, n, most>>20)
	}
	t.Logf("%d alerts, %d MiB, the heap of both ends was %d MiB at most", out.lines, out.bytes>>20, out.heap>>20)
}
