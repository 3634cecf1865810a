package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/host/internal/link"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// opener opens the event stream of a kind.
type opener func(ctx context.Context, kind string) (link.Stream, error)

// Serve runs the links of the plugin over one connection until ctx is done or
// the plugin ends or breaks the protocol.
func (m *Member) Serve(ctx context.Context, conn *link.Conn) error {
	return m.serve(ctx, func(ctx context.Context, kind string) (link.Stream, error) {
		// What a scanner finds is little, and gRPC says whether it looks at all.
		return conn.Open(ctx, kind, m.desc.Frames && kind != "scanner")
	})
}

func (m *Member) serve(ctx context.Context, open opener) error {
	m.once.Do(func() { close(m.configured) })
	m.sending.reset()
	m.serving.Store(true)
	m.downSince.Store(0)
	m.Gaps.close()
	m.release()
	defer func() {
		m.serving.Store(false)
		m.downSince.Store(time.Now().UnixNano())
		for _, q := range m.queues {
			q.Rewind()
		}
	}()
	if m.sources == nil && !m.watches && len(m.queues) == 0 { // a kind without event streams
		<-ctx.Done()
		return context.Cause(ctx)
	}
	g, ctx := errgroup.WithContext(ctx)
	if m.sources != nil {
		g.Go(func() error { return m.serveSource(ctx, open) })
	}
	if m.watches {
		g.Go(func() error { return m.serveWatch(ctx, open) })
	}
	for kind, q := range m.queues {
		g.Go(func() error { return m.serveConsumer(ctx, open, kind, q) })
	}
	err := g.Wait()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return err
}

// controlBytes is about how much state or how many positions one control frame
// carries.
const controlBytes = 512 << 10

// prepare sends what a link needs before records flow.
func (m *Member) prepare(s link.Stream, positions []*pb.Position, entries []*pb.StateEntry) error {
	c := &pb.LinkControl{Credits: uint32(m.pipeline.config.Credits)}
	size := 0
	flush := func() error {
		err := s.Send(&pb.Frame{Header: pb.Header{Control: c}})
		c, size = &pb.LinkControl{}, 0
		return err
	}
	for _, p := range positions {
		c.Positions = append(c.Positions, p)
		if size += len(p.Stream) + len(p.Checkpoint) + 24; size > controlBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	for _, e := range entries {
		c.State = append(c.State, e)
		if size += len(e.Key) + len(e.Value) + 16; size > controlBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	c.Ready = true
	c.Credits = uint32(m.pipeline.config.Credits)
	c.BatchRecords = uint32(m.pipeline.config.BatchRecords)
	c.BatchBytes = uint32(m.pipeline.config.BatchBytes)
	c.FlushIntervalNs = uint64(m.pipeline.config.FlushInterval)
	return flush()
}

func linkEnd(kind string, err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("%s link: %w", kind, err)
}
