package respond

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/host/internal/action"
	"github.com/ironpost/ironpost/host/internal/expiry"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Bounds of what is taken over from other hosts.
const (
	// MaxTaken bounds the decisions of other hosts that are followed.
	MaxTaken = 65536
	// maxDecisionID is the longest id of a decision, in bytes.
	maxDecisionID = 64
)

// taken is a decision of another host that is followed here, as it is kept; its key is
// the decision's id. The Source of its entry names that host.
type taken struct {
	Prefix netip.Prefix `json:"prefix"`
	Allow  bool         `json:"allow,omitempty"`
	entry
}

// Fleet is what the hosts decide together, for the package that exchanges it.
type Fleet struct{ r *Responder }

// Fleet returns the view of the Responder's decisions that other hosts have a part in.
func (r *Responder) Fleet() Fleet { return Fleet{r} }

// Take follows decisions of other hosts for what is left of each, as far as the rails
// of this host allow. One that is followed already keeps its end, or gets an earlier one;
// one that was taken back here stays so. The error says that they could not be kept;
// what cannot be followed is counted and is none.
func (f Fleet) Take(decisions []*pb.Decision) error {
	r := f.r
	r.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := make(map[string]taken)
	var order []string
	for _, d := range decisions {
		t, why := r.take(d)
		switch {
		case why != "":
			r.counts["fleet_refused_"+why]++
			r.log.Debug("a decision of another host is not followed", "why", why, "prefix", d.GetPrefix(), "host", d.GetHost())
		case t != nil:
			if _, twice := kept[d.Id]; !twice {
				order = append(order, d.Id)
			}
			kept[d.Id] = *t
		}
	}
	if len(kept) == 0 {
		return nil
	}
	if err := r.notes.Fresh(); err != nil {
		return fmt.Errorf("follow other hosts: %w", err)
	}
	if err := r.takenTable.PutAll(kept); err != nil {
		return fmt.Errorf("follow other hosts: %w", err)
	}
	var networks []netip.Prefix
	allowed := false
	told := 0
	for _, id := range order {
		t := kept[id]
		_, known := r.taken[id]
		r.hold(id, &t)
		networks, allowed = append(networks, t.Prefix), allowed || t.Allow
		if known {
			continue
		}
		r.counts["fleet_taken"]++
		if told++; told <= maxTold {
			r.tellTaken(id, &t, pb.Outcome_OUTCOME_APPLIED, t.Reason)
		}
	}
	r.tellMore(told-maxTold, pb.Outcome_OUTCOME_APPLIED)
	if allowed {
		r.rebuild()
		if err := r.releaseAllowed(); err != nil {
			return fmt.Errorf("allow what another host allows: it passes, but: %w", err)
		}
	}
	r.nudge()
	return r.settle(networks, false)
}

// take judges a decision of another host. It returns nil, and no reason, for one about which
// nothing is new; r.mu is held.
func (r *Responder) take(d *pb.Decision) (*taken, string) {
	if d.GetId() == "" || len(d.Id) > maxDecisionID || d.RemainingMs == 0 {
		return nil, "invalid"
	}
	if _, gone := r.tombs[d.Id]; gone {
		return nil, ""
	}
	t := &taken{Allow: d.Kind == pb.Decision_KIND_ALLOW}
	left := time.Duration(min(d.RemainingMs, uint64(expiry.Forever/time.Millisecond))) * time.Millisecond //nolint:gosec // bounded
	if !t.Allow {
		left = min(left, r.maxTTL())
	}
	if old := r.taken[d.Id]; old != nil {
		if r.clock.Remaining(old.Stamp) <= left+time.Second {
			return nil, ""
		}
		shorter := *old
		shorter.Stamp = r.clock.Stamp(left)
		return &shorter, ""
	}
	p, err := netip.ParsePrefix(d.Prefix)
	if err != nil {
		return nil, "invalid"
	}
	if d.Kind == pb.Decision_KIND_LIMIT {
		t.deed = deed{Limit: d.Limit, Burst: d.Burst}
	}
	if t.Prefix, err = r.network(p); err != nil || t.check() != nil || d.Kind == pb.Decision_KIND_LIMIT && d.Limit == 0 ||
		d.Kind < pb.Decision_KIND_BLOCK || d.Kind > pb.Decision_KIND_ALLOW {
		return nil, "invalid"
	}
	if ban := r.banned(t.Prefix); ban != nil && !t.Allow {
		return nil, ban.Rail
	}
	if len(r.taken) >= MaxTaken {
		return nil, CodeFull
	}
	t.Reason = action.Cut(d.Reason, action.MaxReason)
	t.Source = action.Cut(d.Source, action.MaxText/2) + "@" + action.Cut(d.Host, action.MaxText/2)
	t.AlertID = action.Cut(d.AlertId, action.MaxText)
	t.Created, t.Stamp = time.Unix(0, int64(d.Created)).UTC(), r.clock.Stamp(left) //nolint:gosec // a time
	return t, ""
}

// hold has a decision be followed; r.mu is held.
func (r *Responder) hold(id string, t *taken) {
	r.let(id)
	r.taken[id] = t
	r.takenOf[t.Prefix] = append(r.takenOf[t.Prefix], id)
	if !t.Allow {
		r.takenAt[t.Prefix] = append(r.takenAt[t.Prefix], &t.entry)
	}
}

// let forgets a decision; r.mu is held.
func (r *Responder) let(id string) {
	t := r.taken[id]
	if t == nil {
		return
	}
	delete(r.taken, id)
	without(r.takenOf, t.Prefix, id)
	without(r.takenAt, t.Prefix, &t.entry)
}

// without takes one of what is said about a network away.
func without[T comparable](of map[netip.Prefix][]T, p netip.Prefix, one T) {
	if left := slices.DeleteFunc(slices.Clone(of[p]), func(o T) bool { return o == one }); len(left) > 0 {
		of[p] = left
	} else {
		delete(of, p)
	}
}

// Drop ends what was taken back: decisions of other hosts, and those of this one.
func (f Fleet) Drop(ids []string) error {
	r := f.r
	r.mu.Lock()
	defer r.mu.Unlock()
	const reason = "It was taken back on another host."
	var theirs []string
	own := make(map[string]bool)
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		if r.taken[id] != nil {
			theirs = append(theirs, id)
		} else {
			own[id] = true
		}
	}
	err := r.dropTaken(theirs, pb.Outcome_OUTCOME_RELEASED, reason)
	if len(own) == 0 {
		return err // mostly: the ids of own blocks need not be made
	}
	return errors.Join(err, r.dropOwn(own, reason))
}

// Keep ends what is followed of other hosts and is not among ids: all that is in force.
func (f Fleet) Keep(ids map[string]bool) error {
	r := f.r
	r.mu.Lock()
	defer r.mu.Unlock()
	var gone []string
	for id := range r.taken {
		if !ids[id] {
			gone = append(gone, id)
		}
	}
	return r.dropTaken(gone, pb.Outcome_OUTCOME_RELEASED, "The other hosts do not have it any more.")
}

// dropTaken ends decisions of other hosts that are followed; r.mu is held.
func (r *Responder) dropTaken(ids []string, outcome pb.Outcome, reason string) error {
	if len(ids) == 0 {
		return nil
	}
	if err := r.takenTable.Delete(ids...); err != nil {
		return fmt.Errorf("follow other hosts no more: %w", err)
	}
	var networks []netip.Prefix
	allowed := false
	for i, id := range ids {
		t := r.taken[id]
		r.let(id)
		networks, allowed = append(networks, t.Prefix), allowed || t.Allow
		if i < maxTold {
			r.tellTaken(id, t, outcome, reason)
		}
	}
	r.tellMore(len(ids)-maxTold, outcome)
	if allowed {
		r.rebuild()
	}
	return r.settle(networks, false)
}

// dropOwn ends decisions of this host that were taken back elsewhere; r.mu is held.
func (r *Responder) dropOwn(wanted map[string]bool, reason string) error {
	var allows []string
	for p, e := range r.allows {
		if wanted[r.decisionID(pb.Decision_KIND_ALLOW, p, e)] {
			allows = append(allows, p.String())
		}
	}
	if len(allows) > 0 {
		if err := r.allowTable.Delete(allows...); err != nil {
			return fmt.Errorf("allow no more what another host took back: %w", err)
		}
		for _, name := range allows {
			delete(r.allows, netip.MustParsePrefix(name))
		}
		r.rebuild()
	}
	_, err := r.end(MaxBlocks, func(p netip.Prefix, e *entry) (pb.Outcome, string) {
		if kind := kindOf(e); kind == 0 || !wanted[r.decisionID(kind, p, e)] {
			return 0, ""
		}
		return pb.Outcome_OUTCOME_RELEASED, reason
	})
	return err
}

// expireTaken ends what is over of what other hosts decided, and returns how long
// until something else is; r.mu is held.
func (r *Responder) expireTaken() time.Duration {
	wait := expiry.Forever
	var over []string
	for id, t := range r.taken {
		if left := r.clock.Remaining(t.Stamp); left > 0 {
			wait = min(wait, left)
		} else {
			over = append(over, id)
		}
	}
	if len(over) > 0 {
		if err := r.dropTaken(over, pb.Outcome_OUTCOME_EXPIRED, "The time of the block is over."); err != nil {
			r.log.Error("what is over of other hosts' decisions cannot be removed, trying again", "error", err)
			wait = mendInterval
		}
	}
	var gone []string
	for id, s := range r.tombs {
		if left := r.clock.Remaining(s); left > 0 {
			wait = min(wait, left)
		} else {
			gone = append(gone, id)
			delete(r.tombs, id)
		}
	}
	if len(gone) > 0 {
		if err := r.tombTable.Delete(gone...); err != nil {
			r.log.Error("cannot forget what was taken back", "error", err)
		}
	}
	return wait
}

// tellTaken records what became of a decision of another host; r.mu is held.
func (r *Responder) tellTaken(id string, t *taken, outcome pb.Outcome, reason string) {
	a := &pb.ActionEvent{
		AlertId: t.AlertID, Enforcer: t.Source, Action: t.action(), Target: text(t.Prefix), Outcome: outcome, Reason: reason,
		Details: []*pb.Field{{Key: "prefix", Value: t.Prefix.String()}, {Key: "decision", Value: id}},
	}
	if t.Allow {
		a.Action = actionAllow
	} else {
		a.Outcome = r.asMode(outcome)
	}
	if outcome == pb.Outcome_OUTCOME_APPLIED {
		a.Expires = uint64(t.Stamp.Expires.UnixNano()) //nolint:gosec // a time
	}
	r.tell(a)
}

// tellMore records how many more decisions of other hosts met a fate; r.mu is held.
func (r *Responder) tellMore(n int, outcome pb.Outcome) {
	if n <= 0 {
		return
	}
	r.tell(&pb.ActionEvent{
		Enforcer: HostName, Action: actionBlock, Outcome: r.asMode(outcome), Reason: fmt.Sprintf("%d more decisions of other hosts.", n),
		Details: []*pb.Field{{Key: "count", Value: strconv.Itoa(n)}},
	})
}

// loadTaken reads what was followed of other hosts, as load does.
func (r *Responder) loadTaken(last expiry.Tick) error {
	docs, err := r.takenTable.All()
	if err != nil {
		if docs == nil {
			return err
		}
		r.problem("a decision of another host cannot be read and is left out", err)
	}
	moved := make(map[string]taken)
	for id, t := range docs {
		p, ok := canonical(t.Prefix)
		if !ok || t.check() != nil {
			r.problem("a decision of another host cannot be read and is left out", fmt.Errorf("%q", id))
			continue
		}
		t.Prefix = p
		if s := r.clock.Rebase(t.Stamp, last); s != t.Stamp {
			t.Stamp = s
			moved[id] = t
		}
		r.hold(id, &t)
	}
	tombs, err := r.tombTable.All()
	if err != nil && tombs == nil {
		return err
	}
	back := make(map[string]expiry.Stamp)
	for id, s := range tombs {
		if next := r.clock.Rebase(s, last); next != s {
			s, back[id] = next, next
		}
		r.tombs[id] = s
	}
	if len(back) > 0 {
		if err := r.tombTable.PutAll(back); err != nil {
			return err
		}
	}
	if len(moved) == 0 {
		return nil
	}
	return r.takenTable.PutAll(moved)
}

// takenIDs are the decisions of other hosts about exactly a network; r.mu is held.
func (r *Responder) takenIDs(p netip.Prefix, allow bool) []string {
	return slices.DeleteFunc(slices.Clone(r.takenOf[p]), func(id string) bool { return r.taken[id].Allow != allow })
}
