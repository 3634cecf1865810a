package respond

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/expiry"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Add allows a network, for ever when the entry names no time. Blocks within it
// are removed; wider ones stay, and it passes.
func (l Allows) Add(_ context.Context, e control.Entry) (*pb.BlockResponse, error) {
	resp, err := l.add(e)
	if err != nil {
		return nil, err
	}
	if err := l.r.releaseListed(); err != nil {
		return nil, fmt.Errorf("allow %s: it passes, but: %w", resp.Block.Prefix, err)
	}
	return resp, nil
}

func (l Allows) add(e control.Entry) (*pb.BlockResponse, error) {
	r := l.r
	p, ok := canonical(e.Prefix)
	if !ok || e.TTL < 0 {
		return nil, fmt.Errorf("%w: allow %v for %v", control.ErrInvalid, e.Prefix, e.TTL)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.allows[p]
	if old == nil && len(r.allows) >= MaxAllows {
		return nil, errFull
	}
	made := r.newEntry(e.Reason, e.TTL)
	changed := r.differs(old, made)
	if changed {
		if err := errors.Join(r.notes.Fresh(), r.allowTable.Put(p.String(), *made)); err != nil {
			return nil, fmt.Errorf("allow %s: %w", text(p), err)
		}
		r.unshare(pb.Decision_KIND_ALLOW, p, old)
		r.share(pb.Decision_KIND_ALLOW, p, made)
		r.allows[p] = made
		r.nudge()
		r.rebuild()
	}
	if err := r.releaseAllowed(); err != nil {
		return nil, fmt.Errorf("allow %s: it passes, but: %w", text(p), err)
	}
	return &pb.BlockResponse{Changed: changed, Block: r.showAllow(p, r.allows[p])}, nil
}

// Remove takes a network off the operator's list. It returns
// control.ErrConflict for one that the file allows, and control.ErrNotFound.
func (l Allows) Remove(_ context.Context, p netip.Prefix) (*pb.BlockResponse, error) {
	r := l.r
	p, ok := canonical(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.allows[p]
	if ok && e == nil {
		others, err := r.takeBack(p, true)
		if err != nil {
			return nil, err
		}
		if others != nil {
			r.rebuild()
			return &pb.BlockResponse{Changed: true, Block: r.showAllow(p, others)}, nil
		}
	}
	if !ok || e == nil {
		if b, found := r.never[p]; found && b.rail == RailAllow {
			return nil, fmt.Errorf("%w: %s is in %s of the configuration; remove it there and run: ironpost config reload", control.ErrConflict, text(p), b.source)
		}
		return nil, fmt.Errorf("%w: %s is not on the allow list", control.ErrNotFound, text(p))
	}
	if err := r.allowTable.Delete(p.String()); err != nil {
		return nil, fmt.Errorf("remove %s from the allow list: %w", text(p), err)
	}
	if _, err := r.takeBack(p, true); err != nil {
		return nil, err
	}
	delete(r.allows, p)
	r.unshare(pb.Decision_KIND_ALLOW, p, e)
	r.rebuild()
	return &pb.BlockResponse{Changed: true, Block: r.showAllow(p, e)}, nil
}

// List returns what is allowed, by the operator or by the file, in the order of
// the networks.
func (l Allows) List(_ context.Context, q control.Page) (*pb.ListBlocksResponse, error) {
	r := l.r
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[netip.Prefix]bool, len(r.allows))
	for p := range r.allows {
		all[p] = true
	}
	for p, b := range r.never {
		if b.rail == RailAllow {
			all[p] = true
		}
	}
	out := &pb.ListBlocksResponse{}
	for _, p := range sortedPrefixes(all) {
		b := r.showAllow(p, r.allowed(p))
		switch {
		case q.List != "", q.Source != "" && b.Source != q.Source, q.Within.IsValid() && !q.Within.Overlaps(p):
			continue
		}
		if !q.After.IsValid() {
			out.Total++
		} else if comparePrefixes(p, q.After) <= 0 {
			continue
		}
		switch {
		case q.Skip > 0:
			q.Skip--
		case len(out.Blocks) < q.Limit:
			out.Blocks = append(out.Blocks, b)
		case q.Limit > 0:
			out.Next = out.Blocks[q.Limit-1].Prefix
		}
	}
	return out, nil
}

// allowed returns what an operator said about a network that is allowed, on this host or
// else on another; nil when it is the file. r.mu is held.
func (r *Responder) allowed(p netip.Prefix) *entry {
	if e := r.allows[p]; e != nil {
		return e
	}
	for _, id := range r.takenIDs(p, true) {
		return &r.taken[id].entry
	}
	return nil
}

// showAllow shows an entry of the allow list; e is nil for one of the file.
func (r *Responder) showAllow(p netip.Prefix, e *entry) *pb.Block {
	out := &pb.Block{Prefix: p.String(), Effect: "allowed"}
	if e == nil {
		out.Source, out.Reason = "configuration", r.never[p].source
		return out
	}
	out.Source, out.Reason, out.Created = e.Source, e.Reason, timestamppb.New(e.Created)
	if left := r.clock.Remaining(e.Stamp); left != expiry.Forever {
		out.Expires = timestamppb.New(r.clock.Wall().Add(left))
	}
	return out
}
