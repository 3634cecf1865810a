package deliver

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	maxAnswer       = 64 << 10
	maxHeaders      = 16 << 10
	maxRedirects    = 3
	maxQuoted       = 200 // bytes of an answer that an error quotes
	connectTimeout  = 5 * time.Second
	keepAliveProbes = 30 * time.Second
	idleTimeout     = 90 * time.Second
	// slow is when an attempt that is under way begins to count as trouble: well
	// before a host ends a plugin that owes an answer and says it is well.
	slow = 3 * time.Second
)

// Config says where to and how. URL, Timeout, RetryMin and RetryMax are required.
type Config struct {
	URL *url.URL
	// Secrets sign; none sends unsigned messages.
	Secrets [][]byte
	// Bearer, when set, is sent as "Authorization: Bearer".
	Bearer string
	// Timeout bounds an attempt, from the connection to the end of the answer.
	Timeout time.Duration
	// RetryMin is the first pause after a failure, RetryMax the longest.
	RetryMin, RetryMax time.Duration
	// Permanent are the statuses after which a message is given up.
	Permanent []int
	// Failed, when set, is told of every attempt that failed.
	Failed func(error)
}

// Message is what is delivered.
type Message struct {
	// ID is the message's own, the same whenever it is delivered again.
	ID string
	// Body is JSON. It belongs to the caller again when Deliver returns.
	Body []byte
	// Deadline is when the message is no longer worth sending; zero is never.
	Deadline time.Time
}

// Errors of Deliver, after which the next message has its turn.
var (
	// ErrRefused says that the receiver will never take the message.
	ErrRefused = errors.New("the receiver refused it")
	// ErrExpired says that the deadline went by.
	ErrExpired = errors.New("it could not be delivered in time")
)

// Client delivers to one receiver.
type Client struct {
	config Config

	mu       sync.Mutex
	http     *http.Client
	trouble  error     // of the certificate authorities
	begun    time.Time // of the attempt that is under way; zero is none
	failures int       // attempts since the last success
	last     error     // of the last attempt
	since    time.Time // of the first of these failures
	next     time.Time // of the next attempt; zero is at once
	given    error     // why the last message was given up, nil after a success
}

// New returns a client. It begins nothing.
func New(c Config) *Client {
	client := &Client{config: c}
	client.http = client.connect(nil)
	return client
}

// Trust replaces the system's certificate authorities by those of pool. With err
// nothing is delivered until a later call says better.
func (c *Client) Trust(pool *x509.CertPool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trouble = err; err != nil {
		return
	}
	c.http.CloseIdleConnections()
	c.http = c.connect(pool)
	c.next = time.Time{} // it may do now
}

// connect makes the HTTP client.
func (c *Client) connect(roots *x509.CertPool) *http.Client {
	dialer := net.Dialer{Timeout: min(connectTimeout, c.config.Timeout), KeepAlive: keepAliveProbes}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // what the environment says is not the operator's word
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{},
			TLSHandshakeTimeout:    c.config.Timeout,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        idleTimeout,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeaders,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if from := via[0]; len(via) > maxRedirects || req.Method != from.Method || req.URL.Scheme != from.URL.Scheme || req.URL.Host != from.URL.Host {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

// Close closes the connection. It may be called more than once, and the client
// still works afterwards.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.http.CloseIdleConnections()
}

// Deliver sends a message until the receiver takes it. It returns nil, an error
// that wraps ErrRefused or ErrExpired, or the cause of ctx when that is done first.
func (c *Client) Deliver(ctx context.Context, m Message) error {
	for {
		if err := c.rest(ctx, m.Deadline); err != nil {
			return err
		}
		if !m.Deadline.IsZero() && !time.Now().Before(m.Deadline) {
			return c.giveUp()
		}
		err := c.attempt(ctx, m)
		switch {
		case err == nil || errors.Is(err, ErrRefused):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}

// rest waits for the time of the next attempt, or for the deadline when that is
// sooner: what could not be delivered before is no reason to hurry now.
func (c *Client) rest(ctx context.Context, deadline time.Time) error {
	c.mu.Lock()
	at := c.next
	c.mu.Unlock()
	if !deadline.IsZero() && deadline.Before(at) {
		at = deadline
	}
	wait := time.Until(at)
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// attempt sends the message once, and sets the time of the next attempt after an
// error that is worth one.
func (c *Client) attempt(ctx context.Context, m Message) (err error) {
	c.mu.Lock()
	client, trouble := c.http, c.trouble
	c.begun = time.Now()
	c.mu.Unlock()
	var after time.Duration
	if err = trouble; err == nil {
		after, err = c.post(ctx, client, m)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = time.Time{}
	switch {
	case err == nil:
		c.failures, c.last, c.given, c.next = 0, nil, nil, time.Time{}
		return nil
	case ctx.Err() != nil:
		return err
	}
	if c.config.Failed != nil {
		c.config.Failed(err)
	}
	if errors.Is(err, ErrRefused) { // the receiver is there
		c.failures, c.last, c.given, c.next = 0, nil, err, time.Time{}
		return err
	}
	if c.failures == 0 {
		c.since = time.Now()
	}
	c.failures++
	c.last, c.next = err, time.Now().Add(max(pause(c.config.RetryMin, c.config.RetryMax, c.failures), after))
	return err
}

// post makes one request. after is what Retry-After asks for.
func (c *Client) post(ctx context.Context, client *http.Client, m Message) (after time.Duration, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.config.Timeout, errTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.config.URL.String(), bytes.NewReader(m.Body))
	if err != nil {
		return 0, fmt.Errorf("make the request: %w", bare(err))
	}
	now := time.Now()
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "ironpost-sink-webhook")
	req.Header.Set(HeaderID, m.ID)
	req.Header.Set(HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	if s := Sign(c.config.Secrets, m.ID, now, m.Body); s != "" {
		req.Header.Set(HeaderSignature, s)
	}
	if c.config.Bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.config.Bearer)
	}
	resp, err := client.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errTimeout) {
			return 0, fmt.Errorf("%w within %v", errTimeout, c.config.Timeout)
		}
		return 0, bare(err)
	}
	defer resp.Body.Close()
	// Read to the end, so that the connection can be used again; of one that ends
	// early the status counts.
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 == 2 {
		return 0, nil
	}
	failed := &StatusError{Status: resp.StatusCode, Answer: quotable(answer)}
	if slices.Contains(c.config.Permanent, resp.StatusCode) {
		return 0, fmt.Errorf("%w: %w", ErrRefused, failed)
	}
	return retryAfter(resp.Header.Get("Retry-After"), now), failed
}

// giveUp notes that the deadline of a message went by.
func (c *Client) giveUp() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	why := ErrExpired
	if c.last != nil {
		why = fmt.Errorf("%w: %w", why, c.last)
	}
	c.given = why
	return why
}

// Health says what keeps messages from being delivered, or why the last one was
// given up; nil when the last one was taken, and at the start.
func (c *Client) Health() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch {
	case c.trouble != nil:
		return c.trouble
	case c.failures > 0 && c.next.After(now):
		return fmt.Errorf("%s does not take messages since %s; attempt %d in %v: %w",
			c.config.URL.Host, c.since.UTC().Format(time.RFC3339), c.failures+1, c.next.Sub(now).Round(time.Second), c.last)
	case c.failures > 0:
		return fmt.Errorf("%s does not take messages since %s; attempt %d is under way: %w",
			c.config.URL.Host, c.since.UTC().Format(time.RFC3339), c.failures+1, c.last)
	case !c.begun.IsZero() && now.Sub(c.begun) > slow:
		return fmt.Errorf("%s has not answered for %v", c.config.URL.Host, now.Sub(c.begun).Round(time.Second))
	case c.given != nil:
		return fmt.Errorf("%s: the last message was given up: %w", c.config.URL.Host, c.given)
	}
	return nil
}

var errTimeout = errors.New("no answer")

// bare takes the URL, which may hold a token, off an error of package net/http.
func bare(err error) error {
	if of, ok := errors.AsType[*url.Error](err); ok {
		return of.Err
	}
	return err
}
