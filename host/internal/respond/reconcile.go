package respond

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/host/internal/config"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// reconcile finishes what an earlier life of the host planned: what is on the
// block list was done; the rest is decided again, for what is left of its time.
func (r *Responder) reconcile(ctx context.Context) {
	for _, a := range r.history.unfinished() {
		if err := r.finish(ctx, clone(a)); err != nil {
			r.log.Error("a planned action is not finished", "action", a.Action, "target", a.Target, "error", err)
		}
	}
}

func (r *Responder) finish(ctx context.Context, a *pb.ActionEvent) error {
	r.mu.Lock()
	p, err := netip.ParseAddr(a.Target)
	var e *entry
	if err == nil {
		e = r.blocks[host(p.Unmap())]
	}
	done := e != nil && e.Intent == a.Id && e.Source == a.Enforcer
	left := time.Unix(0, int64(a.Expires)).Sub(r.clock.Wall().Round(0))
	mode := r.mode.Mode
	r.mu.Unlock()
	a.Mode = string(mode)
	switch {
	case done:
		a.Outcome = pb.Outcome_OUTCOME_APPLIED
		a.Reason = note(a.Reason, "found done when the host began")
		return r.record(ctx, a)
	case left <= 0:
		a.Outcome = pb.Outcome_OUTCOME_EXPIRED
		a.Reason = note(a.Reason, "the host was down until its time was over")
		return r.record(ctx, a)
	case mode != config.Enforce:
		a.Outcome, a.Expires = pb.Outcome_OUTCOME_FAILED, 0
		a.Reason = note(a.Reason, fmt.Sprintf("the host stopped before it was done, and the mode is now %s", mode))
		return r.record(ctx, a)
	}
	if s, err := strconv.ParseFloat(detail(a, detailTTL), 64); err == nil {
		left = min(left, time.Duration(s*float64(time.Second)))
	}
	set(a, detailTTL, seconds(left))
	return r.Decide(ctx, a.Enforcer, a)
}
