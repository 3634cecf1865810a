package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/image"
)

// stall is for how long an answer may stand still. Docker writes an image to its own disk
// before it sends the first byte.
const stall = 5 * time.Minute

var errStall = fmt.Errorf("%w: it sent nothing for %v", ErrUnreachable, stall)

// stream is an answer that is read as it comes.
type stream struct {
	body   io.ReadCloser
	timer  *time.Timer
	cancel context.CancelCauseFunc
	ctx    func() error
	// tell is told now and then how much was read; nil is not told.
	tell func(n int64)
	n    int64
	told time.Time
	once sync.Once
}

// stream begins a call whose answer may be long.
func (e *Engine) stream(ctx context.Context, path string, query url.Values, tell func(n int64)) (*stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &stream{cancel: cancel, tell: tell, ctx: func() error { return context.Cause(ctx) }}
	s.timer = time.AfterFunc(stall, func() { cancel(errStall) })
	body, err := e.api.Get(ctx, path, query)
	if err != nil {
		err = s.cause(err)
		s.timer.Stop()
		cancel(nil)
		return nil, err
	}
	s.body = body
	return s, nil
}

// cause is the reason for an error, when it is known better.
func (s *stream) cause(err error) error {
	if cause := s.ctx(); cause != nil && errors.Is(cause, errStall) {
		return cause
	}
	return err
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	s.timer.Reset(stall)
	s.n += int64(n)
	const often = 200 * time.Millisecond
	if now := time.Now(); s.tell != nil && now.Sub(s.told) >= often {
		s.told = now
		s.tell(s.n)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = s.cause(err)
	}
	return n, err
}

// Close ends the call, whether or not all was read.
func (s *stream) Close() error {
	s.once.Do(func() {
		s.timer.Stop()
		s.cancel(nil)
		_ = s.body.Close() // it was read only
	})
	return nil
}

// receive reads the archive of an image.
func (e *Engine) receive(ctx context.Context, img *Image, how Options) (*image.Image, error) {
	what := "read the image " + img.Name()
	on := ParsePlatform(how.Platform)
	query, err := on.query()
	if err != nil {
		return nil, err
	}
	s, err := e.stream(ctx, "/images/"+img.ID+"/get", query, func(n int64) {
		how.tell(fmt.Sprintf("reading the image %s: %s of about %s", img.Name(), megabytes(n), megabytes(img.Size)))
	})
	if err != nil {
		return nil, wrap(what, err)
	}
	defer func() { _ = s.Close() }() // it was read only
	o := e.options(how)
	o.Progress = func(layer, layers int) {
		how.tell(fmt.Sprintf("reading the image %s: layer %d of %d", img.Name(), layer, layers))
	}
	im, err := image.Receive(ctx, s, o)
	if err != nil {
		return nil, wrap(what, err)
	}
	if err := on.Fits(img.Name(), im.OS, im.Arch); err != nil {
		return nil, errors.Join(err, im.Close())
	}
	return im, nil
}

func megabytes(n int64) string { return fmt.Sprintf("%d MB", (n+999_999)/1_000_000) }
