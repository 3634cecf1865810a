package respond

import (
	"context"
	"maps"
	"net/netip"

	"github.com/ironpost/ironpost/host/internal/control"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// List returns a page of the blocks, in the order of their networks, each network
// once: what decides about it.
func (b Blocks) List(_ context.Context, q control.Page) (*pb.ListBlocksResponse, error) {
	r := b.r
	out := &pb.ListBlocksResponse{}
	var page []netip.Prefix
	matches := r.matcher(q)
	for p, ok := matches.next(); ok; p, ok = matches.next() {
		if !q.After.IsValid() {
			out.Total++
		}
		switch {
		case q.Skip > 0:
			q.Skip--
		case len(page) < q.Limit:
			page = append(page, p)
		case out.Next == "" && q.Limit > 0:
			out.Next = page[len(page)-1].String()
		}
		if out.Next != "" && q.After.IsValid() {
			break // nobody wants the total
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	book := matches.book
	if q.List == "" {
		book.single, book.taken = r.blocks, r.takenAt
	}
	hits := r.hitsOf(page)
	for i, p := range page {
		if by := book.rule(p); by.entry != nil {
			out.Blocks = append(out.Blocks, r.show(p, by, hits[i]))
		}
	}
	return out, nil
}

// matcher goes through the networks that a page is of.
type matcher struct {
	*walker
	book   book
	within netip.Prefix
	source string
}

func (r *Responder) matcher(q control.Page) *matcher {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.book()
	if q.List != "" {
		b = book{clock: r.clock}
		if l := r.lists[q.List]; l != nil {
			b.add(l)
		}
	}
	after, _ := canonical(q.After)
	m := &matcher{walker: b.walk(after), book: b, source: q.Source}
	m.within, _ = canonical(q.Within)
	if m.source != "" {
		m.book.single, m.book.taken = maps.Clone(b.single), maps.Clone(b.taken) // they are read without the lock
	}
	return m
}

func (m *matcher) next() (netip.Prefix, bool) {
	for {
		p, ok := m.walker.next()
		switch {
		case !ok:
			return p, false
		case m.within.IsValid() && !m.within.Overlaps(p):
			continue
		case m.source != "":
			if e := m.book.rule(p).entry; e == nil || e.Source != m.source {
				continue
			}
		}
		return p, true
	}
}
