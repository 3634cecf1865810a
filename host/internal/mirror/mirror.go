package mirror

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Client fetches files. The zero Client is ready; it may be used by several goroutines, for
// different files.
type Client struct {
	// HTTP does the requests; the standard library's default transport without one.
	HTTP *http.Client
	// MaxBytes bounds a file, 8 GiB when it is 0.
	MaxBytes int64
	// AllowHTTP takes URLs without encryption.
	AllowHTTP bool
	// Stall is within what time a server has to send 16 KiB, or the rest (a minute), Longest how long
	// all attempts may take together (6 hours): the next call goes on. Attempts is how often a transfer that
	// broke is taken up again (4), Pause how long to wait before the first of them (1 s), twice as
	// long before each next.
	Stall    time.Duration
	Longest  time.Duration
	Attempts int
	Pause    time.Duration
	// Progress is told how many bytes there are, of how many; 0 is not known.
	Progress func(done, all int64)
}

// Validator is what a server said of a file.
type Validator struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
}

// Errors of a transfer.
var (
	// ErrUnchanged says that a file is as it was when it was fetched last.
	ErrUnchanged = errors.New("not changed since it was fetched last")
	// ErrTooLarge says that a file is beyond MaxBytes.
	ErrTooLarge = errors.New("too large")
	// ErrBusy says that another process fetches into the same folder.
	ErrBusy = errors.New("another update is at work")
	// ErrNotAllowed says that a URL is not one that may be fetched.
	ErrNotAllowed = errors.New("not allowed")
)

const (
	defaultBytes   = 8 << 30
	defaultLongest = 6 * time.Hour
	// leastBytes is what has to come within the time of Stall.
	leastBytes = 16 << 10
	// maxValidator bounds what is kept of a server's words.
	maxValidator = 1 << 10
)

// StatusError is what a server answered in place of a file.
type StatusError struct {
	URL    string
	Status string
	Code   int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("fetch %s: the server answered %s", e.URL, e.Status)
}

// Fetch writes the file at a URL to path, whole or not at all. A part that came is kept beside it, as
// path.part, and what is known of it as path.json: the next call goes on with it. It returns
// [ErrUnchanged] when the server says that the file is as previous says.
func (c *Client) Fetch(ctx context.Context, from string, previous Validator, path string) (Validator, error) {
	if err := c.allowed(from); err != nil {
		return Validator{}, err
	}
	p, err := openPart(path, from)
	if err != nil {
		return Validator{}, err
	}
	defer p.close()
	longest := cmp.Or(c.Longest, defaultLongest)
	ctx, cancel := context.WithTimeoutCause(ctx, longest, fmt.Errorf("it took longer than %s; the next call goes on with it", longest))
	defer cancel()
	pause := cmp.Or(c.Pause, time.Second)
	for attempt := 1; ; attempt++ {
		v, err := c.attempt(ctx, from, previous, p)
		switch {
		case err == nil:
			return v, p.finish()
		case errors.Is(err, ErrUnchanged):
			return v, errors.Join(err, p.drop())
		case ctx.Err() != nil, attempt >= cmp.Or(c.Attempts, 4), !again(err):
			return Validator{}, err
		}
		select {
		case <-ctx.Done():
			return Validator{}, err
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// again reports whether another attempt may do better.
func again(err error) bool {
	if status, ok := errors.AsType[*StatusError](err); ok {
		return status.Code >= 500 || status.Code == http.StatusTooManyRequests
	}
	_, disk := errors.AsType[*diskError](err)
	return !disk && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrNotAllowed)
}

// attempt asks once, for the rest where there is a part.
func (c *Client) attempt(ctx context.Context, from string, previous Validator, p *part) (Validator, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return Validator{}, fmt.Errorf("fetch: %w", err)
	}
	request.Header.Set("User-Agent", "ironpost")
	// What is compressed on its way could not be taken up again.
	request.Header.Set("Accept-Encoding", "identity")
	resumed := p.size > 0 && p.known.strong()
	if p.size > 0 && !resumed {
		if err := p.restart(); err != nil {
			return Validator{}, err
		}
	}
	switch {
	case resumed:
		request.Header.Set("Range", "bytes="+strconv.FormatInt(p.size, 10)+"-")
		request.Header.Set("If-Range", cmp.Or(p.known.ETag, p.known.LastModified))
	case previous.ETag != "":
		request.Header.Set("If-None-Match", previous.ETag)
	case previous.LastModified != "":
		request.Header.Set("If-Modified-Since", previous.LastModified)
	}
	stall := cmp.Or(c.Stall, time.Minute)
	var came atomic.Int64 // since the watch was set
	watch := time.AfterFunc(stall, func() { cancel(fmt.Errorf("%d bytes came within %s", came.Load(), stall)) })
	defer watch.Stop()
	response, err := c.client().Do(request)
	if err != nil {
		return Validator{}, c.failed(ctx, from, err)
	}
	defer response.Body.Close()
	switch code := response.StatusCode; {
	case code == http.StatusNotModified && !resumed && previous != (Validator{}):
		return previous, ErrUnchanged
	case code == http.StatusPartialContent && resumed && begins(response.Header.Get("Content-Range"), p.size):
	case code == http.StatusOK:
		if err := p.restart(); err != nil {
			return Validator{}, err
		}
	case resumed:
		// The part is of no use to this server: the next attempt begins anew.
		if err := p.restart(); err != nil {
			return Validator{}, err
		}
		return Validator{}, fmt.Errorf("fetch %s: the server answered %s to a request for the rest", redacted(from), response.Status)
	default:
		return Validator{}, &StatusError{redacted(from), response.Status, code}
	}
	v := validator(response.Header)
	if err := p.note(v); err != nil {
		return Validator{}, err
	}
	return v, c.copy(ctx, from, response, p, func(n int) {
		if came.Add(int64(n)) >= leastBytes {
			came.Store(0)
			watch.Reset(stall)
		}
	})
}

// copy writes the body to the part.
func (c *Client) copy(ctx context.Context, from string, response *http.Response, p *part, alive func(n int)) error {
	most := cmp.Or(c.MaxBytes, defaultBytes)
	all := int64(0)
	if response.ContentLength >= 0 {
		all = p.size + response.ContentLength
	}
	if all > most {
		return errors.Join(fmt.Errorf("fetch %s: %d bytes, at most %d: %w", redacted(from), all, most, ErrTooLarge), p.restart())
	}
	buf := make([]byte, 256<<10)
	for {
		n, err := response.Body.Read(buf)
		if n > 0 {
			alive(n)
			if p.size+int64(n) > most {
				return errors.Join(fmt.Errorf("fetch %s: more than %d bytes: %w", redacted(from), most, ErrTooLarge), p.restart())
			}
			if err := p.write(buf[:n]); err != nil {
				return err
			}
			if c.Progress != nil {
				c.Progress(p.size, all)
			}
		}
		switch {
		case errors.Is(err, io.EOF) && all == 0 && ctx.Err() != nil:
			// The server may have ended its answer because it saw us go.
			return fmt.Errorf("after %d bytes: %w", p.size, c.failed(ctx, from, err))
		case errors.Is(err, io.EOF) && (all == 0 || p.size == all):
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("fetch %s: got %d of %d bytes", redacted(from), p.size, all)
		case err != nil:
			return fmt.Errorf("after %d bytes: %w", p.size, c.failed(ctx, from, err))
		}
	}
}

// failed tells why a request ended: what ended it, where that was not the network.
func (c *Client) failed(ctx context.Context, from string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if u, ok := errors.AsType[*url.Error](err); ok { // it would show the whole URL
		err = u.Err
	}
	return fmt.Errorf("fetch %s: %w", redacted(from), err)
}

// client is the given client, which may not be led to what was not allowed.
func (c *Client) client() *http.Client {
	var h http.Client
	if c.HTTP != nil {
		h = *c.HTTP
	}
	follow := h.CheckRedirect
	h.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if err := c.allowed(r.URL.String()); err != nil {
			return err
		}
		r.Header.Del("Referer") // it has the query of the URL before, which may be a password
		if follow != nil {
			return follow(r, via)
		}
		if len(via) >= 5 {
			return fmt.Errorf("%w: more than 5 redirects", ErrNotAllowed)
		}
		return nil
	}
	return &h
}

// allowed refuses what is no URL of a web server, or one without encryption.
func (c *Client) allowed(from string) error {
	u, err := url.Parse(from)
	switch {
	case err != nil:
		return fmt.Errorf("fetch a URL that cannot be read: %w", ErrNotAllowed)
	case u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("fetch %.200q: %w: not an https URL", redacted(from), ErrNotAllowed)
	case u.Scheme == "http" && !c.AllowHTTP:
		return fmt.Errorf("fetch %s: %w: http is not encrypted", redacted(from), ErrNotAllowed)
	}
	return nil
}

// redacted is a URL as it may be shown: without a password, and without its query, which may
// be one.
func redacted(from string) string {
	u, err := url.Parse(from)
	if err != nil {
		return "a URL"
	}
	u.RawQuery = ""
	return u.Redacted()
}

func validator(h http.Header) Validator {
	v := Validator{ETag: h.Get("ETag"), LastModified: h.Get("Last-Modified")}
	if len(v.ETag) > maxValidator || len(v.LastModified) > maxValidator {
		return Validator{}
	}
	return v
}

// begins reports whether a Content-Range, "bytes 5-9/10", begins at an offset.
func begins(contentRange string, at int64) bool {
	rest, ok := strings.CutPrefix(contentRange, "bytes ")
	first, _, found := strings.Cut(rest, "-")
	return ok && found && first == strconv.FormatInt(at, 10)
}

// part is a file that is being fetched.
type part struct {
	path  string
	file  *os.File
	size  int64
	known partState
}

// partState is what is known of a part.
type partState struct {
	URL string `json:"url"`
	Validator
}

// strong reports whether the bytes of a part and of what follows are of one file for certain. A weak
// validator (W/) does not say so: RFC 9110, section 13.1.5.
func (v *Validator) strong() bool {
	if v.ETag != "" {
		return !strings.HasPrefix(v.ETag, "W/")
	}
	return v.LastModified != ""
}

// diskError is what the system said about the part; another attempt would not help.
type diskError struct{ error }

func (e *diskError) Unwrap() error { return e.error }

// openPart opens what there is of a file, or nothing of it: a part from elsewhere, or of
// which nobody knows what it is a part of, is worth nothing.
func openPart(path, from string) (*part, error) {
	f, err := os.OpenFile(path+".part", os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make room for what is fetched: %w", err)
	}
	p := &part{path: path, file: f}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make room for what is fetched: %w", err), f.Close())
	}
	p.size = info.Size()
	raw, err := os.ReadFile(path + ".json")
	if err == nil {
		err = json.Unmarshal(raw, &p.known)
	}
	if err != nil || p.known.URL != from {
		p.known = partState{}
		if err := p.restart(); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	p.known.URL = from
	return p, nil
}

// restart forgets what came.
func (p *part) restart() error {
	if err := p.file.Truncate(0); err != nil {
		return &diskError{fmt.Errorf("begin anew: %w", err)}
	}
	p.size = 0
	return nil
}

// note keeps what the server said of what comes now.
func (p *part) note(v Validator) error {
	p.known.Validator = v
	raw, err := json.Marshal(p.known)
	if err == nil {
		err = os.WriteFile(p.path+".json", raw, 0o600)
	}
	if err != nil {
		return &diskError{fmt.Errorf("note what is fetched: %w", err)}
	}
	return nil
}

func (p *part) write(data []byte) error {
	n, err := p.file.Write(data)
	p.size += int64(n)
	if err != nil {
		return &diskError{fmt.Errorf("write what is fetched: %w", err)}
	}
	return nil
}

// finish makes the part the file.
func (p *part) finish() error {
	if err := p.file.Close(); err != nil {
		return fmt.Errorf("keep what was fetched: %w", err)
	}
	if err := os.Rename(p.path+".part", p.path); err != nil {
		return fmt.Errorf("keep what was fetched: %w", err)
	}
	return os.Remove(p.path + ".json")
}

// drop removes a part of which nothing is wanted.
func (p *part) drop() error {
	return errors.Join(remove(p.path+".part"), remove(p.path+".json"))
}

func (p *part) close() { _ = p.file.Close() } // who writes to it is told

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", filepath.Base(path), err)
	}
	return nil
}
