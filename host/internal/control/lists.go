package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"google.golang.org/grpc"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// maxTTL is the longest time that a request may name: ten years.
const maxTTL = 10 * 365 * 24 * time.Hour

// maxProblems bounds the refused entries that an import names.
const maxProblems = 100

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
	limit := int(min(req.GetLimit(), MaxPage))
	if limit == 0 {
		limit = defaultPage
	}
	skip := int(min(req.GetSkip(), math.MaxInt32))
	entries, total, err := list.List(ctx, skip, limit)
	return &ironpostv1.ListBlocksResponse{Blocks: entries, Total: total}, err
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
	return Entry{Prefix: p, TTL: ttl, Reason: req.GetReason()}, nil
}

// seconds turns a number of the wire into a duration, 0 to maxTTL.
func seconds(name string, s float64) (time.Duration, error) {
	if !(s >= 0 && s <= maxTTL.Seconds()) { // also refuses what is no number
		return 0, fmt.Errorf("%w: %s of %v seconds; allowed are 0 to %.0f", ErrInvalid, name, s, maxTTL.Seconds())
	}
	return time.Duration(s * float64(time.Second)), nil
}

// ImportBlocks adds the entries of the stream, chunk by chunk.
func (h *handlers) ImportBlocks(stream grpc.ClientStreamingServer[ironpostv1.BlockChunk, ironpostv1.ImportResponse]) error {
	if h.Blocks == nil {
		return unsupported("block import")
	}
	total := &ironpostv1.ImportResponse{}
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(total)
		}
		if err != nil {
			return err
		}
		if n := len(chunk.GetBlocks()); n > MaxBulk {
			return fmt.Errorf("%w: a chunk of %d blocks, at most %d are allowed", ErrInvalid, n, MaxBulk)
		}
		if err := addChunk(stream.Context(), h.Blocks, chunk, total); err != nil {
			return fmt.Errorf("after %d blocks were added: %w", total.GetAdded(), err)
		}
	}
}

func addChunk(ctx context.Context, list AddressList, chunk *ironpostv1.BlockChunk, total *ironpostv1.ImportResponse) error {
	entries := make([]Entry, 0, len(chunk.GetBlocks()))
	for _, req := range chunk.GetBlocks() {
		e, err := entryOf(req)
		if err != nil {
			refuse(total, req.GetPrefix(), err.Error())
			continue
		}
		entries = append(entries, e)
	}
	if bulk, ok := list.(BulkAdder); ok {
		resp, err := bulk.AddMany(ctx, entries)
		if err != nil {
			return err
		}
		total.Added += resp.GetAdded()
		total.Unchanged += resp.GetUnchanged()
		total.Refused += resp.GetRefused()
		room := maxProblems - len(total.GetProblems())
		total.Problems = append(total.Problems, resp.GetProblems()[:min(room, len(resp.GetProblems()))]...)
		return nil
	}
	return addEach(ctx, list, entries, total)
}

// addEach is for lists that take one entry at a time. What is wrong with one
// entry is its own affair; any other error ends the import.
func addEach(ctx context.Context, list AddressList, entries []Entry, total *ironpostv1.ImportResponse) error {
	for _, e := range entries {
		resp, err := list.Add(ctx, e)
		switch {
		case errors.Is(err, ErrInvalid), errors.Is(err, ErrConflict):
			refuse(total, e.Prefix.String(), err.Error())
		case err != nil:
			return fmt.Errorf("add %s: %w", e.Prefix.String(), err)
		case resp.GetChanged():
			total.Added++
		default:
			total.Unchanged++
		}
	}
	return nil
}

func refuse(total *ironpostv1.ImportResponse, prefix, reason string) {
	total.Refused++
	if len(total.GetProblems()) < maxProblems {
		total.Problems = append(total.Problems, &ironpostv1.BlockProblem{Prefix: prefix, Reason: reason})
	}
}
