package containers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// resync is how long a container is silent before its output is asked for
	// anew: a connection that Docker forgot when it rotated the log is noticed.
	resync = 15 * time.Minute
	// firstPause and lastPause bound the wait before asking again what ended at
	// once.
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
)

// emitError tells what the host refused from what Docker did.
type emitError struct{ err error }

func (e *emitError) Error() string { return e.err.Error() }
func (e *emitError) Unwrap() error { return e.err }

// follower reads the output of one container into one stream. One goroutine uses
// it, but for about.
type follower struct {
	id     string
	source *Source
	api    *api
	out    sdk.Emitter
	// start is where an output without a stored position begins.
	start int64
	// about describes the container as it was listed last.
	about atomic.Pointer[container]

	stream   sdk.Stream
	position position
	// members are rendered from described.
	members   []byte
	described *container
	// record and checkpoint are reused.
	record, checkpoint []byte
}

// run reads what there is, and what comes while the container runs. It returns
// nil when the output ended, else why it cannot be read.
func (f *follower) run(ctx context.Context) error {
	if err := f.open(ctx); err != nil {
		return err
	}
	if f.about.Load().running() {
		err := f.read(ctx, true)
		if errors.Is(err, context.DeadlineExceeded) {
			return nil // it is asked for anew
		}
		if err != nil {
			return err
		}
	}
	// What the container wrote last may not have come before the end: Docker ends
	// the answer when the container ends.
	return f.read(ctx, false)
}

// open opens the stream at its stored position.
func (f *follower) open(ctx context.Context) error {
	if f.stream != nil {
		return nil
	}
	stream, err := f.out.Open(sdk.StreamConfig{
		Name: streamPrefix + f.id, Format: "json", Provenance: event.ProvenanceContainer, Peer: "container:" + f.id,
	})
	if err != nil {
		return &emitError{fmt.Errorf("open the stream of container %.12s: %w", f.id, err)}
	}
	f.stream, f.position = stream, from(f.start)
	if stored := stream.Resume(); len(stored) > 0 {
		p, err := decodePosition(stored)
		if err == nil {
			f.position = p
			return nil
		}
		f.source.counter("checkpoint_invalid", 1)
		f.source.log.Warn("the stored position cannot be read; the output is read from its beginning", "container", f.id, "error", err)
		f.position = from(0)
		return f.renumber(ctx)
	}
	if f.source.config.Start == "beginning" {
		return nil
	}
	// What is written between now and the first line must not be lost either.
	f.checkpoint = f.position.append(f.checkpoint[:0])
	if err := stream.Mark(ctx, f.checkpoint); err != nil {
		return &emitError{err}
	}
	return nil
}

// close closes the stream of a container that is gone.
func (f *follower) close() {
	if f.stream == nil {
		return
	}
	if err := f.stream.Close(); err != nil {
		f.source.log.Warn("the stream of a container could not be closed", "container", f.id, "error", err)
	}
	f.stream = nil
}

// read emits the lines behind the position, to the end of the answer. With
// follow that is the end of the container, or context.DeadlineExceeded after
// resync without a line.
func (f *follower) read(ctx context.Context, follow bool) error {
	skip, err := f.align(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(resync, func() { cancel(context.DeadlineExceeded) })
	defer silence.Stop()
	body, err := f.api.logs(ctx, f.id, f.position.anchor, follow)
	if err != nil {
		return f.cause(ctx, err)
	}
	defer body.Close()
	for lines := newOutput(body); ; {
		l, err := lines.next()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return f.cause(ctx, fmt.Errorf("read the output of %.12s: %w", f.id, err))
		}
		if skip > 0 {
			skip--
			continue
		}
		if follow {
			silence.Reset(resync)
		}
		if err := f.emit(ctx, l); err != nil {
			return err
		}
	}
}

// cause prefers why ctx ended to what that caused.
func (f *follower) cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// align returns how many lines since the anchor were read. As a rule that is
// their count; when the last one is not where it was, lines before it are gone.
func (f *follower) align(ctx context.Context) (skip uint64, err error) {
	if f.position.count == 0 {
		return 0, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, err := f.api.logs(ctx, f.id, f.position.anchor, false)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	lines := newOutput(body)
	found := uint64(0)
	for n := uint64(1); n <= f.position.count; n++ {
		l, err := lines.next()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return 0, fmt.Errorf("read the output of %.12s: %w", f.id, err)
		}
		if l.hash() == f.position.last {
			found = n
		}
	}
	if found < f.position.count {
		if found == 0 {
			f.source.counter("rotated_away", 1)
			f.source.log.Warn("the line that was read last is gone from the output; what came between it and what is left is lost", "container", f.id)
			if err := f.renumber(ctx); err != nil {
				return 0, err
			}
		}
		f.position.count = found
	}
	return found, nil
}

// renumber keeps what is read next from getting the numbers of lines behind the
// stored position, which were emitted, and cannot be read again.
func (f *follower) renumber(ctx context.Context) error {
	s, ok := f.stream.(sdk.Renumberer)
	if !ok {
		return nil
	}
	if err := s.Renumber(ctx); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &emitError{err}
	}
	return nil
}

// emit hands over one line.
func (f *follower) emit(ctx context.Context, l *line) error {
	if about := f.about.Load(); about != f.described {
		var left int
		f.members, left = describe(about, f.source.config.Labels)
		f.described = about
		if left > 0 {
			f.source.counter("labels_left_out", uint64(left))
		}
	}
	var cut bool
	f.record, cut = appendLine(f.record[:0], f.members, l)
	if cut {
		f.source.counter("lines_cut", 1)
	}
	f.position.pass(l)
	f.checkpoint = f.position.append(f.checkpoint[:0])
	if err := f.stream.Emit(ctx, f.record, f.checkpoint); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &emitError{err}
	}
	return nil
}
