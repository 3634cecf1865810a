package tail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// readLate reads the files that were rotated away, for writers that still have
// them open, and lets go of those that nobody wrote to for lateWindow.
func (f *follower) readLate(ctx context.Context, buf []byte) error {
	for i := 0; i < len(f.segments)-1; {
		g := f.segments[i]
		err := f.drain(ctx, i, buf)
		switch {
		case errors.Is(err, errTruncated):
			f.drop(i)
			continue
		case err != nil:
			return err
		case time.Since(g.changed) > lateWindow:
			if err := f.give(ctx, i, buf); err != nil {
				return err
			}
			f.drop(i)
			continue
		}
		i++
	}
	return nil
}

// readCurrent reads the current file to its end and moves on to its successor
// when there is one. more asks to be called again at once.
func (f *follower) readCurrent(ctx context.Context, buf []byte) (more bool, wait time.Duration, err error) {
	last := len(f.segments) - 1
	g := f.segments[last]
	err = f.drain(ctx, last, buf)
	if errors.Is(err, errTruncated) {
		return true, 0, f.truncated(ctx, g, buf)
	}
	if err != nil {
		return false, 0, err
	}
	named, err := f.names(g)
	if err != nil {
		return false, 0, err
	}
	if named {
		// Truncation while it was being read shows as a file that is too short.
		if size, err := g.size(); err == nil && size < g.mark.offset {
			return true, 0, nil
		}
		wait, err := f.expire(ctx, last, buf)
		return false, wait, err
	}
	return f.moveOn(ctx, last, buf)
}

// expire emits what there is of a record of several lines when nothing was added
// to it for multiline_timeout, and returns when to look again.
func (f *follower) expire(ctx context.Context, i int, buf []byte) (time.Duration, error) {
	g := f.segments[i]
	if g.lines == 0 || g.bounds == nil && g.audit == nil {
		return time.Hour, nil
	}
	if rest := f.source.config.MultilineTimeout - time.Since(g.changed); rest > 0 {
		return rest, nil
	}
	err := g.flushLines(buf, f.emitter(ctx, i))
	if errors.Is(err, errTruncated) {
		return 0, nil // the next look finds out
	}
	return time.Hour, err
}

// moveOn begins the successor of the current file, which the path does not name
// any more.
func (f *follower) moveOn(ctx context.Context, last int, buf []byte) (more bool, wait time.Duration, err error) {
	g := f.segments[last]
	info, err := g.file.Stat()
	if err != nil {
		return false, 0, fmt.Errorf("stat %s: %w", f.path, err)
	}
	if g.packed != nil {
		finished, err := f.finished(g)
		if err != nil || !finished {
			return false, lateInterval, err
		}
	}
	next, err := f.follow(g, info.ModTime(), buf)
	if err != nil {
		return false, 0, err
	}
	if next == nil {
		// A file that still has a name is kept however long it is silent: its
		// writer may never have noticed the rotation. A deleted one holds space.
		if last == 0 && links(info) == 0 && time.Since(g.changed) > lateWindow {
			if err := f.give(ctx, last, buf); err != nil {
				return false, 0, err
			}
			f.drop(last)
			return true, 0, nil
		}
		return false, lateInterval, nil
	}
	// The successor holds data, so its writer is done with this file: what it
	// wrote here is all here by now.
	keep := false
	defer func() {
		if !keep {
			next.close()
		}
	}()
	if err := f.drain(ctx, last, buf); errors.Is(err, errTruncated) {
		return true, 0, f.truncated(ctx, g, buf)
	} else if err != nil {
		return false, 0, err
	}
	if g.pending > 0 {
		if rest := partialGrace - time.Since(g.changed); rest > 0 {
			return false, rest, nil
		}
		if err := f.give(ctx, last, buf); err != nil {
			return false, 0, err
		}
	}
	if len(f.segments) == maxSegments {
		if err := f.giveUp(ctx, buf); err != nil {
			return false, 0, err
		}
	}
	keep = true
	f.push(next)
	if links(info) == 0 {
		return true, 0, f.settle(ctx, next)
	}
	return true, 0, nil
}

// giveUp emits what there is in the oldest file, which push lets go of.
func (f *follower) giveUp(ctx context.Context, buf []byte) error {
	if err := f.drain(ctx, 0, buf); errors.Is(err, errTruncated) {
		return nil
	} else if err != nil {
		return err
	}
	return f.give(ctx, 0, buf)
}

// finished reports whether a compressed file was read to its end, and counts
// one that cannot be.
func (f *follower) finished(g *segment) (bool, error) {
	finished, damaged, err := g.packed.state()
	if damaged && !g.packed.reported {
		g.packed.reported = true
		f.source.count("gzip_damaged", 1)
		f.source.log.Warn("a compressed file is damaged; what follows in it is lost", "path", f.path, "offset", g.mark.offset)
	}
	return finished, err
}

// follow opens the first file that came after last, which was written last at
// until; nil when there is none that holds data. last is nil when it was not
// found. It returns errMoving when a rotation is under way.
func (f *follower) follow(last *segment, until time.Time, buf []byte) (*segment, error) {
	s, err := survey(f.path)
	if err != nil {
		return nil, err
	}
	var id identity
	if last != nil {
		if id, err = f.twins.find(&s, last, buf); err != nil {
			return nil, err
		}
	}
	g, err := f.successor(&s, id, until, buf)
	if err != nil || g == nil {
		return nil, err
	}
	// The fingerprint was taken before the second survey: if that finds the same
	// files, no copy was made in between, so a truncation cannot pass unnoticed,
	// nor has a name passed to another file.
	again, err := survey(f.path)
	if err == nil && !sameFiles(s, again) {
		err = errMoving
	}
	if err != nil || g.mark.headLen == 0 || f.holds(g.id()) {
		g.close()
		return nil, err
	}
	return g, nil
}

// successor opens the file that follow looks for, with its fingerprint.
func (f *follower) successor(s *snapshot, id identity, until time.Time, buf []byte) (*segment, error) {
	path := f.path
	for _, b := range s.after(id, until) {
		if b.size == 0 || f.holds(b.id) {
			continue
		}
		if b.compressed {
			g, err := f.unpack(b, buf)
			if g == nil && err == nil {
				continue // it holds nothing
			}
			return g, err
		}
		if g := original(s, b, f.path, buf); g != nil {
			return g, nil
		}
		path = b.path
		break
	}
	if path == f.path && s.current == nil {
		return nil, nil
	}
	g, _, err := openSegment(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errMoving
	}
	if err != nil {
		return nil, err
	}
	if err := g.check(buf); err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

// unpack opens a compressed file that nothing was read from; nil when it holds
// nothing. It returns errUnfinished when nothing of it can be decompressed yet.
func (f *follower) unpack(b sibling, buf []byte) (*segment, error) {
	g, _, err := openSegment(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errMoving
	}
	if err != nil {
		return nil, err
	}
	if g.id() != b.id {
		g.close()
		return nil, errMoving
	}
	if err := g.check(buf); err != nil {
		g.close()
		return nil, err
	}
	if g.mark.headLen > 0 {
		return g, nil
	}
	defer g.close()
	finished, err := f.finished(g)
	if err == nil && !finished {
		err = errUnfinished
	}
	return nil, err
}

// holds reports whether the file is open already.
func (f *follower) holds(id identity) bool {
	for _, g := range f.segments {
		if g.id() == id {
			return true
		}
	}
	return false
}

// truncated goes on with a file whose content was taken away: in the copy, if
// there is one, else at its beginning.
func (f *follower) truncated(ctx context.Context, g *segment, buf []byte) error {
	last := len(f.segments) - 1
	c, err := findCopy(f.path, &g.mark, g.id(), buf)
	if err != nil {
		return err
	}
	if c != nil {
		f.source.count("copytruncated", 1)
		g.close()
		f.segments[last] = c
		f.source.claim(c.id(), f)
		return nil
	}
	f.source.count("truncated", 1)
	g.restart()
	if err := g.check(buf); errors.Is(err, errTruncated) {
		return nil
	} else if err != nil {
		return err
	}
	return f.settle(ctx, g)
}

// drain emits the complete lines of file i, to its end.
func (f *follower) drain(ctx context.Context, i int, buf []byte) error {
	g := f.segments[i]
	if err := g.check(buf); err != nil {
		return err
	}
	size, err := g.size()
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	if size == g.mark.offset {
		g.pending, g.lines = 0, 0
		if g.packed != nil {
			g.packed.release()
			return nil
		}
		return g.compare(buf)
	}
	if i == len(f.segments)-1 {
		if err := f.open(g); err != nil {
			return err
		}
	}
	if f.stream == nil {
		return nil
	}
	g.bounds = f.bounds
	if g.bounds == nil && f.format == formatAudit && g.audit == nil {
		g.audit = new(auditEvents)
	} else if f.format != formatAudit {
		g.audit = nil
	}
	err = g.read(ctx, buf, f.emitter(ctx, i))
	if g.splits > 0 {
		f.source.count("multiline_split", g.splits)
		g.splits = 0
	}
	if g.nuls > 0 {
		f.source.count("nul_bytes_skipped", g.nuls)
		g.nuls = 0
	}
	return err
}

// give emits the unfinished last line of file i.
func (f *follower) give(ctx context.Context, i int, buf []byte) error {
	if f.stream == nil {
		return nil
	}
	err := f.segments[i].flush(buf, f.emitter(ctx, i))
	if errors.Is(err, errTruncated) {
		return nil
	}
	return err
}

// emitter returns the function that emits a line of file i with the position
// behind it.
func (f *follower) emitter(ctx context.Context, i int) func([]byte) error {
	g, stream := f.segments[i], f.stream
	g.mark.seen = time.Now().Unix()
	f.position.set(f.segments)
	return func(line []byte) error {
		f.position.move(i, &g.mark)
		if err := stream.Emit(ctx, line, f.position.buf); err != nil {
			return &emitError{err}
		}
		return nil
	}
}
