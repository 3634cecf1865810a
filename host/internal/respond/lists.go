package respond

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// entry is a line of the block list or of the operator's allow list, as it is
// kept; its key is the prefix.
type entry struct {
	Reason  string    `json:"reason,omitempty"`
	Source  string    `json:"source"`
	Created time.Time `json:"created"`
	Stamp   stamp     `json:"stamp"`
	AlertID string    `json:"alert_id,omitempty"`
	// Intent and Trace are those of the enforcer's intent.
	Intent string `json:"intent,omitempty"`
	Trace  []byte `json:"trace,omitempty"`
	// Proxy is the trusted proxy that the address comes through.
	Proxy string `json:"proxy,omitempty"`

	alerts uint64 // raised about it since, in this life of the host
}

// Blocks is the block list, for operators.
type Blocks struct{ r *Responder }

// Allows is the operator's allow list; List also shows those of the file.
type Allows struct{ r *Responder }

var (
	_ control.AddressList = Blocks{}
	_ control.BulkAdder   = Blocks{}
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
		if err := r.store(map[netip.Prefix]*entry{p: made}); err != nil {
			return nil, fmt.Errorf("block %s: %w", text(p), err)
		}
		r.tellBlock(p, made, pb.Outcome_OUTCOME_APPLIED, e.Reason)
	}
	return &pb.BlockResponse{Changed: changed, Block: r.show(p, r.blocks[p], 0)}, nil
}

// AddMany is Add for many entries in one transaction.
func (b Blocks) AddMany(_ context.Context, entries []control.Entry) (*pb.ImportResponse, error) {
	r := b.r
	r.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	resp := &pb.ImportResponse{}
	fresh := make(map[netip.Prefix]*entry)
	for _, e := range entries {
		p, made, err := r.newBlock(e)
		if err == nil && len(r.blocks)+len(fresh) >= r.maxBlocks && r.blocks[p] == nil && fresh[p] == nil {
			err = errFull
		}
		switch {
		case err != nil:
			resp.Refused++
			resp.Problems = append(resp.Problems, &pb.BlockProblem{Prefix: e.Prefix.String(), Reason: err.Error()})
		case fresh[p] == nil && r.differs(r.blocks[p], made):
			resp.Added++
			fresh[p] = made
		default:
			resp.Unchanged++
		}
	}
	if len(fresh) == 0 {
		return resp, nil
	}
	if err := r.store(fresh); err != nil {
		return nil, fmt.Errorf("block %d networks: %w", len(fresh), err)
	}
	r.tell(&pb.ActionEvent{
		Enforcer: OperatorName, Action: actionBlock, Outcome: r.asMode(pb.Outcome_OUTCOME_APPLIED),
		Reason:  fmt.Sprintf("%d networks were imported.", len(fresh)),
		Details: []*pb.Field{{Key: "count", Value: strconv.Itoa(len(fresh))}},
	})
	return resp, nil
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
	ttl := e.TTL
	if ttl == 0 {
		ttl = min(DefaultTTL, r.maxTTL())
	}
	if most := r.maxTTL(); ttl < 0 || ttl > most {
		return p, nil, fmt.Errorf("%w: a time to live of %v; [respond] max_ttl allows up to %v", control.ErrInvalid, ttl, most)
	}
	if r.blocks[p] == nil && len(r.blocks) >= r.maxBlocks {
		return p, nil, errFull
	}
	return p, r.newEntry(e.Reason, ttl), nil
}

// maxTTL is the longest that a block lasts; r.mu is held.
func (r *Responder) maxTTL() time.Duration {
	if most := r.policy.Respond.MaxTTL; most > 0 {
		return most
	}
	return DefaultMaxTTL
}

func (r *Responder) newEntry(reason string, ttl time.Duration) *entry {
	return &entry{Reason: cut(reason, maxReason), Source: OperatorName, Created: r.clock.Wall().Round(0).UTC(), Stamp: r.clock.stamp(ttl)}
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
	if old == nil || r.clock.remaining(old.Stamp) <= 0 || old.Source != made.Source || old.Reason != made.Reason {
		return true
	}
	d := r.clock.remaining(made.Stamp) - r.clock.remaining(old.Stamp)
	return d >= time.Second || d <= -time.Second
}

// store keeps blocks and puts them in force; r.mu is held.
func (r *Responder) store(blocks map[netip.Prefix]*entry) error {
	if err := r.freshTick(); err != nil {
		return err
	}
	docs := make(map[string]entry, len(blocks))
	for p, e := range blocks {
		docs[p.String()] = *e
	}
	if err := r.blockTable.PutAll(docs); err != nil {
		return err
	}
	for p, e := range blocks {
		r.blocks[p] = e
		r.put(p, e)
	}
	r.nudge()
	return nil
}

// Remove ends the block of exactly this network, whoever made it. It returns
// control.ErrNotFound when there is none.
func (b Blocks) Remove(_ context.Context, p netip.Prefix) (*pb.BlockResponse, error) {
	r := b.r
	p, ok := canonical(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.blocks[p]
	if !ok || e == nil {
		if at, _, found := covering(r.blocks, p); ok && found {
			return nil, fmt.Errorf("%w: %s is not blocked by itself, but by %s; remove that, or allow the address", control.ErrNotFound, text(p), at)
		}
		return nil, fmt.Errorf("%w: %s is not blocked", control.ErrNotFound, text(p))
	}
	shown := r.show(p, e, r.hits()[p])
	if err := r.blockTable.Delete(p.String()); err != nil {
		return nil, fmt.Errorf("unblock %s: %w", text(p), err)
	}
	delete(r.blocks, p)
	r.drop(p)
	r.tellBlock(p, e, pb.Outcome_OUTCOME_RELEASED, "An operator removed the block.")
	return &pb.BlockResponse{Changed: true, Block: shown}, nil
}

// List returns blocks in the order of their networks.
func (b Blocks) List(_ context.Context, skip, limit int) ([]*pb.Block, uint64, error) {
	r := b.r
	r.mu.Lock()
	defer r.mu.Unlock()
	sorted := sortedPrefixes(r.blocks)
	hits := r.hits()
	from := min(max(skip, 0), len(sorted))
	var out []*pb.Block
	for _, p := range sorted[from : from+min(max(limit, 0), len(sorted)-from)] {
		out = append(out, r.show(p, r.blocks[p], hits[p]))
	}
	return out, uint64(len(sorted)), nil
}

// show is a block as the control API has it; r.mu is held.
func (r *Responder) show(p netip.Prefix, e *entry, hits uint64) *pb.Block {
	out := &pb.Block{
		Prefix: p.String(), Reason: e.Reason, Source: e.Source, Created: timestamppb.New(e.Created),
		AlertId: e.AlertID, Effect: r.effect(p, e, hits), Hits: hits,
	}
	if left := r.clock.remaining(e.Stamp); left != forever {
		out.Expires = timestamppb.New(r.clock.Wall().Add(left))
	}
	return out
}

// effect says what a block does; r.mu is held.
func (r *Responder) effect(p netip.Prefix, e *entry, hits uint64) string {
	failed := 0
	var why error
	for _, a := range r.filters {
		if a.failed != nil {
			failed, why = failed+1, a.failed
		}
	}
	ban := r.banned(p)
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
	case e.Proxy != "":
		return "none: the address comes through the trusted proxy " + e.Proxy
	case e.alerts > 0 && hits == 0:
		return fmt.Sprintf("none: %d alerts came since, and the packet filter has seen no packet of it", e.alerts)
	}
	if but := r.exceptions(p); but != "" {
		return "enforced, except " + but
	}
	return "enforced"
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
		Id: e.Intent, AlertId: e.AlertID, TraceId: e.Trace, Enforcer: e.Source, Action: actionBlock,
		Target: text(p), Outcome: r.asMode(outcome), Reason: reason,
		Details: []*pb.Field{{Key: "prefix", Value: p.String()}},
	}
	if outcome == pb.Outcome_OUTCOME_APPLIED && e.Stamp.TTL > 0 {
		a.Expires = uint64(e.Stamp.Expires.UnixNano())
	}
	r.tell(a)
}

// Check says what becomes of the packets of a network: allowed with the rule,
// blocked with the block's network and effect, or none.
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
	if at, e, found := covering(r.blocks, p); found && r.clock.remaining(e.Stamp) > 0 {
		out.Verdict = "blocked"
		out.Reason = fmt.Sprintf("%s, by %s: %s (%s)", text(at), e.Source, e.Reason, r.effect(at, e, r.hits()[at]))
	} else if but := r.exceptions(p); but != "" {
		out.Reason = "never blocked in it: " + but
	}
	return out, nil
}
