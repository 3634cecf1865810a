package respond

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/host/internal/expiry"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// maxShares bounds the changes that wait to be told to other hosts; when there are more,
// all is told anew.
const maxShares = 65536

// endless is what others are told is left of what has no end.
const endless = 365 * 24 * time.Hour

// shares are changes of this host's own decisions that other hosts are to be told.
type shares struct {
	made map[string]madeAt
	// gone are ids of decisions that were taken back, here.
	gone map[string]bool
	// all says that there were too many.
	all  bool
	wake chan struct{} // of one
}

// madeAt is a decision with the time since boot at which so much was left of it.
type madeAt struct {
	*pb.Decision
	at time.Duration
}

// Changed receives when there is something for Changes.
func (f Fleet) Changed() <-chan struct{} { return f.r.shares.wake }

// Changes returns what has changed since it was called last: own decisions that were made,
// and ids of decisions that were taken back by this host. all says that some are
// missing: Own has those that were made, and what others know of this host's and Own has
// not was taken back.
func (f Fleet) Changes() (made []*pb.Decision, gone []string, all bool) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	s := &f.r.shares
	now := f.r.clock.Boot()
	for _, id := range slices.Sorted(maps.Keys(s.made)) {
		m := s.made[id]
		waited := uint64(max(now-m.at, 0).Milliseconds()) //nolint:gosec // not negative
		if m.RemainingMs > waited {
			m.RemainingMs -= waited
			made = append(made, m.Decision)
		}
	}
	gone, all = slices.Sorted(maps.Keys(s.gone)), s.all
	s.made, s.gone, s.all = nil, nil, false
	return made, gone, all
}

// Own returns this host's own decisions that are in force, with what is left of each
// now. Lists, rules of filters, and what is only counted are not among them.
func (f Fleet) Own() []*pb.Decision {
	r := f.r
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*pb.Decision
	for p, e := range r.blocks {
		if d := r.decision(kindOf(e), p, e); d != nil {
			out = append(out, d)
		}
	}
	for p, e := range r.allows {
		if d := r.decision(pb.Decision_KIND_ALLOW, p, e); d != nil {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b *pb.Decision) int { return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.Id, b.Id)) })
	return out
}

// TakenBack returns the ids of other hosts' decisions that were taken back here.
func (f Fleet) TakenBack() []string {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	return slices.Sorted(maps.Keys(f.r.tombs))
}

// Taken is how many decisions of other hosts are followed.
func (f Fleet) Taken() int {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	return len(f.r.taken)
}

// IsOwn reports whether a decision is this host's, whatever it was called.
func (f Fleet) IsOwn(d *pb.Decision) bool {
	return strings.HasSuffix(d.GetHost(), ownSuffix(f.r.hostID))
}

// ownSuffix is what the names of a host end with.
func ownSuffix(id string) string { return "/" + id[:min(len(id), 12)] }

// kindOf is what an entry of the block list decides, 0 for what only counts.
func kindOf(e *entry) pb.Decision_Kind {
	switch {
	case e.Monitor || e.DryRun:
		return 0
	case e.Limit > 0:
		return pb.Decision_KIND_LIMIT
	}
	return pb.Decision_KIND_BLOCK
}

// decisionID names a decision of this host: the same for as long as it says the
// same.
func (r *Responder) decisionID(kind pb.Decision_Kind, p netip.Prefix, e *entry) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s\x00%d\x00%d\x00%d\x00%d\x00%s",
		r.hostID, kind, p, e.Created.UnixNano(), e.Stamp.TTL, e.Limit, e.Burst, e.Source))
	return hex.EncodeToString(sum[:16])
}

// decision is what others are told about an entry, nil when nothing is left of it; r.mu
// is held.
func (r *Responder) decision(kind pb.Decision_Kind, p netip.Prefix, e *entry) *pb.Decision {
	left := r.clock.Remaining(e.Stamp)
	if kind == 0 || left <= 0 {
		return nil
	}
	if left == expiry.Forever {
		left = endless
	}
	return &pb.Decision{
		Id: r.decisionID(kind, p, e), Kind: kind, Prefix: p.String(), Host: r.host, Source: e.Source, Reason: e.Reason, AlertId: e.AlertID,
		Created: uint64(e.Created.UnixNano()), RemainingMs: uint64(max(left.Milliseconds(), 1)), Limit: e.Limit, Burst: e.Burst, //nolint:gosec // positive
	}
}

// share notes that a decision was made, to be told to other hosts; r.mu is held.
func (r *Responder) share(kind pb.Decision_Kind, p netip.Prefix, e *entry) {
	d := r.decision(kind, p, e)
	if d == nil || r.hostID == "" {
		return
	}
	s := &r.shares
	switch {
	case s.all:
	case len(s.made) >= maxShares:
		s.made, s.all = nil, true
	default:
		if s.made == nil {
			s.made = make(map[string]madeAt)
		}
		s.made[d.Id] = madeAt{d, r.clock.Boot()}
	}
	s.ring()
}

// unshare notes that a decision of this host was taken back; r.mu is held.
func (r *Responder) unshare(kind pb.Decision_Kind, p netip.Prefix, e *entry) {
	if e == nil || kind == 0 || r.hostID == "" || r.clock.Remaining(e.Stamp) <= 0 {
		return
	}
	r.shares.take(r.decisionID(kind, p, e))
}

// take notes an id that was taken back.
func (s *shares) take(id string) {
	delete(s.made, id)
	if len(s.gone) >= maxShares {
		s.all = true
		return
	}
	if s.gone == nil {
		s.gone = make(map[string]bool)
	}
	s.gone[id] = true
	s.ring()
}

func (s *shares) ring() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// replaced notes that an entry of the block list took the place of another; either may be
// nil. What waits Under an entry is in force still, as far as others go. r.mu is held.
func (r *Responder) replaced(p netip.Prefix, old, made *entry) {
	for gone := old; gone != nil; gone = gone.Under {
		kept := made
		for kept != nil && !kept.Created.Equal(gone.Created) {
			kept = kept.Under
		}
		if kept == nil {
			r.unshare(kindOf(gone), p, gone)
		}
	}
	if made != nil {
		r.share(kindOf(made), p, made)
	}
}

// takeBack ends what other hosts decided about exactly a network, for all of them; it
// returns the last of it, nil where there was none. r.mu is held.
func (r *Responder) takeBack(p netip.Prefix, allow bool) (*entry, error) {
	ids := r.takenIDs(p, allow)
	if len(ids) == 0 {
		return nil, nil
	}
	if len(r.tombs)+len(ids) > MaxTaken {
		return nil, errFull
	}
	back := make(map[string]expiry.Stamp, len(ids))
	var last *entry
	for _, id := range ids {
		t := r.taken[id]
		last, back[id] = &t.entry, t.Stamp
	}
	// What is not followed any more must not come again: first that is kept.
	if err := errors.Join(r.tombTable.PutAll(back), r.takenTable.Delete(ids...)); err != nil {
		return nil, fmt.Errorf("take back what other hosts decided about %s: %w", text(p), err)
	}
	for id, stamp := range back {
		r.let(id)
		r.tombs[id] = stamp
		r.shares.take(id)
	}
	return last, nil
}
