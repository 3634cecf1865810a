package control

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"time"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// maxTTL is the longest time that a request may name: ten years.
const maxTTL = 10 * 365 * 24 * time.Hour

// defaultPage is the page of a list when the request names none.
const defaultPage = 1000

func (h *handlers) AddBlock(ctx context.Context, req *ironpostv1.BlockRequest) (*ironpostv1.BlockResponse, error) {
	return add(ctx, "block", h.Blocks, req)
}

func (h *handlers) RemoveBlock(ctx context.Context, req *ironpostv1.BlockRequest) (*ironpostv1.BlockResponse, error) {
	return remove(ctx, "block", h.Blocks, req)
}

func (h *handlers) ListBlocks(ctx context.Context, req *ironpostv1.ListBlocksRequest) (*ironpostv1.ListBlocksResponse, error) {
	return page(ctx, "block", h.Blocks, req)
}

func (h *handlers) AddAllow(ctx context.Context, req *ironpostv1.BlockRequest) (*ironpostv1.BlockResponse, error) {
	return add(ctx, "allow", h.Allows, req)
}

func (h *handlers) RemoveAllow(ctx context.Context, req *ironpostv1.BlockRequest) (*ironpostv1.BlockResponse, error) {
	return remove(ctx, "allow", h.Allows, req)
}

func (h *handlers) ListAllows(ctx context.Context, req *ironpostv1.ListBlocksRequest) (*ironpostv1.ListBlocksResponse, error) {
	return page(ctx, "allow", h.Allows, req)
}

func (h *handlers) CheckAddress(ctx context.Context, req *ironpostv1.BlockRequest) (*ironpostv1.CheckResponse, error) {
	if h.Checker == nil {
		return nil, unsupported("allow check")
	}
	p, err := ParsePrefix(req.GetPrefix())
	if err != nil {
		return nil, err
	}
	return h.Checker.Check(ctx, p)
}

func add(ctx context.Context, verb string, list AddressList, req *ironpostv1.BlockRequest) (*ironpostv1.BlockResponse, error) {
	if list == nil {
		return nil, unsupported(verb + " add")
	}
	e, err := entryOf(req)
	if err != nil {
		return nil, err
	}
	return list.Add(ctx, e)
}

func remove(ctx context.Context, verb string, list AddressList, req *ironpostv1.BlockRequest) (*ironpostv1.BlockResponse, error) {
	if list == nil {
		return nil, unsupported(verb + " remove")
	}
	p, err := ParsePrefix(req.GetPrefix())
	if err != nil {
		return nil, err
	}
	return list.Remove(ctx, p)
}

func page(ctx context.Context, verb string, list AddressList, req *ironpostv1.ListBlocksRequest) (*ironpostv1.ListBlocksResponse, error) {
	if list == nil {
		return nil, unsupported(verb + " list")
	}
	p := Page{
		Skip: int(min(req.GetSkip(), math.MaxInt32)), Limit: int(min(req.GetLimit(), MaxPage)),
		Source: req.GetSource(), List: req.GetList(),
	}
	if p.Limit == 0 {
		p.Limit = defaultPage
	}
	if req.GetCount() {
		p.Limit = 0
	}
	for _, network := range []struct {
		text string
		to   *netip.Prefix
	}{{req.GetAfter(), &p.After}, {req.GetWithin(), &p.Within}} {
		if network.text == "" {
			continue
		}
		var err error
		if *network.to, err = ParsePrefix(network.text); err != nil {
			return nil, err
		}
	}
	return list.List(ctx, p)
}

// entryOf checks a request and turns it into an Entry.
func entryOf(req *ironpostv1.BlockRequest) (Entry, error) {
	p, err := ParsePrefix(req.GetPrefix())
	if err != nil {
		return Entry{}, err
	}
	ttl, err := seconds("ttl", req.GetTtlSeconds())
	if err != nil {
		return Entry{}, err
	}
	if n := len(req.GetReason()); n > maxNote {
		return Entry{}, fmt.Errorf("%w: the reason has %d bytes, at most %d are allowed", ErrInvalid, n, maxNote)
	}
	return Entry{
		Prefix: p, TTL: ttl, Reason: req.GetReason(),
		Limit: req.GetLimit(), Burst: req.GetBurst(), Monitor: req.GetMonitor(), DryRun: req.GetDryRun(),
	}, nil
}

// seconds turns a number of the wire into a duration, 0 to maxTTL.
func seconds(name string, s float64) (time.Duration, error) {
	if !(s >= 0 && s <= maxTTL.Seconds()) { // also refuses what is no number
		return 0, fmt.Errorf("%w: %s of %v seconds; allowed are 0 to %.0f", ErrInvalid, name, s, maxTTL.Seconds())
	}
	return time.Duration(s * float64(time.Second)), nil
}
