package respond

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/action"
	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/expiry"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// entry is a line of the block list or of the operator's allow list, as it is
// kept; its key is the prefix.
type entry struct {
	Reason  string       `json:"reason,omitempty"`
	Source  string       `json:"source"`
	Created time.Time    `json:"created"`
	Stamp   expiry.Stamp `json:"stamp"`
	AlertID string       `json:"alert_id,omitempty"`
	// Intent and Trace are those of the enforcer's intent.
	Intent string `json:"intent,omitempty"`
	Trace  []byte `json:"trace,omitempty"`
	// Proxy is the trusted proxy that the address comes through.
	Proxy string `json:"proxy,omitempty"`
	deed
	// Under is the entry whose place this one took and which lasts longer: it comes
	// back when this one is over.
	Under *entry `json:"under,omitempty"`

	alerts uint64 // raised about it since, in this life of the host
}

// Blocks is the block list, for operators.
type Blocks struct{ r *Responder }

// Allows is the operator's allow list; List also shows those of the file.
type Allows struct{ r *Responder }

var (
	_ control.AddressList = Blocks{}
	_ control.Importer    = Blocks{}
	_ control.AddressList = Allows{}
	_ control.Checker     = (*Responder)(nil)
	_ control.Mode        = (*Responder)(nil)
)

// Blocks returns the block list.
func (r *Responder) Blocks() Blocks { return Blocks{r} }

// Allows returns the operator's allow list.
func (r *Responder) Allows() Allows { return Allows{r} }

// errFull: a list has all the entries that it may have.
var errFull = fmt.Errorf("%w: the list is full", control.ErrConflict)

// Add blocks a network in the operator's name, for DefaultTTL when the entry
// names no time, and replaces an entry of the same network. It returns a
// *RailError for what is never blocked, and errors that wrap control.ErrInvalid
// or control.ErrConflict.
func (b Blocks) Add(_ context.Context, e control.Entry) (*pb.BlockResponse, error) {
	r := b.r
	r.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	p, made, err := r.newBlock(e)
	if err != nil {
		return nil, err
	}
	changed := r.differs(r.blocks[p], made)
	if changed {
		if err := r.store(p, made); err != nil {
			return nil, fmt.Errorf("block %s: %w", text(p), err)
		}
		r.tellBlock(p, made, pb.Outcome_OUTCOME_APPLIED, e.Reason)
		if err := r.releaseCovered(); err != nil {
			return nil, fmt.Errorf("block %s: it is blocked, but what limits addresses in it stays: %w", text(p), err)
		}
	}
	return &pb.BlockResponse{Changed: changed, Block: r.show(p, ruling{entry: r.blocks[p]}, 0)}, nil
}

// newBlock checks an order and makes the entry; r.mu is held.
func (r *Responder) newBlock(e control.Entry) (netip.Prefix, *entry, error) {
	p, err := r.network(e.Prefix)
	if err != nil {
		return p, nil, err
	}
	if err := r.banned(p); err != nil {
		return p, nil, err
	}
	ttl, err := r.blockTTL(e.TTL)
	if err != nil {
		return p, nil, err
	}
	if r.blocks[p] == nil && len(r.blocks) >= r.maxBlocks {
		return p, nil, errFull
	}
	made := r.newEntry(e.Reason, ttl)
	if made.deed, err = deedOf(e); err != nil {
		return p, nil, err
	}
	return p, made, nil
}

// blockTTL is how long a block lasts that is to last for ttl, 0 where nobody says;
// r.mu is held.
func (r *Responder) blockTTL(ttl time.Duration) (time.Duration, error) {
	most := r.maxTTL()
	if ttl == 0 {
		ttl = min(DefaultTTL, most)
	}
	if ttl < 0 || ttl > most {
		return 0, fmt.Errorf("%w: a time to live of %v; [respond] max_ttl allows up to %v", control.ErrInvalid, ttl, most)
	}
	return ttl, nil
}

// maxTTL is the longest that a block lasts; r.mu is held.
func (r *Responder) maxTTL() time.Duration {
	if most := r.policy.Respond.MaxTTL; most > 0 {
		return most
	}
	return DefaultMaxTTL
}

func (r *Responder) newEntry(reason string, ttl time.Duration) *entry {
	return &entry{Reason: action.Cut(reason, action.MaxReason), Source: OperatorName, Created: r.clock.Wall().Round(0).UTC(), Stamp: r.clock.Stamp(ttl)}
}

// network returns the canonical form of a network of other hosts.
func (r *Responder) network(p netip.Prefix) (netip.Prefix, error) {
	p, ok := canonical(p)
	switch {
	case !ok:
		return p, fmt.Errorf("%w: %v is no network", control.ErrInvalid, p)
	case p.Bits() == 0:
		return p, fmt.Errorf("%w: %v is every address there is", control.ErrInvalid, p)
	case !unicast(p.Addr()) && p.Bits() >= 8:
		return p, fmt.Errorf("%w: %s is not what packets of other hosts come from", control.ErrInvalid, text(p))
	}
	return p, nil
}

// differs reports whether an entry says anything else than the one there is; an
// end that moves by less than a second is the same.
func (r *Responder) differs(old, made *entry) bool {
	if old == nil || r.clock.Remaining(old.Stamp) <= 0 || old.Source != made.Source || old.Reason != made.Reason || old.deed != made.deed {
		return true
	}
	d := r.clock.Remaining(made.Stamp) - r.clock.Remaining(old.Stamp)
	return d >= time.Second || d <= -time.Second
}

// store keeps a block and puts it in force; r.mu is held.
func (r *Responder) store(p netip.Prefix, e *entry) error {
	if err := errors.Join(r.notes.Fresh(), r.blockTable.Put(p.String(), *e)); err != nil {
		return err
	}
	r.replaced(p, r.blocks[p], e)
	r.blocks[p] = e
	r.put(p)
	r.nudge()
	return nil
}

// Remove ends the block of exactly this network, whoever made it, and takes it
// off every list. It returns control.ErrNotFound when there is none.
func (b Blocks) Remove(_ context.Context, p netip.Prefix) (*pb.BlockResponse, error) {
	r := b.r
	r.listing.Lock()
	defer r.listing.Unlock()
	p, ok := canonical(p)
	shown, e, err := r.unblock(p, ok)
	if err != nil {
		return nil, err
	}
	err = r.thin(func(s nets) nets {
		at, found := s.seek(p)
		if !found {
			return nets{}
		}
		return s.keep(func(i int, origin uint32) (uint32, bool) { return origin, i == at })
	})
	if err != nil {
		return nil, fmt.Errorf("unblock %s: %w", text(p), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tellBlock(p, e, pb.Outcome_OUTCOME_RELEASED, "An operator removed the block.")
	return &pb.BlockResponse{Changed: true, Block: shown}, nil
}

// unblock ends the block of a network that was asked for by itself, if there is
// one, and returns what decided about the network.
func (r *Responder) unblock(p netip.Prefix, valid bool) (*pb.Block, *entry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	book := r.book()
	var found ruling
	if valid {
		found = book.rule(p)
	}
	if found.entry == nil {
		if at, by := book.covering(p); valid && by.entry != nil {
			return nil, nil, fmt.Errorf("%w: %s is not blocked by itself, but by %s; remove that, or allow the address", control.ErrNotFound, text(p), at)
		}
		return nil, nil, fmt.Errorf("%w: %s is not blocked", control.ErrNotFound, text(p))
	}
	shown := r.show(p, found, r.hitsOf([]netip.Prefix{p})[0])
	others, err := r.takeBack(p, false)
	if err != nil {
		return nil, nil, fmt.Errorf("unblock %s: %w", text(p), err)
	}
	own := r.blocks[p]
	if own != nil {
		if err := r.blockTable.Delete(p.String()); err != nil {
			return nil, nil, fmt.Errorf("unblock %s: %w", text(p), err)
		}
		delete(r.blocks, p)
		r.replaced(p, own, nil)
	}
	if own != nil || others != nil {
		r.put(p)
	}
	return shown, found.entry, nil
}

// show is a block as the control API has it; r.mu is held.
func (r *Responder) show(p netip.Prefix, by ruling, hits uint64) *pb.Block {
	e := by.entry
	out := &pb.Block{
		Prefix: p.String(), Reason: e.Reason, Source: e.Source, Created: timestamppb.New(e.Created),
		AlertId: e.AlertID, Effect: r.effect(p, e, hits), Hits: hits,
		Action: e.action(), Limit: e.Limit, Burst: e.Burst, DryRun: e.DryRun,
	}
	if by.list != nil {
		out.List = by.list.name
	}
	if left := r.clock.Remaining(e.Stamp); left != expiry.Forever {
		out.Expires = timestamppb.New(r.clock.Wall().Add(left))
	}
	return out
}

// effect says what a block does; r.mu is held.
func (r *Responder) effect(p netip.Prefix, e *entry, hits uint64) string {
	if why := r.idle(r.banned(p)); why != "" {
		return why
	}
	switch {
	case e.Monitor:
		return "none: it is monitored"
	case e.DryRun:
		return "none: dry run"
	case e.Proxy != "":
		return "none: the address comes through the trusted proxy " + e.Proxy
	case e.alerts+r.heard[p] > 0 && hits == 0:
		return fmt.Sprintf("none: %d alerts came since, and the packet filter has seen no packet of it", e.alerts+r.heard[p])
	}
	if but := r.exceptions(p); but != "" {
		return "enforced, except " + but
	}
	return "enforced"
}

// idle says why nothing that is asked of the filters is in force, "" when it is:
// the mode, the want of filters, a rail that forbids it, or filters that do not
// follow. r.mu is held.
func (r *Responder) idle(ban *RailError) string {
	failed := 0
	var why error
	for _, a := range r.filters {
		if a.failed != nil {
			failed, why = failed+1, a.failed
		}
	}
	switch {
	case r.mode.Mode == config.Simulate:
		return "simulated"
	case r.mode.Mode != config.Enforce:
		return "none: the mode is " + string(r.mode.Mode)
	case len(r.filters) == 0:
		return "none: no interface is watched"
	case ban != nil:
		return "none: " + ban.Error()
	case failed == len(r.filters):
		return "uncertain: " + why.Error()
	}
	return ""
}

// asMode turns an outcome that claims an effect into what it is in the mode;
// r.mu is held.
func (r *Responder) asMode(o pb.Outcome) pb.Outcome {
	if o == pb.Outcome_OUTCOME_APPLIED && r.mode.Mode != config.Enforce {
		return pb.Outcome_OUTCOME_SIMULATED
	}
	return o
}

// tellBlock records what became of a block; r.mu is held.
func (r *Responder) tellBlock(p netip.Prefix, e *entry, outcome pb.Outcome, reason string) {
	a := &pb.ActionEvent{
		Id: e.Intent, AlertId: e.AlertID, TraceId: e.Trace, Enforcer: e.Source, Action: e.action(),
		Target: text(p), Outcome: r.asMode(outcome), Reason: reason,
		Details: []*pb.Field{{Key: "prefix", Value: p.String()}},
	}
	if outcome == pb.Outcome_OUTCOME_APPLIED && e.Stamp.TTL > 0 {
		a.Expires = uint64(e.Stamp.Expires.UnixNano())
	}
	r.tell(a)
}

// Check says what becomes of the packets of a network: allowed with the rule,
// blocked with the block's network and effect, or none; and which rules of the
// filters may decide about some of them.
func (r *Responder) Check(_ context.Context, p netip.Prefix) (*pb.CheckResponse, error) {
	p, ok := canonical(p)
	if !ok {
		return nil, fmt.Errorf("%w: %v is no network", control.ErrInvalid, p)
	}
	r.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &pb.CheckResponse{Prefix: p.String(), Verdict: "none"}
	if ban := r.banned(p); ban != nil {
		out.Verdict, out.Reason = "allowed", ban.Error()
		return out, nil
	}
	book := r.book()
	if at, by := book.covering(p); by.entry != nil {
		out.Verdict = by.entry.verdict()
		who := by.entry.Source
		if by.list != nil {
			who = "the list " + by.list.name
		}
		out.Reason = fmt.Sprintf("%s, by %s: %s (%s)", text(at), who, by.entry.Reason, r.effect(at, by.entry, r.hitsOf([]netip.Prefix{at})[0]))
	} else if but := r.exceptions(p); but != "" {
		out.Reason = "never blocked in it: " + but
	}
	if also := r.rulesAbout(p); also != "" && out.Verdict != "blocked" {
		out.Reason = note(out.Reason, also)
	}
	return out, nil
}
