package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ErrUnreachable is in errors that say that nobody answered.
var ErrUnreachable = errors.New("no answer from Docker")

// StatusError is an answer that is not 200.
type StatusError struct {
	Code int
	// Message is Docker's, or, where it says nothing, the text of the code.
	Message string
}

// Error implements error.
func (e *StatusError) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

// Unwrap tells that it was the host who answered, since Docker did not.
func (e *StatusError) Unwrap() error {
	if e.Code == http.StatusBadGateway || e.Code == http.StatusGatewayTimeout {
		return ErrUnreachable
	}
	return nil
}

// NotFound reports whether an error says that what was asked for does not exist, or is
// being removed.
func NotFound(err error) bool {
	e, ok := errors.AsType[*StatusError](err)
	return ok && (e.Code == http.StatusNotFound || e.Code == http.StatusConflict && strings.Contains(e.Message, "marked for removal"))
}

// Client asks one Docker.
type Client struct {
	http      *http.Client
	transport *http.Transport
}

// idleConns are kept for the next calls.
const idleConns = 2

// New returns a Client of the Unix socket at path. It calls nobody.
func New(path string) *Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, "unix", path)
			if err != nil && ctx.Err() == nil {
				err = fmt.Errorf("%w: %w", ErrUnreachable, err)
			}
			return conn, err
		},
		DisableCompression:  true,
		MaxIdleConns:        idleConns,
		MaxIdleConnsPerHost: idleConns,
		IdleConnTimeout:     time.Minute,
	}
	return &Client{http: &http.Client{Transport: transport}, transport: transport}
}

// Close lets go of idle connections. It may be called more than once.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Get makes a call and returns the answer, which the caller closes. The error is a
// *StatusError when Docker answered with one.
func (c *Client) Get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	address := &url.URL{Scheme: "http", Host: "docker", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		// The address in it says nothing: it is always the same socket.
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err
		}
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer func() { _ = resp.Body.Close() }() // it was read only
	var answer struct {
		Message string `json:"message"`
	}
	const most = 64 << 10
	text, _ := io.ReadAll(io.LimitReader(resp.Body, most)) // whatever it says
	if json.Unmarshal(text, &answer) != nil || answer.Message == "" {
		answer.Message = http.StatusText(resp.StatusCode)
	}
	return nil, &StatusError{resp.StatusCode, answer.Message}
}

// Bounds of what is read as a whole, in bytes.
const (
	maxAnswer = 32 << 20
	maxEvent  = 1 << 20
)

// Read makes a call and decodes the answer, one JSON value of at most 32 MiB, into v.
func (c *Client) Read(ctx context.Context, path string, query url.Values, v any) error {
	body, err := c.Get(ctx, path, query)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it was read only
	return json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(v)
}
