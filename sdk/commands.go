package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// commands carries the plugin's calls of the host on the stream that the host
// opened. It is safe for concurrent use.
type commands struct {
	ready chan struct{} // closed when the stream is there

	mu      sync.Mutex
	stream  grpc.BidiStreamingServer[pb.HostReply, pb.HostCall]
	nextID  uint64
	waiting map[uint64]chan *pb.HostReply
	sendMu  sync.Mutex
	gone    chan struct{} // closed when the stream has ended
}

func newCommands() *commands {
	return &commands{
		ready:   make(chan struct{}),
		gone:    make(chan struct{}),
		waiting: make(map[uint64]chan *pb.HostReply),
	}
}

var errHostGone = errors.New("the host has ended the connection")

// HostServices implements the base service.
func (s *server) HostServices(stream grpc.BidiStreamingServer[pb.HostReply, pb.HostCall]) error {
	return s.command.serve(stream)
}

func (c *commands) serve(stream grpc.BidiStreamingServer[pb.HostReply, pb.HostCall]) error {
	c.mu.Lock()
	if c.stream != nil {
		c.mu.Unlock()
		return errors.New("host services are open already")
	}
	c.stream = stream
	c.mu.Unlock()
	close(c.ready)
	defer close(c.gone)
	for {
		reply, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		c.mu.Lock()
		w := c.waiting[reply.Id]
		delete(c.waiting, reply.Id)
		c.mu.Unlock()
		if w != nil {
			w <- reply // buffered
		}
	}
}

// call sends one call and waits for its reply. When ctx ends first, late, if not
// nil, receives the reply that still comes.
func (c *commands) call(ctx context.Context, call *pb.HostCall, late func(*pb.HostReply)) (*pb.HostReply, error) {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w := make(chan *pb.HostReply, 1)
	c.mu.Lock()
	c.nextID++
	call.Id = c.nextID
	c.waiting[call.Id] = w
	c.mu.Unlock()
	c.sendMu.Lock()
	err := c.stream.Send(call)
	c.sendMu.Unlock()
	if err != nil {
		c.forget(call.Id)
		if c.stream.Context().Err() != nil { // before serve hears of it
			return nil, errHostGone
		}
		return nil, fmt.Errorf("call the host: %w", err)
	}
	select {
	case reply := <-w:
		if reply.Error != "" {
			return nil, errors.New(reply.Error)
		}
		return reply, nil
	case <-c.gone:
		c.forget(call.Id)
		return nil, errHostGone
	case <-ctx.Done():
		if late == nil {
			c.forget(call.Id)
			return nil, ctx.Err()
		}
		go func() {
			select {
			case reply := <-w:
				late(reply)
			case <-c.gone:
			}
		}()
		return nil, ctx.Err()
	}
}

func (c *commands) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// Run implements Commands.
func (c *commands) Run(ctx context.Context, name string, args ...string) (Output, error) {
	call := &pb.HostCall{Call: &pb.HostCall_Run{Run: &pb.RunCommand{Command: name, Args: args}}}
	reply, err := c.call(ctx, call, func(started *pb.HostReply) {
		if started.Error == "" {
			_ = c.stop(ctx, started.Handle) // nobody wants it any more
		}
	})
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", name, err)
	}
	return &output{ctx: ctx, commands: c, name: name, handle: reply.Handle}, nil
}

// stopTimeout is how long the host may take to end a command.
const stopTimeout = 5 * time.Second

// stop ends a command, also when ctx is done.
func (c *commands) stop(ctx context.Context, handle uint64) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	_, err := c.call(ctx, &pb.HostCall{Call: &pb.HostCall_Stop{Stop: &pb.StopCommand{Handle: handle}}}, nil)
	if errors.Is(err, errHostGone) {
		return nil
	}
	return err
}

// output reads the output of one command.
type output struct {
	ctx      context.Context //nolint:containedctx // an io.Reader has no other way to be cancelled
	commands *commands
	name     string
	handle   uint64
	rest     []byte
	err      error
}

func (o *output) Read(p []byte) (int, error) {
	if len(o.rest) == 0 && o.err == nil {
		o.fetch()
	}
	if len(o.rest) > 0 {
		n := copy(p, o.rest)
		o.rest = o.rest[n:]
		return n, nil
	}
	return 0, o.err
}

func (o *output) fetch() {
	reply, err := o.commands.call(o.ctx, &pb.HostCall{Call: &pb.HostCall_Read{Read: &pb.ReadCommand{Handle: o.handle, MaxBytes: 128 << 10}}}, nil)
	switch {
	case err != nil:
		o.err = fmt.Errorf("read the output of %s: %w", o.name, err)
	case reply.EndOfFile && reply.ExitCode != 0:
		o.rest, o.err = reply.Data, fmt.Errorf("%s ended with exit code %d", o.name, reply.ExitCode)
	case reply.EndOfFile:
		o.rest, o.err = reply.Data, io.EOF
	default:
		o.rest = reply.Data
	}
}

// Close ends the command; also when the context of Run is done.
func (o *output) Close() error { return o.commands.stop(o.ctx, o.handle) }
