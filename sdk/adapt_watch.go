package sdk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/internal/record"
	"github.com/ironpost/ironpost/sdk/internal/serve"
)

// Watch implements the scanner service.
func (s scannerServer) Watch(stream grpc.BidiStreamingServer[pb.Batch, pb.Batch]) error {
	watcher, ok := s.server.plugin.Scanner.(Watcher)
	if !ok {
		return status.Error(codes.Unimplemented, "the scanner does not look by itself")
	}
	return s.server.link(stream.Context(), "scanner", func(drain *serve.Drainer) error {
		return serve.Watch(stream, s.server.pool, drain, func(ctx context.Context, o *serve.Outbox) error {
			return watcher.Watch(ctx, findings{s.server, o})
		})
	})
}

// findings is the Findings that a Watcher sees.
type findings struct {
	server *server
	outbox *serve.Outbox
}

// maxAlertID bounds the id that a Watcher gives an alert, in bytes.
const maxAlertID = 128

func (f findings) Raise(ctx context.Context, alert *event.AlertEvent) error {
	a := *alert
	switch {
	case a.RuleID == "" || a.Title == "":
		return errors.New("raise an alert: it needs a RuleID and a Title")
	case len(a.ID) > maxAlertID:
		return fmt.Errorf("raise an alert: its id has %d bytes, at most %d are allowed", len(a.ID), maxAlertID)
	}
	f.complete(&a)
	encoded := record.AppendAlert(nil, &a, 0)
	if len(encoded) > maxRaised {
		f.server.count("alerts_cut", 1)
		shorten(&a)
		encoded = record.AppendAlert(encoded[:0], &a, 0)
	}
	return f.outbox.Append(ctx, pb.Kind_KIND_ALERT, encoded)
}

// complete fills in everything but what the scanner says.
func (f findings) complete(a *event.AlertEvent) {
	a.Sequence, a.Detector = 0, f.server.plugin.Name
	if a.ID == "" {
		a.ID = event.AlertID(a.RuleID, a.Group, event.ID{})
	}
	if a.ObservedTime.IsZero() {
		a.ObservedTime = time.Now()
	}
	if a.Time.IsZero() {
		a.Time = a.ObservedTime
	}
	if a.Provenance == event.ProvenanceUnknown {
		a.Provenance = event.ProvenanceHost
	}
	if a.TraceID.IsZero() { // there is no record: the alert itself is the beginning
		a.TraceID = event.Trace(f.server.hostID, event.ID{Stream: event.StreamID(f.server.plugin.Name, a.ID)})
	}
	a.Count = max(a.Count, 1)
}

func (f findings) Record(ctx context.Context, e *event.InventoryEvent) error {
	c := *e
	switch {
	case c.ID == "" && c.Target == "":
		return errors.New("record a package: it needs a Target")
	case c.ID == "" && c.PURL == "" && !c.Removed:
		return errors.New("record a package: it needs a PURL")
	case len(c.ID) > maxAlertID:
		return fmt.Errorf("record a package: its id has %d bytes, at most %d are allowed", len(c.ID), maxAlertID)
	}
	c.Sequence = 0
	if c.ID == "" {
		c.ID = event.InventoryID(c.Target, c.PURL)
	}
	if c.Time.IsZero() {
		c.Time = time.Now()
	}
	encoded := record.AppendInventory(nil, &c, 0)
	if len(encoded) > event.MaxRecord {
		f.server.count("inventory_cut", 1)
		shortenInventory(&c)
		encoded = record.AppendInventory(encoded[:0], &c, 0)
	}
	return f.outbox.Append(ctx, pb.Kind_KIND_INVENTORY, encoded)
}

func (f findings) Sync(ctx context.Context) error { return f.outbox.Sync(ctx) }

// What a package that is too large keeps, in bytes and numbers: in all less than
// event.MaxRecord.
const (
	keptText      = 1 << 10
	keptLicenses  = 4 << 10
	keptLocations = 8 << 10
	keptFindings  = 36 << 10
	keptName      = 256 // of a finding
	keptAliases   = 8   // of each
)

// shortenInventory cuts what is known of a package to what fits. The findings that
// weigh most are kept: those that are known to be exploited, then by score.
func shortenInventory(e *event.InventoryEvent) {
	for _, s := range []*string{&e.Target, &e.TargetName, &e.Image, &e.Name, &e.Version, &e.Ecosystem, &e.PURL, &e.Arch, &e.State} {
		*s = cutText(record.Valid(*s), keptText) // in this order: to replace what is invalid takes room
	}
	keep := func(texts []string, room int) []string {
		kept := make([]string, 0, len(texts))
		for _, t := range texts {
			t = record.Valid(t)
			if room -= len(t) + tagRoom; room < 0 {
				break
			}
			kept = append(kept, t)
		}
		e.Omitted += uint32(len(texts) - len(kept)) //nolint:gosec // of a record that came here whole
		return kept
	}
	e.Licenses, e.Locations = keep(e.Licenses, keptLicenses), keep(e.Locations, keptLocations)
	sorted := slices.Clone(e.Findings)
	slices.SortStableFunc(sorted, func(a, b event.Finding) int {
		switch {
		case a.KEV != b.KEV && a.KEV, a.KEV == b.KEV && a.Severity > b.Severity,
			a.KEV == b.KEV && a.Severity == b.Severity && a.Score > b.Score:
			return -1
		case a.KEV == b.KEV && a.Severity == b.Severity && a.Score == b.Score:
			return 0
		}
		return 1
	})
	room, n := keptFindings, 0
	for ; n < len(sorted); n++ {
		f := &sorted[n]
		for _, s := range []*string{&f.ID, &f.Fixed, &f.Status} {
			*s = cutText(record.Valid(*s), keptName)
		}
		f.Aliases = slices.Clone(f.Aliases[:min(len(f.Aliases), keptAliases)])
		size := len(f.ID) + len(f.Fixed) + len(f.Status) + findingRoom
		for i := range f.Aliases {
			f.Aliases[i] = cutText(record.Valid(f.Aliases[i]), keptName)
			size += len(f.Aliases[i]) + tagRoom
		}
		if size > room {
			break
		}
		room -= size
	}
	e.Omitted += uint32(len(sorted) - n) //nolint:gosec // likewise
	e.Findings = sorted[:n]
}

// What stands on the wire around a text, and what a finding takes beside its texts.
const (
	tagRoom     = 6
	findingRoom = 48
)
