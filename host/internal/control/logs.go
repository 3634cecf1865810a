package control

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// maxLogLines bounds the lines that a caller asks for; the host keeps fewer.
const maxLogLines = 1 << 20

// PluginLogs streams lines until there are no more, the caller goes or the
// server stops. Readers that follow count as tails.
func (h *handlers) PluginLogs(req *ironpostv1.PluginLogsRequest, stream grpc.ServerStreamingServer[ironpostv1.PluginLogsResponse]) error {
	switch n := len(req.GetName()); {
	case h.Logs == nil:
		return unsupported("plugin logs")
	case n == 0:
		return fmt.Errorf("%w: the name of the plugin is missing", ErrInvalid)
	case n > maxName:
		return fmt.Errorf("%w: the name of the plugin has %d bytes, at most %d are allowed", ErrInvalid, n, maxName)
	}
	s := h.server
	if req.GetFollow() {
		if s.tails.Add(1) > MaxTails {
			s.tails.Add(-1)
			return fmt.Errorf("%w: %d readers follow events already; end one of them", ErrBusy, MaxTails)
		}
		defer s.tails.Add(-1)
	}
	ctx, cancel := context.WithCancel(stream.Context())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-s.quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() {
		cancel()
		<-watched
	}()
	last := int(min(req.GetLast(), maxLogLines))
	if last == 0 {
		last = maxLogLines
	}
	return h.Logs.PluginLogs(ctx, req.GetName(), last, req.GetFollow(), func(lines []*ironpostv1.PluginLogLine) error {
		return stream.Send(&ironpostv1.PluginLogsResponse{Lines: lines})
	})
}
