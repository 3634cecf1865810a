package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/internal/record"
)

// noWatch says why a check does not apply.
const noWatch = "the scanner does not look by itself"

// watchSuite is what the checks of a scanner that looks by itself share.
type watchSuite struct {
	target Target
	ScannerConfig

	before []string // ids that were told
}

// watcher returns the checks of a scanner that looks by itself: it keeps to its
// credits, sends records that the host can take, stops when it is drained, and tells
// the same finding under the same id.
func watcher(target Target, c ScannerConfig) []Check {
	s := &watchSuite{target: target, ScannerConfig: c}
	return []Check{
		{
			Name: "scanner.watch", Title: "finds by itself, keeps to its credits, and drains",
			Wanted: "batches of alerts and inventory are numbered one by one, are as many as there are credits for until they are acknowledged, " +
				"and hold what their headers count; every record has an id, at most 256 bytes, and no package more than 64 KiB; " +
				"Health answers within 1 s; Drain sends what is held",
			Mend: "number the batches of Watch without gaps, send only what there is credit for, give every finding an id, and stop looking in Drain",
			run:  s.watches,
		},
		{
			Name: "scanner.watch_again", Title: "tells the same findings under the same ids",
			Wanted: "killed before anything was acknowledged and started again, it tells everything again, under the ids that it had",
			Mend:   "make ids of what was found alone, never of a time, a process or a random number",
			run:    s.again,
		},
	}
}

func (s *watchSuite) begin(tb TB, acknowledge bool) (*Host, *watchLink) {
	tb.Helper()
	h := Start(tb, s.target, s.Host)
	h.hasKind("scanner")
	return h, h.watch(acknowledge)
}

func (s *watchSuite) watches(tb TB) string {
	tb.Helper()
	h, l := s.begin(tb, false)
	h.healthWhile(func() { l.until(0, settled) })
	if l.unserved() {
		return noWatch
	}
	l.mu.Lock()
	if l.number > linkCredits {
		tb.Errorf("it sent %d batches with %d credits", l.number, linkCredits)
	}
	l.mu.Unlock()
	l.release()
	l.until(s.Finds, patience)
	drained := make(chan error, 1)
	go func() { drained <- h.Drain() }()
	if err := <-drained; err != nil {
		tb.Errorf("Drain: %v", err)
	}
	l.end()
	s.before = l.ids()
	h.Kill()
	return ""
}

func (s *watchSuite) again(tb TB) string {
	tb.Helper()
	h, l := s.begin(tb, false)
	l.until(0, settled)
	if l.unserved() {
		return noWatch
	}
	if s.Finds == 0 {
		return "nothing was given that the scanner finds"
	}
	first := l.ids()
	l.kill()
	h.Kill()
	h, l = s.begin(tb, true)
	l.until(s.Finds, patience)
	l.kill()
	h.Kill()
	now := l.ids()
	for _, id := range slices.Concat(first, s.before) {
		if !slices.Contains(now, id) {
			tb.Errorf("it told %s in a life before, and not again", id)
		}
	}
	return ""
}

// settled is how long a check waits for a scanner that may have nothing to say.
const settled = 300 * time.Millisecond

// watchLink is the host's end of the link.
type watchLink struct {
	tb     TB
	stream grpc.ClientStream
	cancel context.CancelFunc
	ended  chan struct{}

	mu          sync.Mutex
	acknowledge bool
	number      uint64
	told        map[string]bool // ids, with the kind before
	records     int
	err         error
	half        bool // closed by the host's side
	changed     chan struct{}
}

func (h *Host) watch(acknowledge bool) *watchLink {
	h.tb.Helper()
	ctx, cancel := context.WithCancel(h.tb.Context())
	stream, err := h.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, pb.Scanner_Watch_FullMethodName)
	if err != nil {
		cancel()
		h.tb.Fatalf("open the scanner link: %v", err)
	}
	l := &watchLink{
		tb: h.tb, stream: stream, cancel: cancel, ended: make(chan struct{}), acknowledge: acknowledge,
		told: map[string]bool{}, changed: make(chan struct{}),
	}
	control := &pb.LinkControl{Ready: true, Credits: linkCredits}
	if err := stream.SendMsg(&pb.Frame{Header: pb.Header{Control: control}}); err != nil && !errors.Is(err, io.EOF) {
		h.tb.Fatalf("begin the scanner link: %v", err)
	}
	go l.receive()
	h.tb.Cleanup(l.kill)
	return l
}

func (l *watchLink) receive() {
	defer close(l.ended)
	for {
		f := new(pb.Frame)
		err := l.stream.RecvMsg(f)
		l.mu.Lock()
		if err == nil && f.Number > 0 {
			if err = l.take(f); err == nil && l.acknowledge && !l.half {
				err = l.send()
			}
		}
		if err != nil && l.err == nil {
			l.err = err
		}
		close(l.changed)
		l.changed = make(chan struct{})
		l.mu.Unlock()
		f.Free()
		if err != nil {
			return
		}
	}
}

// send acknowledges what has come; l.mu is held.
func (l *watchLink) send() error {
	return l.stream.SendMsg(&pb.Frame{Header: pb.Header{Ack: &pb.Ack{Accepted: l.number, Durable: l.number}}})
}

// take checks one batch, as the host does; l.mu is held.
func (l *watchLink) take(f *pb.Frame) error {
	if l.number++; f.Number != l.number {
		return fmt.Errorf("batch %d follows batch %d", f.Number, l.number-1)
	}
	if f.Kind != pb.Kind_KIND_ALERT && f.Kind != pb.Kind_KIND_INVENTORY {
		return fmt.Errorf("it sends records of kind %v", f.Kind)
	}
	n := uint32(0)
	var bad error
	err := pb.Records(f.Kind, f.Payload(), func(body []byte) bool {
		n++
		bad = l.record(f.Kind, body)
		return bad == nil
	})
	if err = errors.Join(err, bad); err != nil {
		return err
	}
	if n != f.Count || n == 0 {
		return fmt.Errorf("batch %d counts %d records and has %d", f.Number, f.Count, n)
	}
	return nil
}

// maxID bounds an id, in bytes.
const maxID = 256

func (l *watchLink) record(kind pb.Kind, body []byte) error {
	l.records++
	var id string
	if kind == pb.Kind_KIND_ALERT {
		var a event.AlertEvent
		if err := record.DecodeAlert(body, 0, &a); err != nil {
			return fmt.Errorf("an alert cannot be read: %w", err)
		}
		if a.RuleID == "" || a.Title == "" {
			return fmt.Errorf("alert %q has no rule or no title", a.ID)
		}
		id = a.ID
	} else {
		var e event.InventoryEvent
		if err := record.DecodeInventory(body, 0, &e); err != nil {
			return fmt.Errorf("inventory cannot be read: %w", err)
		}
		if e.Target == "" && !e.Removed || len(body) > event.MaxRecord {
			return fmt.Errorf("package %q has no target, or more than %d bytes: %d", e.ID, event.MaxRecord, len(body))
		}
		id = e.ID
	}
	if id == "" || len(id) > maxID {
		return fmt.Errorf("a record of kind %v has an id of %d bytes, want 1 to %d", kind, len(id), maxID)
	}
	l.told[kind.String()+" "+id] = true
	return nil
}

// unserved reports whether the plugin has no such link.
func (l *watchLink) unserved() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return status.Code(l.err) == codes.Unimplemented
}

// release acknowledges what has come, and what comes.
func (l *watchLink) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acknowledge = true
	if l.number > 0 && l.err == nil {
		_ = l.send() // receiving tells
	}
}

// ids returns what was told so far.
func (l *watchLink) ids() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.told))
}

// until waits until so many different records were told; for 0 records it waits as
// long as it may, or until there is no more credit.
func (l *watchLink) until(want int, most time.Duration) {
	l.tb.Helper()
	timeout := time.NewTimer(most)
	defer timeout.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for want == 0 && l.number < linkCredits || len(l.told) < want {
		if l.err != nil {
			if status.Code(l.err) != codes.Unimplemented {
				l.tb.Fatalf("the scanner ended the link: %v", l.err)
			}
			return
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
			l.mu.Lock()
		case <-timeout.C:
			l.mu.Lock()
			if want > 0 {
				l.tb.Fatalf("%d of %d records came within %v", len(l.told), want, most)
			}
			return
		}
	}
}

// end ends the link after a drain.
func (l *watchLink) end() {
	l.tb.Helper()
	l.mu.Lock()
	l.half = true
	_ = l.stream.CloseSend() // always nil
	l.mu.Unlock()
	select {
	case <-l.ended:
	case <-time.After(patience):
		l.tb.Errorf("the scanner does not end the link within %v of the host's half-close", patience)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil && !errors.Is(l.err, io.EOF) {
		l.tb.Errorf("end of the link: %v", l.err)
	}
}

func (l *watchLink) kill() {
	l.cancel()
	<-l.ended
}
