package sdk

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/internal/serve"
)

// sourceServer serves the plugin's LogSource.
type sourceServer struct {
	pb.UnimplementedSourceServer
	server *server
}

// Emit implements the source service.
func (s sourceServer) Emit(stream grpc.BidiStreamingServer[pb.Batch, pb.Batch]) error {
	return s.server.events(stream, "source")
}

// emit runs a link of the plugin's LogSource.
func (s *server) emit(stream serve.Stream, drain *serve.Drainer) error {
	return serve.Emit(stream, s.plugin.Name, s.pool, drain,
		func(ctx context.Context, e *serve.Emitter) error {
			return s.plugin.Source.Run(ctx, emitter{e})
		})
}

// emitter is the Emitter that a LogSource sees.
type emitter struct{ *serve.Emitter }

func (e emitter) Open(c StreamConfig) (Stream, error) {
	s, err := e.Emitter.Open(serve.StreamConfig(c))
	if err != nil {
		return nil, err
	}
	return outStream{s}, nil
}

// outStream is the Stream that a LogSource sees.
type outStream struct{ *serve.OutStream }

func (s outStream) TryEmit(line []byte) error {
	if err := s.OutStream.TryEmit(line); errors.Is(err, serve.ErrNoRoom) {
		return ErrNoRoom
	} else if err != nil {
		return err
	}
	return nil
}
