package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/pipeline"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// gapRule is the rule of the alerts that the host itself raises about gaps.
const gapRule = "ironpost.coverage_gap"

// Bounds of those alerts: so many, and one more each gapRefill.
const (
	gapBurst  = 10
	gapRefill = time.Minute
	gapLook   = 5 * time.Second // between two looks while something is open
)

// gapAlerts raises an alert when a coverage gap begins, and another with its end
// when it is over. A gap that could not be told of for want of room is told of
// later, with what it came to by then.
type gapAlerts struct {
	gaps  func() []pipeline.Gap
	alert func(context.Context, *pb.AlertEvent) error
	// closed closes the alert of a gap that is over, where alerts are kept; false
	// when it is not there yet.
	closed func(ctx context.Context, id, note string) bool
	log    hclog.Logger

	told   map[gapKey]*toldGap
	room   int
	filled time.Time
}

// gapKey identifies a gap.
type gapKey struct {
	plugin, reason string
	from           int64
}

// toldGap is a gap that an alert was raised about.
type toldGap struct {
	id    string // of the alert about its beginning
	over  bool   // the alert about its end is out
	tries int    // left to close the first
}

// run watches until ctx is done.
func (g *gapAlerts) run(ctx context.Context, changed <-chan struct{}) error {
	g.told, g.room, g.filled = make(map[gapKey]*toldGap), gapBurst, time.Now()
	timer := time.NewTimer(gapLook)
	defer timer.Stop()
	for {
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		if g.look(ctx, time.Now()) {
			timer.Reset(gapLook)
		}
	}
}

// look raises what is due; it reports whether it has to look again without being
// told of a change.
func (g *gapAlerts) look(ctx context.Context, now time.Time) (again bool) {
	if n := int(now.Sub(g.filled) / gapRefill); n > 0 {
		g.room, g.filled = min(g.room+n, gapBurst), now
	}
	seen := make(map[gapKey]bool)
	for _, gap := range g.gaps() {
		key := gapKey{gap.Plugin, gap.Reason, gap.From.UnixNano()}
		seen[key] = true
		t := g.told[key]
		if t == nil {
			if t = g.raise(ctx, gap, now, false); t == nil {
				again = true
				continue
			}
			g.told[key] = t
		}
		switch {
		case t.over && t.tries > 0:
			note := "The gap ended at " + gap.To.UTC().Format(time.RFC3339) + "."
			if t.tries--; g.closed(ctx, t.id, note) {
				t.tries = 0
			}
		case t.over:
			continue
		case !gap.To.IsZero() && now.Sub(gap.To) >= pipeline.SameGap: // it may go on until then
			if end := g.raise(ctx, gap, now, true); end != nil {
				t.over, t.tries = true, 5
			}
		case gap.To.IsZero():
			continue // its end is told
		}
		again = true
	}
	for key := range g.told {
		if !seen[key] {
			delete(g.told, key)
		}
	}
	return again
}

// raise raises the alert about the beginning or the end of a gap; nil when there
// is no room for it, or it could not be kept.
func (g *gapAlerts) raise(ctx context.Context, gap pipeline.Gap, now time.Time, over bool) *toldGap {
	if g.room == 0 {
		return nil
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%d\x00%t", gapRule, gap.Plugin, gap.Reason, gap.From.UnixNano(), over))
	a := &pb.AlertEvent{
		Id: hex.EncodeToString(sum[:16]), Time: uint64(now.UnixNano()), ObservedTime: uint64(now.UnixNano()),
		RuleId: gapRule, Title: "Plugin " + gap.Plugin + " misses events", Severity: pb.Severity_SEVERITY_MEDIUM,
		Description: fmt.Sprintf("Since %s plugin %s has missed at least %d events: %s.", gap.From.UTC().Format(time.RFC3339), gap.Plugin, gap.Events, gap.Reason),
		Detector:    pipeline.HostPlugin, Group: gap.Plugin, Count: gap.Events, TraceId: sum[16:],
		Evidence: pb.Evidence_EVIDENCE_CONFIRMED, Provenance: pb.Provenance_PROVENANCE_HOST,
		Details: []*pb.Field{
			{Key: "plugin", Value: gap.Plugin},
			{Key: "reason", Value: gap.Reason},
			{Key: "from", Value: gap.From.UTC().Format(time.RFC3339Nano)},
			{Key: "events", Value: strconv.FormatUint(gap.Events, 10)},
		},
	}
	if over {
		a.Title, a.Severity = "Plugin "+gap.Plugin+" sees events again", pb.Severity_SEVERITY_INFORMATIONAL
		a.Description = fmt.Sprintf("From %s to %s plugin %s missed %d events: %s.", gap.From.UTC().Format(time.RFC3339),
			gap.To.UTC().Format(time.RFC3339), gap.Plugin, gap.Events, gap.Reason)
		a.Details = append(a.Details, &pb.Field{Key: "to", Value: gap.To.UTC().Format(time.RFC3339Nano)})
	}
	if err := g.alert(ctx, a); err != nil {
		if ctx.Err() == nil {
			g.log.Error("the alert about a coverage gap is not kept, trying again", "plugin", gap.Plugin, "error", err)
		}
		return nil
	}
	g.room--
	return &toldGap{id: a.Id}
}

// watchGaps raises alerts about coverage gaps until ctx is done.
func (d *daemon) watchGaps(ctx context.Context) error {
	g := &gapAlerts{
		gaps: d.pipeline.Gaps, alert: d.alerts.Alert, log: d.log,
		closed: func(ctx context.Context, id, note string) bool {
			r, err := d.UpdateAlert(ctx, &pb.UpdateRequest{AlertId: id, State: "closed", Note: note, Actor: pipeline.HostPlugin})
			return err == nil && r.GetFound()
		},
	}
	return g.run(ctx, d.pipeline.GapsChanged())
}
