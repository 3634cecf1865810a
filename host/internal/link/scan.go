package link

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// ErrNoAdvisories says that a scanner keeps no advisories of its own.
var ErrNoAdvisories = errors.New("the scanner keeps no advisories")

// Scan has a scanner inspect a target, and writes its document to out as it comes.
// progress is told what it is at.
func (c *Conn) Scan(ctx context.Context, req *pb.ScanRequest, progress func(string), out io.Writer) (format string, err error) {
	ctx, cancel := context.WithCancel(ctx) // ends the call when out cannot be written
	defer cancel()
	stream, err := c.scanner.Scan(ctx, req)
	if err != nil {
		return "", fmt.Errorf("call the scanner: %w", err)
	}
	format, err = receive(stream, progress, out)
	return format, said(err)
}

// Advisories asks for a change or the state of a scanner's advisories, and writes
// its document to out. The error is ErrNoAdvisories when the scanner has none.
func (c *Conn) Advisories(ctx context.Context, req *pb.AdvisoriesRequest, progress func(string), out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.scanner.Advisories(ctx, req)
	if err != nil {
		return fmt.Errorf("call the scanner: %w", err)
	}
	_, err = receive(stream, progress, out)
	if status.Code(err) == codes.Unimplemented {
		return ErrNoAdvisories
	}
	return said(err)
}

// said is what a scanner answers in place of a document: its own words alone.
func said(err error) error {
	if s, ok := status.FromError(err); ok && err != nil {
		return errors.New(s.Message())
	}
	return err
}

// receive takes a document that comes in parts. An error of the scanner's is a status.
func receive(stream grpc.ServerStreamingClient[pb.ScanResponse], progress func(string), out io.Writer) (format string, err error) {
	for {
		part, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return format, nil
		case err != nil:
			return "", err
		}
		if part.Progress != "" && progress != nil {
			progress(part.Progress)
		}
		if part.Format != "" {
			format = part.Format
		}
		if _, err := out.Write(part.Document); err != nil {
			return "", fmt.Errorf("write the document: %w", err)
		}
	}
}
