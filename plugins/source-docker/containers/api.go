package containers

import (
	"bufio"
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

const (
	// maxAnswer bounds an answer that is read whole, and one event, in bytes.
	maxAnswer = 32 << 20
	maxEvent  = 1 << 20
	// listTimeout is how long listing may take.
	listTimeout = time.Minute
)

// Calls are the calls of Docker's API that this package makes. "settings" is
// inspecting a container without its environment and the secrets in it.
func Calls() []string {
	return []string{"GET /containers/json", "settings", "GET /containers/*/logs", "GET /events"}
}

// statusError is an answer of Docker's that is not 200.
type statusError struct {
	code    int
	message string
}

func (e *statusError) Error() string { return fmt.Sprintf("%s (%d)", e.message, e.code) }

// api calls Docker. It is safe for concurrent use.
type api struct {
	client    *http.Client
	transport *http.Transport
}

// newAPI returns an api on the Unix socket at path.
func newAPI(path string) *api {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
		DisableCompression: true,
		MaxIdleConns:       2,
		IdleConnTimeout:    time.Minute,
	}
	return &api{client: &http.Client{Transport: transport}, transport: transport}
}

func (a *api) close() { a.transport.CloseIdleConnections() }

// get begins a call. The caller closes the body, which ctx ends too.
func (a *api) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	// Without a version Docker answers in its newest form, of which this package
	// reads what has been the same in all of them.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var answer struct {
		Message string `json:"message"`
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if json.Unmarshal(text, &answer) != nil || answer.Message == "" {
		answer.Message = http.StatusText(resp.StatusCode)
	}
	return nil, &statusError{resp.StatusCode, answer.Message}
}

// container is what Docker lists of one.
type container struct {
	ID     string `json:"Id"`
	Names  []string
	Image  string
	Labels map[string]string
	State  string
	// Command is what the container runs, with its arguments.
	Command string
}

// name is the container's own name; others are links.
func (c *container) name() string {
	for _, n := range c.Names {
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") {
			return n
		}
	}
	return ""
}

func (c *container) running() bool { return c.State == "running" || c.State == "paused" }

// list returns all containers, running or not.
func (a *api) list(ctx context.Context) ([]container, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	body, err := a.get(ctx, "/containers/json", url.Values{"all": {"1"}})
	if err != nil {
		return nil, fmt.Errorf("list the containers: %w", err)
	}
	defer body.Close()
	var out []container
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&out); err != nil {
		return nil, fmt.Errorf("list the containers: %w", err)
	}
	return out, nil
}

// logs begins the lines of a container that are stamped at since or later.
func (a *api) logs(ctx context.Context, id string, since int64, follow bool) (io.ReadCloser, error) {
	query := url.Values{"stdout": {"1"}, "stderr": {"1"}, "timestamps": {"1"}}
	if since > 0 {
		query.Set("since", stamp(since))
	}
	if follow {
		query.Set("follow", "1")
	}
	body, err := a.get(ctx, "/containers/"+url.PathEscape(id)+"/logs", query)
	if err != nil {
		return nil, fmt.Errorf("read the output of %.12s: %w", id, err)
	}
	return body, nil
}

// stamp writes nanoseconds since 1970 as Docker wants them: seconds, with nine
// digits behind the point.
func stamp(ns int64) string {
	return fmt.Sprintf("%d.%09d", ns/int64(time.Second), ns%int64(time.Second))
}

// engineEvent is one event of Docker's.
type engineEvent struct {
	Type   string
	Action string
	Actor  struct {
		ID         string
		Attributes map[string]string
	}
	Time     int64 `json:"time"`
	TimeNano int64 `json:"timeNano"`
}

// at is when it happened, in nanoseconds since 1970.
func (e *engineEvent) at() int64 {
	if e.TimeNano != 0 {
		return e.TimeNano
	}
	return e.Time * int64(time.Second)
}

// events calls each with every event since a time, and with what follows, until
// ctx is done or the connection ends; begun is called once it stands. The error
// is never nil.
func (a *api) events(ctx context.Context, since int64, begun func(), each func([]byte, *engineEvent) error) error {
	query := url.Values{}
	if since > 0 {
		query.Set("since", stamp(since))
	}
	body, err := a.get(ctx, "/events", query)
	if err != nil {
		return fmt.Errorf("follow the events: %w", err)
	}
	defer body.Close()
	begun()
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 16<<10), maxEvent)
	for lines.Scan() {
		var e engineEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		if err := each(lines.Bytes(), &e); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("follow the events: %w", err)
	}
	return fmt.Errorf("follow the events: %w", io.EOF)
}

// permanent reports whether asking again is of no use until the container is
// started anew: its output goes where Docker cannot read it.
func permanent(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && e.code != http.StatusNotFound && strings.Contains(e.message, "does not support reading")
}

func notFound(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && (e.code == http.StatusNotFound || e.code == http.StatusConflict && strings.Contains(e.message, "marked for removal"))
}
