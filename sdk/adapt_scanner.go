package sdk

import (
	"bufio"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/internal/record"
)

// scannerServer serves the plugin's Scanner.
type scannerServer struct {
	pb.UnimplementedScannerServer
	server *server
}

// scanChunk is the size of the parts in which a document travels.
const scanChunk = 1 << 16

// maxDocument bounds a scanner's document, which waits here until it is whole.
const maxDocument = 256 << 20

// Scan implements the scanner service.
func (s scannerServer) Scan(req *pb.ScanRequest, stream grpc.ServerStreamingServer[pb.ScanResponse]) error {
	return deliver(stream, func(progress func(string), out io.Writer) (string, error) {
		return s.server.plugin.Scanner.Scan(stream.Context(), ScanRequest{
			Target: req.Target, Document: req.Document, Against: req.Against, Epoch: req.Epoch, Platform: req.Platform, Progress: progress,
		}, out)
	})
}

// Advisories implements the scanner service.
func (s scannerServer) Advisories(req *pb.AdvisoriesRequest, stream grpc.ServerStreamingServer[pb.ScanResponse]) error {
	keeper, ok := s.server.plugin.Scanner.(AdvisoryKeeper)
	if !ok {
		return status.Error(codes.Unimplemented, "the scanner keeps no advisories")
	}
	bundler, bundles := keeper.(AdvisoryBundler)
	if bundles && req.Action == pb.AdvisoriesRequest_ACTION_EXPORT {
		// A database is larger than a document may be.
		out := bufio.NewWriterSize(chunks{stream}, scanChunk)
		return coded(errors.Join(bundler.ExportAdvisories(stream.Context(), out), out.Flush()))
	}
	return deliver(stream, func(progress func(string), out io.Writer) (string, error) {
		switch req.Action {
		case pb.AdvisoriesRequest_ACTION_STATUS:
			return "json", keeper.AdvisoryStatus(stream.Context(), out)
		case pb.AdvisoriesRequest_ACTION_IMPORT:
			sources, err := sourcesOf(req)
			if err != nil {
				return "", err
			}
			return "json", keeper.ImportAdvisories(stream.Context(), sources, progress, out)
		case pb.AdvisoriesRequest_ACTION_INSTALL:
			if !bundles {
				return "", status.Error(codes.FailedPrecondition, "the scanner takes no bundles of advisories")
			}
			if len(req.Sources) != 2 {
				return "", status.Error(codes.InvalidArgument, "advisories: want a bundle and its signature")
			}
			return "json", bundler.InstallAdvisories(stream.Context(), req.Sources[0], req.Sources[1], req.AllowOlder, progress, out)
		case pb.AdvisoriesRequest_ACTION_EXPORT:
			return "", status.Error(codes.FailedPrecondition, "the scanner makes no bundles of advisories")
		}
		return "", status.Errorf(codes.InvalidArgument, "advisories: there is no action %d", req.Action)
	})
}

// sourcesOf are the sources of a request, with where they came from.
func sourcesOf(req *pb.AdvisoriesRequest) ([]AdvisorySource, error) {
	if len(req.Origins) > 0 && len(req.Origins) != len(req.Sources) {
		return nil, status.Errorf(codes.InvalidArgument, "advisories: %d sources from %d places", len(req.Sources), len(req.Origins))
	}
	out := make([]AdvisorySource, len(req.Sources))
	for i, path := range req.Sources {
		out[i].Path = path
		if len(req.Origins) > 0 {
			o := req.Origins[i]
			out[i].Name, out[i].ETag, out[i].LastModified, out[i].Unchanged = o.Name, o.Etag, o.LastModified, o.Unchanged
		}
	}
	return out, nil
}

// chunks sends what is written to it.
type chunks struct {
	stream grpc.ServerStreamingServer[pb.ScanResponse]
}

func (c chunks) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), scanChunk)
		if err := c.stream.Send(&pb.ScanResponse{Format: "bundle", Document: rest[:n]}); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// coded is an error with a status, its own where it has one.
func coded(err error) error {
	if err == nil {
		return nil
	}
	if s, ok := status.FromError(err); ok {
		return s.Err()
	}
	return status.Error(codes.Internal, record.Valid(err.Error()))
}

// deliver sends the document that write makes, in parts, and its progress before.
func deliver(stream grpc.ServerStreamingServer[pb.ScanResponse], write func(progress func(string), out io.Writer) (string, error)) error {
	document := parts{room: maxDocument}
	var mu sync.Mutex // progress may be told by several goroutines
	format, err := write(func(text string) {
		mu.Lock()
		defer mu.Unlock()
		_ = stream.Send(&pb.ScanResponse{Progress: record.Valid(text)}) // the end of the stream tells
	}, &document)
	if err != nil {
		return coded(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for {
		piece, last := document.next()
		if err := stream.Send(&pb.ScanResponse{Format: record.Valid(format), Document: piece}); err != nil || last {
			return err
		}
	}
}
