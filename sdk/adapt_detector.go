package sdk

import (
	"context"
	"fmt"
	"iter"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/internal/record"
	"github.com/ironpost/ironpost/sdk/internal/serve"
)

// detectorServer serves the plugin's Detector.
type detectorServer struct {
	pb.UnimplementedDetectorServer
	server *server
}

// Detect implements the detector service.
func (s detectorServer) Detect(stream grpc.BidiStreamingServer[pb.Batch, pb.Batch]) error {
	return s.server.events(stream, "detector")
}

// detect runs a link of the plugin's Detector.
func (s *server) detect(stream serve.Stream, drain *serve.Drainer) error {
	d := &detectorLink{server: s, detector: s.plugin.Detector, streams: make(streams)}
	d.stateful, _ = d.detector.(Stateful)
	return serve.Consume(stream, d, drain)
}

// ListRules implements the detector service.
func (s detectorServer) ListRules(ctx context.Context, _ *pb.ListRulesRequest) (*pb.ListRulesResponse, error) {
	lister, ok := s.server.plugin.Detector.(RuleLister)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "the detector has no rules")
	}
	rules, err := lister.ListRules(ctx)
	if err != nil {
		return nil, status.Error(codes.Internal, record.Valid(err.Error()))
	}
	var out pb.ListRulesResponse
	for _, r := range rules {
		out.Rules = append(out.Rules, &pb.Rule{
			Id: record.Valid(r.ID), Title: record.Valid(r.Title), Severity: pb.Severity(r.Severity), File: record.Valid(r.File),
			Hits: r.Hits, LastHit: uint64(r.LastHit), Tags: r.Tags, Status: r.Status,
			LogSource: record.Valid(r.LogSource), Alerts: r.Alerts, Suppressed: r.Suppressed, RateLimited: r.RateLimited, CostNs: r.CostNS,
			Filters: valid(r.Filters), Rules: valid(r.Rules),
		})
	}
	return &out, nil
}

// ValidateRules implements the detector service.
func (s detectorServer) ValidateRules(stream grpc.ClientStreamingServer[pb.BundleChunk, pb.BundleResponse]) error {
	return s.server.bundle(stream, true)
}

// detectorLink examines the frames of one link.
type detectorLink struct {
	server   *server
	detector Detector
	stateful Stateful // nil when the detector keeps no state
	streams  streams
	scratch  scratch
	changes  changeList
}

// Restore hands the state to the detector.
func (d *detectorLink) Restore(entries []*pb.StateEntry) error {
	if d.stateful == nil {
		return nil
	}
	return d.stateful.Restore(stateEntries(entries))
}

func stateEntries(entries []*pb.StateEntry) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, e := range entries {
			if !yield(e.Key, e.Value) {
				return
			}
		}
	}
}

// Save collects the changes of the detector's state.
func (d *detectorLink) Save(context.Context) ([]*pb.StateEntry, bool, error) {
	if d.stateful == nil {
		return nil, false, nil
	}
	d.changes.reset()
	changes := NewChanges(d.changes.add)
	d.stateful.Save(changes)
	if changes.refused > 0 {
		d.server.count("state_refused", changes.refused)
	}
	return d.changes.entries, changes.full, nil
}

// changeList holds the changes of one Save, in memory that the next one uses
// again.
type changeList struct {
	entries []*pb.StateEntry
	values  []byte
}

func (c *changeList) reset() {
	c.entries, c.values = c.entries[:0], c.values[:0]
}

func (c *changeList) add(key string, value []byte, deleted bool) {
	at := len(c.values)
	c.values = append(c.values, value...)
	n := len(c.entries)
	if n < cap(c.entries) {
		c.entries = c.entries[:n+1]
	} else {
		c.entries = append(c.entries, nil)
	}
	if c.entries[n] == nil {
		c.entries[n] = new(pb.StateEntry)
	}
	e := c.entries[n]
	e.Key, e.Value, e.Deleted = record.Valid(key), c.values[at:len(c.values):len(c.values)], deleted
}

// Handle examines one batch and sends its alerts.
func (d *detectorLink) Handle(ctx context.Context, f *pb.Frame, answer *serve.Answer) error {
	batch := d.server.batch(d.streams, f, &d.scratch)
	c := completer{plugin: d.server.plugin.Name, hostID: d.server.hostID, batch: batch, observed: record.Time(f.ObservedTime)}
	batch.records.at = &c.at
	c.inherit()
	var out *[]byte
	var count uint32
	var sendErr error
	flush := func() {
		if count == 0 || sendErr != nil {
			return
		}
		header := pb.Header{Stream: f.Stream, Kind: pb.Kind_KIND_ALERT, Count: count, Provenance: f.Provenance}
		sendErr = answer.Send(pb.NewFrame(header, out, d.server.pool))
		out, count = nil, 0
	}
	raise := func(raised *event.AlertEvent) {
		if sendErr != nil {
			return
		}
		a := *raised // the detector may use its own again
		c.complete(&a)
		if out == nil {
			out = d.server.pool.Get(16 << 10)
			*out = (*out)[:0]
		}
		a.Sequence = 0
		start := len(*out)
		*out = record.AppendAlert(*out, &a, 0)
		if len(*out)-start > maxRaised {
			d.server.count("alerts_cut", 1)
			shorten(&a)
			*out = record.AppendAlert((*out)[:start], &a, 0)
		}
		if count++; len(*out) > partBytes {
			flush()
		}
	}
	if err := d.detect(ctx, batch, raise); err != nil {
		if ctx.Err() != nil {
			return err
		}
		d.server.count("detect_errors", 1)
		d.server.log.Error("the batch could not be examined", "stream", batch.Stream.Name, "error", err)
	}
	flush()
	return sendErr
}

// detect calls the detector. A panic ends the plugin on purpose: its memory can
// no longer be trusted, and the host restores what was durable.
func (d *detectorLink) detect(ctx context.Context, batch Batch, raise func(*event.AlertEvent)) (err error) {
	defer func() {
		if r := recover(); r != nil {
			d.server.log.Error("the detector panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			panic(r)
		}
	}()
	return d.detector.Detect(ctx, batch, raise)
}
