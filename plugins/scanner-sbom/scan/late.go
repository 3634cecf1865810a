package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// maxLate is how many files of one kind may be read on after their time.
const maxLate = 2

// Left counts readers that scans left behind since they did not come to an end: nothing
// can interrupt them, and each may take a processor until the process ends. The zero Left
// is ready, and many scans may share it.
type Left struct{ n atomic.Int64 }

// Now returns how many are still at work.
func (l *Left) Now() int { return int(l.n.Load()) }

// kind is what a scan knows of a reader.
type kind struct {
	// late is taken by files that are read past their time.
	late chan struct{}
	// hopeless is set when those did not come to an end in the time of one more: then
	// the reader is not asked again.
	hopeless atomic.Bool
}

// within reads the file and closes it. When that takes longer than a file may, the
// reader is left behind, and its result is thrown away. A scan ends whatever readers do:
// each kind of them can hold it up for a few times of a file, and what is not read then
// is named.
func (s *scanner) within(all context.Context, in extract.Input, layer string, note *Reading, readers []*extract.Reader, closeFile func()) (late bool) {
	ctx, cancel := context.WithTimeout(all, s.Limits.FileTime)
	in.Body = timely{in.Body, ctx}
	for i, r := range readers {
		if i > 0 {
			if _, err := in.Body.Seek(0, io.SeekStart); err != nil {
				note.refuse()
				s.fail(in.Path, err)
				break
			}
		}
		if s.kinds[r].hopeless.Load() {
			note.refuse()
			s.fail(in.Path, errGivenUp{r.Name})
			continue
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.read(ctx, in, layer, note, r)
		}()
		select {
		case <-done:
			if ctx.Err() == nil {
				continue
			}
			closeFile()
		case <-ctx.Done():
			s.leave(all, s.kinds[r], done, closeFile)
		}
		late = errors.Is(context.Cause(ctx), context.DeadlineExceeded) && all.Err() == nil
		cancel()
		return late
	}
	cancel()
	note.end()
	closeFile()
	return false
}

// leave has a reader go on until it is done, and waits for its place among the late
// ones of its kind.
func (s *scanner) leave(ctx context.Context, k *kind, done <-chan struct{}, closeFile func()) {
	s.Left.n.Add(1)
	var place <-chan struct{}
	defer func() {
		go func() {
			<-done
			closeFile()
			s.Left.n.Add(-1)
			if place != nil {
				<-place
			}
		}()
	}()
	timer := time.NewTimer(s.Limits.FileTime)
	defer timer.Stop()
	select {
	case k.late <- struct{}{}:
		place = k.late
	case <-done:
	case <-timer.C:
		k.hopeless.Store(true)
	case <-ctx.Done():
	}
}

// timely is a Body that cannot be read past its time, which most readers do not look at.
type timely struct {
	extract.Body
	ctx context.Context //nolint:containedctx // the interfaces of a Body have none
}

func (t timely) Read(b []byte) (int, error) {
	if t.ctx.Err() != nil {
		return 0, context.Cause(t.ctx)
	}
	return t.Body.Read(b)
}

func (t timely) ReadAt(b []byte, at int64) (int, error) {
	if t.ctx.Err() != nil {
		return 0, context.Cause(t.ctx)
	}
	return t.Body.ReadAt(b, at)
}

// guarded keeps a reader that breaks off from ending everything.
func (s *scanner) guarded(ctx context.Context, in extract.Input, r *extract.Reader) (packages []*inventory.Package, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = errCrash{fmt.Sprint(broken)}
			if s.Broken != nil {
				s.Broken(in.Path, debug.Stack())
			}
		}
	}()
	return r.Read(ctx, in)
}
