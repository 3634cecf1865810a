package sdk

import (
	"bytes"
	"fmt"
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
const scanChunk = 1 << 20

// maxDocument bounds a scanner's document, which waits here until it is whole.
const maxDocument = 256 << 20

// Scan implements the scanner service.
func (s scannerServer) Scan(req *pb.ScanRequest, stream grpc.ServerStreamingServer[pb.ScanResponse]) error {
	return deliver(stream, func(progress func(string), out io.Writer) (string, error) {
		return s.server.plugin.Scanner.Scan(stream.Context(), ScanRequest{
			Target: req.Target, Document: req.Document, Against: req.Against, Progress: progress,
		}, out)
	})
}

// Advisories implements the scanner service.
func (s scannerServer) Advisories(req *pb.AdvisoriesRequest, stream grpc.ServerStreamingServer[pb.ScanResponse]) error {
	keeper, ok := s.server.plugin.Scanner.(AdvisoryKeeper)
	if !ok {
		return status.Error(codes.Unimplemented, "the scanner keeps no advisories")
	}
	return deliver(stream, func(progress func(string), out io.Writer) (string, error) {
		switch req.Action {
		case pb.AdvisoriesRequest_ACTION_STATUS:
			return "json", keeper.AdvisoryStatus(stream.Context(), out)
		case pb.AdvisoriesRequest_ACTION_IMPORT:
			return "json", keeper.ImportAdvisories(stream.Context(), req.Sources, progress, out)
		}
		return "", status.Errorf(codes.InvalidArgument, "advisories: there is no action %d", req.Action)
	})
}

// deliver sends the document that write makes, in parts, and its progress before.
func deliver(stream grpc.ServerStreamingServer[pb.ScanResponse], write func(progress func(string), out io.Writer) (string, error)) error {
	var document bytes.Buffer
	var mu sync.Mutex // progress may be told by several goroutines
	format, err := write(func(text string) {
		mu.Lock()
		defer mu.Unlock()
		_ = stream.Send(&pb.ScanResponse{Progress: record.Valid(text)}) // the end of the stream tells
	}, &boundedWriter{&document, maxDocument})
	if err != nil {
		if coded, ok := status.FromError(err); ok {
			return coded.Err()
		}
		return status.Error(codes.Internal, record.Valid(err.Error()))
	}
	mu.Lock()
	defer mu.Unlock()
	for {
		chunk := document.Next(scanChunk)
		if err := stream.Send(&pb.ScanResponse{Format: record.Valid(format), Document: chunk}); err != nil {
			return err
		}
		if document.Len() == 0 {
			return nil
		}
	}
}

// boundedWriter refuses what would exceed its room.
type boundedWriter struct {
	io.Writer
	room int
}

func (w *boundedWriter) Write(p []byte) (int, error) {
	if len(p) > w.room {
		return 0, fmt.Errorf("write the document: more than %d bytes", maxDocument)
	}
	w.room -= len(p)
	return w.Writer.Write(p)
}
