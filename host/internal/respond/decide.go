package respond

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ironpost/ironpost/host/internal/action"
	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/expiry"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Remember keeps what is needed of an alert to check answers to it. Call it
// before the alert is appended to the journal, so that no answer comes first.
func (r *Responder) Remember(a *pb.AlertEvent) {
	r.history.remember(a)
	var sources []netip.Addr
	for _, f := range a.GetEntities() {
		addr, err := netip.ParseAddr(f.Value)
		if f.Key != "src_ip" || err != nil || addr.Zone() != "" {
			continue
		}
		// A detector may name as many as fit into an alert, and others wait.
		if sources = append(sources, addr); len(sources) == maxSources {
			break
		}
	}
	if len(sources) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	book := r.book()
	for _, addr := range sources {
		p, by := book.covering(host(addr.Unmap()))
		switch {
		case by.entry == nil || a.GetTime() <= uint64(by.entry.Created.Add(hitGrace).UnixNano()):
		case by.list == nil:
			by.entry.alerts++
		case len(r.heard) < maxHeard || r.heard[p] > 0:
			r.heard[p]++
		}
	}
}

// hitGrace is how much later than a block an alert has to be to say that the
// block has no effect: what happened before it may still be on its way.
const hitGrace = 10 * time.Second

// Decide judges an intent, carries it out where the mode says so, and records
// what came of it; its error says that it could not be recorded, and it may be
// proposed again. An intent that was decided before is left alone. The intent
// remains the caller's.
func (r *Responder) Decide(ctx context.Context, enforcer string, intent *pb.ActionEvent) error {
	r.deciding.Lock()
	defer r.deciding.Unlock()
	mode := r.Mode()
	if mode == config.Detect {
		r.count("not_asked")
		return nil
	}
	a := bounded(enforcer, intent)
	a.Mode = string(mode)
	if a.Id == "" || len(intent.GetId()) > action.MaxText {
		a.Id = intentID(intent)
	}
	k := key(a.Enforcer, a.Id)
	if r.history.isDecided(k) {
		r.count("repeated")
		return nil
	}
	p, no := r.judge(a)
	switch {
	case no != nil:
		return r.refuse(ctx, a, *no)
	case a.Action == actionNotify:
		return r.notify(ctx, a, mode)
	}
	r.describe(a, p)
	if mode == config.Simulate {
		a.Outcome = pb.Outcome_OUTCOME_SIMULATED
		r.count("simulated")
		return r.record(ctx, a)
	}
	return r.enforce(ctx, a, p)
}

// intentID is the id of an intent that brings none that can be used.
func intentID(a *pb.ActionEvent) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{a.GetId(), a.GetAlertId(), a.GetAction(), a.GetTarget()}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// describe writes the plan into the event.
func (r *Responder) describe(a *pb.ActionEvent, p plan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.Target = p.prefix.Addr().String()
	a.Expires = uint64(r.clock.Wall().Add(p.ttl).UnixNano())
	set(a, "prefix", p.prefix.String())
	set(a, detailTTL, seconds(p.ttl))
	set(a, "interfaces", strings.Join(r.interfaces(), ","))
	for _, n := range p.notes {
		a.Reason = note(a.Reason, n)
	}
}

// note adds a remark to a reason.
func note(reason, n string) string {
	if reason = strings.TrimRight(reason, ". "); reason == "" {
		return n
	}
	return reason + "; " + n
}

// refuse records why nothing is done.
func (r *Responder) refuse(ctx context.Context, a *pb.ActionEvent, no refusal) error {
	r.mu.Lock()
	r.counts["refused_"+no.code]++
	now := r.clock.Boot()
	r.refusals.Closes(now)
	spoken := r.refusals.Admit(now, maxRefusals)
	if !spoken {
		r.counts["refusals_unrecorded"]++
	}
	r.mu.Unlock()
	if !spoken {
		r.history.suppress(key(a.Enforcer, a.Id))
		return nil
	}
	a.Outcome, a.Expires = pb.Outcome_OUTCOME_REFUSED, 0
	set(a, "code", no.code)
	if a.Reason != "" {
		set(a, "proposed", a.Reason)
	}
	a.Reason = no.reason
	return r.record(ctx, a)
}

// notify records a decision that has no effect.
func (r *Responder) notify(ctx context.Context, a *pb.ActionEvent, mode config.Mode) error {
	a.Outcome = pb.Outcome_OUTCOME_APPLIED
	if mode == config.Simulate {
		a.Outcome = pb.Outcome_OUTCOME_SIMULATED
	}
	a.Expires = 0
	r.count("notified")
	return r.record(ctx, a)
}

// enforce plans, blocks and records.
func (r *Responder) enforce(ctx context.Context, a *pb.ActionEvent, p plan) error {
	planned := clone(a)
	planned.Outcome = pb.Outcome_OUTCOME_PLANNED
	if err := r.record(ctx, planned); err != nil {
		return err
	}
	a.Outcome = pb.Outcome_OUTCOME_APPLIED
	if err := r.carryOut(a, p); err != nil {
		a.Outcome, a.Expires = pb.Outcome_OUTCOME_FAILED, 0
		a.Reason = note(a.Reason, err.Error())
		r.log.Error("an address is not blocked", "address", a.Target, "error", err)
	}
	r.count(strings.ToLower(strings.TrimPrefix(a.Outcome.String(), "OUTCOME_")))
	// The act is done: its outcome is recorded whoever has stopped waiting.
	return r.record(context.WithoutCancel(ctx), a)
}

// carryOut blocks what was planned, unless things have changed meanwhile.
func (r *Responder) carryOut(a *pb.ActionEvent, p plan) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mode.Mode != config.Enforce {
		return fmt.Errorf("the mode was changed to %s meanwhile", r.mode.Mode)
	}
	if err := r.banned(p.prefix); err != nil {
		return err
	}
	if left, ok := r.suffices(p); ok {
		a.Expires = 0
		if left != expiry.Forever {
			a.Expires = uint64(r.clock.Wall().Add(left).UnixNano())
		}
		return nil
	}
	if err := r.notes.Fresh(); err != nil {
		return err
	}
	e := &entry{
		Reason: a.Reason, Source: a.Enforcer, Created: r.clock.Wall().Round(0).UTC(), Stamp: r.clock.Stamp(p.ttl),
		AlertID: a.AlertId, Intent: a.Id, Trace: a.TraceId, Proxy: p.proxy, deed: p.deed,
	}
	if old := r.blocks[p.prefix]; old != nil {
		e.Under = r.outlasting(old, p.ttl)
	}
	if err := r.blockTable.Put(p.prefix.String(), *e); err != nil {
		return err
	}
	r.replaced(p.prefix, r.blocks[p.prefix], e)
	r.blocks[p.prefix] = e
	failed := r.put(p.prefix)
	r.nudge()
	if len(failed) > 0 && len(failed) == len(r.filters) {
		// It stays on the list, and filters that recover get it: who asks for it
		// again must not be told that it failed for good.
		a.Reason = note(a.Reason, "it has no effect yet: no packet filter takes it, and that is tried again")
	}
	return nil
}

// suffices reports whether a plan adds nothing to what is in force, and for how
// long that is: the same block lasts longer, or one that keeps more away, before
// which the plan would come. r.mu is held.
func (r *Responder) suffices(p plan) (left time.Duration, ok bool) {
	if old := r.blocks[p.prefix]; old != nil && old.compare(p.deed) >= 0 {
		if left = r.clock.Remaining(old.Stamp); left >= p.ttl {
			return left, true
		}
	}
	book := r.book()
	_, by := book.covering(p.prefix)
	if old := r.blocks[p.prefix]; old != nil && old.Source != OperatorName && old.Under == nil {
		// What an enforcer asked for before does not go on keeping a stronger
		// block off.
		if _, wider := book.around(p.prefix); wider.entry != nil && (by.entry == nil || wider.entry.compare(by.entry.deed) > 0) {
			by = wider
		}
	}
	return by.left, by.entry != nil && by.entry.compare(p.deed) > 0
}

// outlasting returns what of an entry comes back after another that takes its
// place for a time, nil for nothing: an operator's longer limit does not end with
// an enforcer's block. r.mu is held.
func (r *Responder) outlasting(old *entry, ttl time.Duration) *entry {
	if old.Source != OperatorName {
		old = old.Under
	}
	if old == nil || r.clock.Remaining(old.Stamp) <= ttl {
		return nil
	}
	kept := *old
	kept.Under, kept.alerts = nil, 0
	return &kept
}

func clone(a *pb.ActionEvent) *pb.ActionEvent {
	out := &pb.ActionEvent{
		Id: a.Id, Time: a.Time, AlertId: a.AlertId, TraceId: a.TraceId, Enforcer: a.Enforcer, Action: a.Action,
		Target: a.Target, Outcome: a.Outcome, Mode: a.Mode, Reason: a.Reason, Expires: a.Expires,
	}
	for _, f := range a.Details {
		out.Details = append(out.Details, &pb.Field{Key: f.Key, Value: f.Value})
	}
	return out
}
