package tail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// lateWindow is how long a file that was rotated away, or deleted, is
	// followed after its last change.
	lateWindow = 5 * time.Minute
	// partialGrace is how long the unfinished last line of a file that has a
	// successor may stay unchanged before it is emitted as it is.
	partialGrace = time.Second
	// lateInterval is how often late writers are looked for, and a file that
	// cannot be opened is tried again.
	lateInterval = time.Second
	// movingInterval is how soon a directory is looked at again in which files
	// were being renamed.
	movingInterval = 10 * time.Millisecond
)

// errDone ends a follower whose file is gone.
var errDone = errors.New("the file is gone")

// origin says where a file is begun that has no checkpoint.
type origin int

const (
	fromBeginning origin = iota
	fromEnd
)

// follower reads the files that one path names, one after the other, into one
// stream. Its goroutine alone uses it; others call only notify.
type follower struct {
	path   string
	source *Source
	out    sdk.Emitter
	origin origin
	// stored says that the host may have a position for the stream.
	stored bool
	// over says that the file of that position was read to its end.
	over bool

	wake chan struct{}

	stream sdk.Stream
	format string
	// segments are the open files, the oldest first; the last one is current.
	segments []*segment
	position position
	// since is when nothing was left to follow; zero while there is.
	since time.Time
	// bounds tells where records of several lines end, where the configuration
	// says it; else nil.
	bounds boundary
	twins  twins
	// absent says that nothing was found at the path when it was last looked at.
	absent bool
	// gone is set when the file of the checkpoint was not found: when it was
	// last read.
	gone time.Time
}

// notify makes the follower look at its files; it never blocks.
func (f *follower) notify() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run follows the path until ctx is done, which it reports as nil, or until the
// file has been gone for lateWindow, which it reports as errDone.
func (f *follower) run(ctx context.Context) error {
	defer f.release()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait, err := f.turn(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errDone):
			return err
		case errors.Is(err, errMoving):
			wait = movingInterval
		case errors.Is(err, errUnfinished):
			wait = lateInterval
		case err != nil:
			if failed, ok := errors.AsType[*emitError](err); ok {
				return fmt.Errorf("emit records of %s: %w", f.path, failed.err)
			}
			f.source.report(f.path, err)
			wait = lateInterval
		default:
			f.source.report(f.path, f.dangling())
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		case <-timer.C:
		}
	}
}

// dangling returns why nothing is found where a symbolic link leads; nil when
// there is a file, or no link.
func (f *follower) dangling() error {
	if !f.absent {
		return nil
	}
	target, err := os.Readlink(f.path)
	if err != nil {
		return nil //nolint:nilerr // there is no link: the file may come
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(f.path), target)
	}
	return fmt.Errorf("it leads to %s, which is not there or lies outside of what source-file may read; name %s in [source_file] paths, too", target, filepath.Join(filepath.Dir(target), "*"))
}

// release closes the files and, where the host still listens, the stream.
func (f *follower) release() {
	for _, g := range f.segments {
		f.source.retire(g, f)
		g.close()
	}
	f.segments = nil
}

// emitError tells what the host refused from what the file system did.
type emitError struct{ err error }

func (e *emitError) Error() string { return e.err.Error() }
func (e *emitError) Unwrap() error { return e.err }

// turn reads whatever there is and returns when to look again at the latest.
func (f *follower) turn(ctx context.Context) (time.Duration, error) {
	buf := f.source.buffers.Get().(*[chunk]byte)
	defer f.source.buffers.Put(buf)
	if len(f.segments) == 0 {
		if err := f.begin(ctx, buf[:]); err != nil {
			return 0, err
		}
	}
	if err := f.readLate(ctx, buf[:]); err != nil {
		return 0, err
	}
	for len(f.segments) > 0 && ctx.Err() == nil {
		more, wait, err := f.readCurrent(ctx, buf[:])
		if err != nil {
			return 0, err
		}
		if !more {
			if len(f.segments) > 1 {
				wait = min(wait, lateInterval)
			}
			return wait, nil
		}
	}
	// Nothing to follow: the path does not exist now.
	if f.since.IsZero() {
		f.since = time.Now()
	}
	if time.Since(f.since) > lateWindow {
		return 0, f.finish()
	}
	return lateInterval, nil
}

// finish closes the stream of a path that no longer exists.
func (f *follower) finish() error {
	if f.stream != nil {
		if err := f.stream.Close(); err != nil {
			return &emitError{err}
		}
		f.stream = nil
	}
	return errDone
}

// begin finds where to read: at the stored position, else in the file that the
// path names. It leaves segments empty when there is nothing to read yet.
func (f *follower) begin(ctx context.Context, buf []byte) error {
	if f.stored {
		if err := f.resume(ctx, buf); err != nil {
			return err
		}
		f.stored = false
		if len(f.segments) > 0 {
			return nil
		}
	}
	if !f.gone.IsZero() {
		g, err := f.follow(nil, f.gone, buf)
		if err != nil || g == nil {
			return err
		}
		f.gone = time.Time{}
		f.push(g)
		return f.settle(ctx, g)
	}
	g, info, err := openSegment(f.path)
	f.absent = errors.Is(err, fs.ErrNotExist)
	if f.absent {
		f.origin = fromBeginning
		return nil
	}
	if err != nil {
		return err
	}
	if !f.source.claim(g.id(), f) {
		g.close()
		return nil
	}
	if err := f.place(ctx, g, info.Size(), buf); err != nil {
		g.close()
		return err
	}
	f.push(g)
	return nil
}

// place chooses the offset in a file that has no checkpoint.
func (f *follower) place(ctx context.Context, g *segment, size int64, buf []byte) error {
	if err := g.check(buf); err != nil {
		return err
	}
	if m, ok := f.source.retired(g.id()); ok {
		if err := g.adopt(&m, buf); err == nil {
			return nil
		}
		g.restart()
		return g.check(buf)
	}
	origin := f.origin
	f.origin = fromBeginning
	if origin == fromBeginning || size == 0 {
		return nil
	}
	if g.packed != nil {
		whole, err := g.packed.size()
		if err != nil {
			return err
		}
		size = whole
	}
	// An unfinished last line will be emitted whole.
	from := max(0, size-int64(len(buf)))
	n, err := g.readAt(buf[:size-from], from)
	if int64(n) < size-from {
		return fmt.Errorf("read the end: %w", err)
	}
	offset := from + int64(bytes.LastIndexByte(buf[:n], '\n')+1)
	if offset == from && from > 0 {
		offset, g.mark.skipping = size, true
	}
	if err := g.place(offset); err != nil {
		return err
	}
	return f.bookmark(ctx, g)
}

// bookmark stores where reading begins, so that what is written between the
// first sight of a file and a restart is not lost when no line was emitted
// before it.
func (f *follower) bookmark(ctx context.Context, g *segment) error {
	if err := f.open(g); err != nil {
		return err
	}
	g.mark.seen = time.Now().Unix()
	f.position.set([]*segment{g})
	if err := f.stream.Mark(ctx, f.position.buf); err != nil {
		return &emitError{err}
	}
	return nil
}

// resume opens the stream and finds the files of its checkpoint.
func (f *follower) resume(ctx context.Context, buf []byte) error {
	if err := f.openAs(f.source.guess(f.path)); err != nil {
		return err
	}
	checkpoint := f.stream.Resume()
	if len(checkpoint) == 0 {
		return nil
	}
	f.origin = fromBeginning
	marks, err := decodePosition(checkpoint)
	if err != nil {
		f.source.count("checkpoint_invalid", 1)
		f.source.log.Warn("the stored position cannot be read; the file is read from its beginning", "path", f.path, "error", err)
		return f.renumber(ctx)
	}
	for i := range marks {
		m := &marks[i]
		g, err := findSame(f.path, m, buf)
		if g == nil && err == nil {
			g, err = findCopy(f.path, m, identity{}, buf)
		}
		if err != nil {
			f.closeAll()
			return err
		}
		if g != nil {
			f.source.claim(g.id(), f)
			f.segments = append(f.segments, g)
			continue
		}
		if i < len(marks)-1 {
			continue
		}
		if !f.over {
			f.source.count("rotated_file_gone", 1)
			f.source.log.Warn("the file that was being read is gone; what was unread in it is lost", "path", f.path, "offset", m.offset)
		}
		f.gone = time.Unix(m.seen, 0)
		f.closeAll()
		return f.renumber(ctx)
	}
	return nil
}

// renumber keeps what is read next from getting the numbers of records behind the
// stored position, which were emitted, and cannot be read again.
func (f *follower) renumber(ctx context.Context) error {
	s, ok := f.stream.(sdk.Renumberer)
	if !ok {
		return nil
	}
	if err := s.Renumber(ctx); err != nil {
		return &emitError{err}
	}
	return nil
}

// Bounds of the wait in settle.
const (
	settleMost = 5 * time.Second
	// settleCommit is longer than the host takes to store what became durable.
	settleCommit = 250 * time.Millisecond
	settleLook   = 20 * time.Millisecond
)

// settle stores the position at the beginning of the current file before anything
// of it is emitted, where the file before it cannot be found again: a restart at a
// position in that one could not tell which lines of this one have their numbers
// already. It goes on after settleMost at the latest.
func (f *follower) settle(ctx context.Context, g *segment) error {
	if err := f.open(g); err != nil || f.stream == nil {
		return err
	}
	g.mark.seen = time.Now().Unix()
	f.position.set(f.segments)
	if err := f.stream.Mark(ctx, f.position.buf); err != nil {
		return &emitError{err}
	}
	look := time.NewTicker(settleLook)
	defer look.Stop()
	until := time.Now().Add(settleMost)
	for durable := false; time.Now().Before(until); {
		if !durable && bytes.Equal(f.stream.Durable(), f.position.buf) {
			durable, until = true, time.Now().Add(settleCommit)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// closeAll closes files that were only looked for.
func (f *follower) closeAll() {
	for _, g := range f.segments {
		g.close()
	}
	f.segments = nil
}

// push makes g the current file.
func (f *follower) push(g *segment) {
	f.since = time.Time{}
	f.source.claim(g.id(), f)
	f.segments = append(f.segments, g)
	for len(f.segments) > maxSegments {
		f.drop(0)
	}
}

// drop stops following the file at index i.
func (f *follower) drop(i int) {
	g := f.segments[i]
	f.source.retire(g, f)
	g.close()
	f.segments = slices.Delete(f.segments, i, i+1)
}

// open opens the stream in the format of g, whose first bytes decide; before
// them nothing is opened.
func (f *follower) open(g *segment) error {
	format := f.source.config.Format
	if format == "" {
		format = g.sniff()
	}
	return f.openAs(format)
}

func (f *follower) openAs(format string) error {
	if f.stream != nil {
		if format == f.format || format == "" {
			return nil
		}
		if err := f.stream.Close(); err != nil {
			return &emitError{err}
		}
	}
	config := sdk.StreamConfig{
		Name:       f.path,
		Format:     format,
		Provenance: event.ProvenanceHost,
		TimeZone:   f.source.config.TimeZone,
	}
	if id := outputOf(f.path); id != "" {
		config.Provenance, config.Peer = event.ProvenanceContainer, "container:"+id
	}
	stream, err := f.out.Open(config)
	if err != nil {
		return &emitError{fmt.Errorf("open the stream: %w", err)}
	}
	f.stream, f.format = stream, format
	return nil
}

// names reports whether the path names the file g now.
func (f *follower) names(g *segment) (bool, error) {
	info, err := os.Stat(f.path)
	f.absent = errors.Is(err, fs.ErrNotExist)
	if f.absent {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return identify(info) == g.id(), nil
}
