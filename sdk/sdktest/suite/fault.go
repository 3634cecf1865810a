package suite

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// How long the faults last.
const (
	pauseTime = time.Second
	slowTime  = 500 * time.Millisecond
)

// Faults returns the checks of what a host, a kernel and an attacker do to a
// consuming kind on a bad day: the process is stopped and goes on, the host reads
// slowly, batches are as large as batches may be, the link breaks off in the middle,
// a drain has no time.
func Faults(target Target, kind string, c HostConfig) []Check {
	f := &faultSuite{target, kind, c}
	return []Check{
		{
			Name: kind + ".largest", Title: "takes the largest batch",
			Wanted: "a batch of 1 MiB, with records of 64 KiB that are marked as cut, is answered and durable, each answer within 1 MiB",
			Mend:   "allow messages of 4 MiB; answer a batch in several parts (next_sequence) when its answer is larger than 1 MiB",
			run:    applied(f.largest),
		},
		{
			Name: kind + ".paused", Title: "goes on after SIGSTOP and SIGCONT",
			Wanted: fmt.Sprintf("stopped for %v with batches in hand, it then goes on as if nothing had been", pauseTime),
			Mend:   "hold no time-out against the host: a pause may come at any moment",
			run:    f.paused,
		},
		{
			Name: kind + ".slow-host", Title: "waits for a slow host",
			Wanted: fmt.Sprintf("while the host reads nothing for %v, Health answers and nothing is lost", slowTime),
			Mend:   "let the sending side block, and answer Health on another thread",
			run:    applied(f.slowHost),
		},
		{
			Name: kind + ".cancelled", Title: "bears a link that breaks off",
			Wanted: "when the stream is cancelled with batches in hand, the plugin still answers Health, or has ended; the next life takes the batches again",
			Mend:   "end the handler of the stream when its context is done, and do not wait for what cannot come",
			run:    applied(f.cancelled),
		},
		{
			Name: kind + ".drain-deadline", Title: "keeps to the deadline of a drain",
			Wanted: "Drain with batches in hand and 200 ms answers, done or DEADLINE_EXCEEDED, within 1 s, and what it then calls durable is",
			Mend:   "bound the wait in Drain by deadline_ms",
			run:    applied(f.drainDeadline),
		},
	}
}

// faultSuite is what the checks of faults share.
type faultSuite struct {
	target Target
	kind   string
	host   HostConfig
}

func (f *faultSuite) begin(tb TB) (*Host, *Link) {
	tb.Helper()
	h := Start(tb, f.target, f.host)
	h.hasKind(f.kind)
	return h, h.Link(f.kind, nil)
}

// work returns batches for the kind, as many as there are credits.
func (f *faultSuite) work(h *Host) []Batch {
	var out []Batch
	for len(out) < linkCredits {
		if f.kind == "parser" {
			lines := make([]string, 500)
			for i := range lines {
				lines[i] = fmt.Sprintf("2025-11-01T12:00:00Z INFO web1: line %d", i)
			}
			out = append(out, Lines(testStream("load", h.Format), 1+500*uint64(len(out)), lines...))
			continue
		}
		many := h.many(200)
		if f.kind == "enforcer" {
			many = []Batch{Alerts(testStream("load", ""), 1+uint64(len(out)), sampleAlert(testStream("load", "")))}
		}
		if len(many) == 0 {
			many = h.batches()
		}
		out = append(out, many...)
	}
	return out[:linkCredits]
}

// largest sends as much as a batch may hold.
func (f *faultSuite) largest(tb TB) {
	tb.Helper()
	h, l := f.begin(tb)
	s := testStream("large", h.Format)
	long := strings.Repeat("large ", event.MaxRecord/6)
	var b Batch
	switch {
	case f.kind == "parser":
		lines := make([]string, 15) // 16 would be 1 MiB without what lies between them
		for i := range lines {
			lines[i] = long + strings.Repeat("x", event.MaxRecord-len(long)+1) // is cut, and marked
		}
		b = Lines(s, 1, lines...)
	case f.kind == "enforcer" || !h.wants(event.KindLog):
		if !h.wants(event.KindAlert) && f.kind != "enforcer" {
			return
		}
		a := sampleAlert(s)
		a.Description = long
		b = Alerts(s, 1, slices.Repeat([]*event.AlertEvent{a}, 15)...)
	default:
		e := sampleLog()
		e.Message = long
		b = Logs(s, 1, slices.Repeat([]*event.LogEvent{e}, 15)...)
	}
	n := l.Send(b)
	l.Durable(n)
	if f.kind == "parser" {
		if got := len(l.Events(n)); got != b.count {
			tb.Errorf("%d records gave %d events", b.count, got)
		}
	}
	h.Health()
}

func (f *faultSuite) paused(tb TB) string {
	tb.Helper()
	h, l := f.begin(tb)
	p, ok := h.plugin.(Process)
	if !ok {
		return "the plugin is no process of its own"
	}
	var last uint64
	batches := f.work(h)
	for i, b := range batches {
		if i == len(batches)/2 {
			if err := p.Pause(); err != nil {
				tb.Fatalf("stop the process: %v", err)
			}
		}
		last = l.Send(b)
	}
	wait(tb.Context(), pauseTime)
	if err := p.Resume(); err != nil {
		tb.Fatalf("let the process go on: %v", err)
	}
	l.Durable(last)
	h.Health()
	return ""
}

// wait waits, or until ctx is done.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (f *faultSuite) slowHost(tb TB) {
	tb.Helper()
	h, l := f.begin(tb)
	var last uint64
	release := l.Hold()
	defer release()
	for _, b := range f.work(h) {
		last = l.sendNow(b)
	}
	h.healthWhile(func() { wait(tb.Context(), slowTime) })
	release()
	l.Durable(last)
}

func (f *faultSuite) cancelled(tb TB) {
	tb.Helper()
	h, l := f.begin(tb)
	batches := f.work(h)
	for _, b := range batches {
		l.Send(b)
	}
	l.Kill()
	ended := false
	if p, ok := h.plugin.(Process); ok {
		select {
		case <-p.Done():
			ended = true
		default:
		}
	}
	if !ended {
		h.Health()
	}
	h.Kill()
	_, l = f.begin(tb)
	var last uint64
	for _, b := range batches {
		last = l.Send(b)
	}
	l.Durable(last)
}

func (f *faultSuite) drainDeadline(tb TB) {
	tb.Helper()
	h, l := f.begin(tb)
	var last uint64
	for _, b := range f.work(h) {
		last = l.Send(b)
	}
	began := time.Now()
	err := h.drainWithin(200 * time.Millisecond)
	if took := time.Since(began); took > prompt {
		tb.Errorf("Drain with a deadline of 200 ms took %v: %v", took.Round(time.Millisecond), err)
	}
	h.Health()
	l.Durable(last)
}
