package respond

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/control"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Bounds of what is imported.
const (
	// MaxLists bounds the lists, MaxListed the networks of all of them: as many
	// as [ebpf] max_entries allows.
	MaxLists  = 64
	MaxListed = control.MaxImport
	// maxOrigins bounds the imports that the networks of one list are from.
	maxOrigins = 1024
	// widest4 and widest6 are the shortest prefixes that a list may hold, no longer
	// than those of published lists: a line that was cut or forged must not take a
	// quarter of the Internet. By itself a network may be wider.
	widest4 = 8
	widest6 = 16
)

// Import puts networks on a list: those of a list that is named become what the
// list holds, those without a name are added to control.DefaultList. They last
// for DefaultTTL when no time is named; networks that the list had already last
// as long as the import says. Networks that are never blocked are named in the
// response and left out.
//
// When it returns, the blocks are in force on every filter that works, and on the
// disk. With an error nothing has changed; it wraps control.ErrInvalid,
// control.ErrConflict when the lists or a filter are full, or the disk's error.
func (b Blocks) Import(_ context.Context, in control.Import) (*pb.ImportResponse, error) {
	r := b.r
	r.look()
	r.listing.Lock()
	defer r.listing.Unlock()
	resp := &pb.ImportResponse{DryRun: in.DryRun}
	fresh, bad := unpack(in.Networks, 0)
	for _, s := range bad {
		refuse(resp, s, "it is no network")
	}
	old, next, err := r.plan(in, fresh, resp)
	if err != nil {
		return nil, err
	}
	switch {
	case next == nil:
		next = old
	case !in.DryRun:
		if err := r.change(old, next); err != nil {
			return nil, fmt.Errorf("import %d networks: %w", fresh.len(), err)
		}
		r.mu.Lock()
		r.tell(&pb.ActionEvent{
			Enforcer: OperatorName, Action: actionBlock, Outcome: r.asMode(pb.Outcome_OUTCOME_APPLIED),
			Reason: fmt.Sprintf("%d networks were imported into the list %s: %d added, %d removed.",
				resp.Added+resp.Unchanged, next.name, resp.Added, resp.Removed),
			Details: []*pb.Field{{Key: "list", Value: next.name}, {Key: "count", Value: strconv.Itoa(next.nets.len())}},
		})
		if err := r.releaseCovered(); err != nil { // the import itself is done
			r.log.Error("limits of addresses in the networks of a list stay", "list", next.name, "error", err)
		}
		r.mu.Unlock()
	}
	if next != nil {
		resp.List = r.showList(next)
	}
	return resp, nil
}

// plan makes the list as it is to be, and fills in what that comes to. There is
// no next list when nothing is to be changed. r.listing is held.
//
// It works without r.mu, for which alerts and decisions would wait: who holds
// r.listing may read r.lists. What is allowed meanwhile is taken off the lists
// after it, by releaseListed.
func (r *Responder) plan(in control.Import, fresh nets, resp *pb.ImportResponse) (old, next *blockList, err error) {
	r.mu.Lock()
	never := r.never
	ttl, err := r.blockTTL(in.TTL)
	r.mu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	made := r.newEntry(in.Reason, ttl)
	fresh = r.admissible(fresh, never, resp)
	next = &blockList{name: in.List, origins: []*entry{made}, nets: fresh}
	if in.List == "" {
		next.name = control.DefaultList
	}
	listed := 0
	for name, l := range r.lists {
		if name != next.name {
			listed += l.nets.len()
		}
	}
	if old = r.lists[next.name]; old == nil {
		resp.Added = uint64(fresh.len())
		if fresh.len() == 0 {
			return nil, nil, nil
		}
		if len(r.lists) >= MaxLists {
			return nil, nil, fmt.Errorf("%w: there are %d lists already; remove one, see: ironpost block lists", control.ErrConflict, MaxLists)
		}
	} else {
		common := old.nets.common(fresh)
		resp.Added, resp.Unchanged = uint64(fresh.len()-common), uint64(common)
		if in.List != "" {
			resp.Removed = uint64(old.nets.len() - common)
		}
		if resp.Added+resp.Removed == 0 && r.says(old, fresh, made) {
			return old, nil, nil
		}
		if in.List == "" {
			next = r.merge(old, fresh, made)
		}
		if slices.Equal(next.nets.v4, old.nets.v4) && slices.Equal(next.nets.v6, old.nets.v6) {
			next.nets, next.blob = old.nets, old.blob
		}
	}
	switch {
	case listed+next.nets.len() > MaxListed:
		return nil, nil, fmt.Errorf("%w: the lists would hold %d networks, at most %d are allowed", control.ErrConflict, listed+next.nets.len(), MaxListed)
	case len(next.origins) > maxOrigins:
		return nil, nil, fmt.Errorf("%w: the list %s is from %d imports that have not ended; give lists names, with --list", control.ErrConflict, next.name, maxOrigins)
	}
	next.nets = next.nets.clip()
	return old, next, nil
}

// admissible returns those of the networks that a list may hold, and names the
// others; never are the rails.
func (r *Responder) admissible(fresh nets, never map[netip.Prefix]ban, resp *pb.ImportResponse) nets {
	refused := make(map[int]bool)
	check := func(rule netip.Prefix) {
		for i, to := fresh.inside(rule); i < to; i++ {
			p, _ := fresh.at(i)
			if refused[i] {
				continue
			}
			_, err := r.network(p)
			if err == nil {
				if ban := banIn(never, p); ban != nil {
					err = ban
				}
			}
			if err != nil {
				refused[i] = true
				refuse(resp, p.String(), err.Error())
			}
		}
	}
	for _, rule := range neverSources {
		check(rule)
	}
	for _, rule := range sortedPrefixes(never) {
		check(rule)
	}
	for i := range fresh.len() {
		p, _ := fresh.at(i)
		least := widest4
		if p.Addr().Is6() {
			least = widest6
		}
		if p.Bits() < least && !refused[i] {
			refused[i] = true
			refuse(resp, p.String(), fmt.Sprintf("it is wider than /%d; if it is meant, block it by itself: ironpost block add", least))
		}
	}
	if len(refused) == 0 {
		return fresh
	}
	return fresh.keep(func(i int, origin uint32) (uint32, bool) { return origin, !refused[i] })
}

// neverSources are the networks that no network is in, or begins with, that
// Responder.network refuses.
var neverSources = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/8"), netip.MustParsePrefix("ff00::/8"),
}

func refuse(resp *pb.ImportResponse, prefix, reason string) {
	if resp.Refused++; len(resp.Problems) < control.MaxProblems {
		resp.Problems = append(resp.Problems, &pb.BlockProblem{Prefix: prefix, Reason: reason})
	}
}

// says reports whether a list says about networks, all of which it holds, what an
// import says.
func (r *Responder) says(l *blockList, networks nets, made *entry) bool {
	alike := make([]bool, len(l.origins))
	for i, e := range l.origins {
		alike[i] = !r.differs(e, made)
	}
	if !slices.Contains(alike, false) {
		return true
	}
	return l.nets.keep(func(_ int, origin uint32) (uint32, bool) { return origin, alike[origin] }).common(networks) == networks.len()
}

// merge returns a list with networks added to it that made is about. What is
// over is left out.
func (r *Responder) merge(l *blockList, networks nets, made *entry) *blockList {
	newest := uint32(len(l.origins)) //nolint:gosec // at most maxOrigins
	all := l.nets.over(networks.keep(func(int, uint32) (uint32, bool) { return newest, true }))
	return r.tidy(&blockList{name: l.name, origins: append(slices.Clone(l.origins), made), nets: all})
}

// tidy leaves out of a list what is over, and the imports that nothing is left
// of. The list is changed, and returned.
func (r *Responder) tidy(l *blockList) *blockList {
	used := make([]bool, len(l.origins))
	for i := range l.nets.len() {
		_, origin := l.nets.at(i)
		used[origin] = true
	}
	number := make([]uint32, len(l.origins))
	var left []*entry
	for i, e := range l.origins {
		if used[i] = used[i] && r.clock.Remaining(e.Stamp) > 0; used[i] {
			number[i] = uint32(len(left)) //nolint:gosec // at most maxOrigins
			left = append(left, e)
		}
	}
	if len(left) == len(l.origins) {
		return l
	}
	l.nets = l.nets.keep(func(_ int, origin uint32) (uint32, bool) { return number[origin], used[origin] }).clip()
	l.origins = left
	return l
}

// change puts a list in the place of another of its name; old is nil for a new
// list, next for one that ends. It is in force, and on the disk, or nothing has
// changed. r.listing is held, r.mu is not.
func (r *Responder) change(old, next *blockList) error {
	if next == nil || next.nets.len() == 0 {
		return r.forget(old)
	}
	written := make(chan error, 1)
	go func() { written <- r.write(old, next) }()
	r.mu.Lock()
	r.coming = next
	r.mu.Unlock()
	err := r.settleAll(next.nets.all(), true)
	err = errors.Join(<-written, err)
	r.mu.Lock()
	if err == nil {
		err = errors.Join(r.notes.Fresh(), r.listTable.Put(next.name, next.doc()))
	}
	if r.coming = nil; err == nil {
		r.lists[next.name] = next
		clear(r.heard)
	}
	r.nudge()
	r.mu.Unlock()
	if err != nil {
		r.discard(next, old)
		return errors.Join(err, r.settleAll(next.nets.all(), false))
	}
	if old == nil {
		return nil
	}
	r.discard(old, next)
	return r.settleAll(old.nets.without(next.nets).all(), false)
}

// write keeps the networks of a list, unless they are those of old.
func (r *Responder) write(old, next *blockList) (err error) {
	if old != nil && old.blob == next.blob {
		return nil
	}
	next.blob, err = r.blobs.Put(func(w io.Writer) error { return next.nets.write(w) })
	return err
}

// discard removes the networks of a list from the disk, unless other has the same.
func (r *Responder) discard(l, other *blockList) {
	if l.blob == 0 || other != nil && other.blob == l.blob {
		return
	}
	if err := r.blobs.Remove(l.blob); err != nil {
		r.log.Warn("networks of a list that ended are left on the disk", "list", l.name, "error", err)
	}
}

// forget ends a list; r.listing is held.
func (r *Responder) forget(l *blockList) error {
	if err := r.listTable.Delete(l.name); err != nil {
		return err
	}
	r.mu.Lock()
	delete(r.lists, l.name)
	r.nudge()
	r.mu.Unlock()
	r.discard(l, nil)
	return r.settleAll(l.nets.all(), false)
}

// Lists returns the lists, by name.
func (b Blocks) Lists(context.Context) ([]*pb.BlockList, error) {
	r := b.r
	r.mu.Lock()
	lists := maps.Clone(r.lists)
	r.mu.Unlock()
	var out []*pb.BlockList
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		out = append(out, r.showList(lists[name]))
	}
	return out, nil
}

// RemoveList ends a list and returns what it was. It returns control.ErrNotFound
// when there is none of the name.
func (b Blocks) RemoveList(_ context.Context, name string) (*pb.BlockList, error) {
	r := b.r
	r.listing.Lock()
	defer r.listing.Unlock()
	r.mu.Lock()
	l := r.lists[name]
	r.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("%w: no list is called %s; see: ironpost block lists", control.ErrNotFound, name)
	}
	shown := r.showList(l)
	if err := r.forget(l); err != nil {
		return nil, fmt.Errorf("remove the list %s: %w", name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tellList(l, pb.Outcome_OUTCOME_RELEASED, l.nets.len(), "An operator removed the list "+name+".")
	return shown, nil
}

// tellList records what became of networks of a list; r.mu is held.
func (r *Responder) tellList(l *blockList, outcome pb.Outcome, n int, reason string) {
	r.tell(&pb.ActionEvent{
		Enforcer: OperatorName, Action: actionBlock, Outcome: outcome, Reason: reason,
		Details: []*pb.Field{{Key: "list", Value: l.name}, {Key: "count", Value: strconv.Itoa(n)}},
	})
}

func (r *Responder) showList(l *blockList) *pb.BlockList {
	e, left := l.newest(r.clock)
	return &pb.BlockList{
		Name: l.name, Networks: uint64(l.nets.len()), Reason: e.Reason, Created: timestamppb.New(e.Created),
		Expires: timestamppb.New(r.clock.Wall().Add(max(left, 0))),
	}
}
