package advisory

import (
	"context"
	"errors"
	"runtime"
	"sync"
)

// chunkFiles and chunkBytes are how much one worker takes at a time.
const (
	chunkFiles = 64
	chunkBytes = 1 << 20
)

// chunk is a run of files on its way from the walk over a worker to the visitor.
type chunk struct {
	in    []raw
	bytes int
	out   []File
	done  chan struct{}
}

// errStopped ends the walk after the visitor said so.
var errStopped = errors.New("stopped")

// Read reads a source, a folder, an archive (zip, tar, either also compressed with gzip or
// zstd) or one file, and calls visit for each of its files, one after another, in
// the order of the source. Archives in a folder are read as well. Files are parsed
// on all processors; at most some dozens are held at a time. An error of visit ends
// the reading and is returned, else only what concerns the source as a whole.
func Read(ctx context.Context, source string, limits Limits, visit func(File) error) error {
	limits = limits.orDefault()
	return each(ctx, limits, visit, func(ctx context.Context, emit func(raw) error) error {
		stopped := func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return nil
		}
		w := &walker{stopped: stopped, limits: limits, emit: emit}
		return w.top(source)
	})
}

// Each parses files that come from elsewhere than the disk as [Read] does: produce
// hands them to emit one after another, which takes the bytes over.
func Each(ctx context.Context, limits Limits, produce func(emit func(name string, data []byte) error) error, visit func(File) error) error {
	return each(ctx, limits.orDefault(), visit, func(_ context.Context, emit func(raw) error) error {
		return produce(func(name string, data []byte) error { return emit(raw{name: name, data: data}) })
	})
}

func each(ctx context.Context, limits Limits, visit func(File) error, produce func(context.Context, func(raw) error) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	workers := runtime.GOMAXPROCS(0)
	work := make(chan *chunk, workers)
	order := make(chan *chunk, 2*workers)
	var group sync.WaitGroup
	defer group.Wait()
	for range workers {
		group.Go(func() {
			for c := range work {
				for _, r := range c.in {
					if r.problem != nil {
						c.out = append(c.out, File{Name: r.name, Problem: r.problem})
						continue
					}
					c.out = append(c.out, Parse(r.name, r.data, limits))
				}
				c.in = nil
				close(c.done)
			}
		})
	}
	var walked error
	group.Go(func() {
		defer close(order)
		defer close(work)
		walked = walk(ctx, produce, work, order)
	})
	var failed error
	for c := range order {
		<-c.done
		for i := range c.out {
			if failed == nil {
				if failed = visit(c.out[i]); failed != nil {
					stop(errStopped)
				}
			}
			c.out[i] = File{}
		}
	}
	if failed != nil {
		return failed
	}
	return walked // written before order was closed
}

// walk cuts the files of a source into chunks.
func walk(ctx context.Context, produce func(context.Context, func(raw) error) error, work, order chan<- *chunk) error {
	current := &chunk{done: make(chan struct{})}
	flush := func() error {
		if len(current.in) == 0 {
			return nil
		}
		c := current
		current = &chunk{done: make(chan struct{})}
		select { // first to a worker: what is in order will be done
		case work <- c:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		select {
		case order <- c:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		return nil
	}
	err := produce(ctx, func(r raw) error {
		current.in = append(current.in, r)
		current.bytes += len(r.data)
		if len(current.in) >= chunkFiles || current.bytes >= chunkBytes {
			return flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}
