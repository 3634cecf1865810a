package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"google.golang.org/grpc"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Limits of imports.
const (
	// MaxImport bounds the networks of one import, before what occurs twice is
	// left out.
	MaxImport = 1 << 22
	// MaxProblems bounds the refused networks that an import names.
	MaxProblems = 100
)

// DefaultList is the list that an import adds to when it names none.
const DefaultList = "import"

// validName is what lists and rules may be called.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckListName returns an error that wraps ErrInvalid when no list can have the
// name.
func CheckListName(name string) error {
	return checkName("a list", name)
}

func checkName(of, name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("%w: %.80q is no name of %s: 1 to 64 of the letters, digits, and . _ -, not beginning with one of these", ErrInvalid, name, of)
	}
	return nil
}

// ImportBlocks collects an import and hands it over when it is whole. There is
// one at a time, which bounds the memory that networks on their way take.
func (h *handlers) ImportBlocks(stream grpc.ClientStreamingServer[ironpostv1.BlockChunk, ironpostv1.ImportResponse]) error {
	importer, ok := h.Blocks.(Importer)
	if !ok {
		return unsupported("block import")
	}
	select {
	case h.server.importing <- struct{}{}:
		defer func() { <-h.server.importing }()
	case <-stream.Context().Done():
		return context.Cause(stream.Context())
	}
	in, err := receiveSoon(stream)
	if err != nil {
		return err
	}
	resp, err := importer.Import(stream.Context(), in)
	if err != nil {
		return err
	}
	return stream.SendAndClose(resp)
}

// importPatience is how long an import may take to arrive.
const importPatience = time.Minute

// receiveSoon is receiveImport for senders that do not stop: others wait for the
// end of this one. What a sender that did stop has sent goes when its stream ends,
// which is when the handler returns.
func receiveSoon(stream grpc.ClientStreamingServer[ironpostv1.BlockChunk, ironpostv1.ImportResponse]) (Import, error) {
	type received struct {
		in  Import
		err error
	}
	done := make(chan received, 1)
	go func() {
		in, err := receiveImport(stream)
		done <- received{in, err}
	}()
	timer := time.NewTimer(importPatience)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.in, r.err
	case <-timer.C:
		return Import{}, fmt.Errorf("%w: the import did not arrive within %v; nothing was imported", ErrInvalid, importPatience)
	}
}

func receiveImport(stream grpc.ClientStreamingServer[ironpostv1.BlockChunk, ironpostv1.ImportResponse]) (in Import, err error) {
	var total uint64
	for first := true; ; first = false {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return in, err
		}
		if first {
			if err := in.options(chunk.GetOptions()); err != nil {
				return in, err
			}
		}
		if total != 0 {
			return in, fmt.Errorf("%w: an import that goes on after its end", ErrInvalid)
		}
		if err := in.Networks.append(chunk.GetV4(), chunk.GetV6()); err != nil {
			return in, err
		}
		total = chunk.GetTotal()
	}
	if n := in.Networks.Len(); uint64(n) != total {
		return in, fmt.Errorf("%w: the import was cut off: %d networks came of %d; nothing was imported", ErrInvalid, n, total)
	}
	return in, nil
}

// options checks the options of an import and takes them over.
func (in *Import) options(o *ironpostv1.ImportOptions) (err error) {
	if in.List = o.GetList(); in.List != "" {
		if err := CheckListName(in.List); err != nil {
			return err
		}
	}
	if n := len(o.GetReason()); n > maxNote {
		return fmt.Errorf("%w: the reason has %d bytes, at most %d are allowed", ErrInvalid, n, maxNote)
	}
	in.Reason, in.DryRun = o.GetReason(), o.GetDryRun()
	in.TTL, err = seconds("ttl", o.GetTtlSeconds())
	return err
}

func (h *handlers) ListBlockLists(ctx context.Context, _ *ironpostv1.BlockListsRequest) (*ironpostv1.BlockListsResponse, error) {
	importer, ok := h.Blocks.(Importer)
	if !ok {
		return nil, unsupported("block lists")
	}
	lists, err := importer.Lists(ctx)
	return &ironpostv1.BlockListsResponse{Lists: lists}, err
}

func (h *handlers) RemoveBlockList(ctx context.Context, req *ironpostv1.BlockListRequest) (*ironpostv1.BlockList, error) {
	importer, ok := h.Blocks.(Importer)
	if !ok {
		return nil, unsupported("block remove --list")
	}
	if err := CheckListName(req.GetName()); err != nil {
		return nil, err
	}
	return importer.RemoveList(ctx, req.GetName())
}
