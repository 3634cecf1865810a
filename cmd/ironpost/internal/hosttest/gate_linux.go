package hosttest

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Gate stands before dockerd's socket. It passes calls on, records those that change
// something, and holds the one that a test waits for: before Docker has it, or when
// Docker has done it and its caller does not know. It is safe for concurrent use.
type Gate struct {
	// Socket is the path at which it listens.
	Socket string

	reverse httputil.ReverseProxy
	mu      sync.Mutex
	calls   []string
	reads   int
	holds   []*Hold
	refuse  []*refusal
}

// Hold is a call that is to be held, or is.
type Hold struct {
	path  *regexp.Regexp
	pass  int // so many are not held
	after bool
	gate  *Gate

	reached, let, gone chan struct{}
	once               sync.Once
}

type refusal struct {
	path *regexp.Regexp
	pass int // so many are passed on first
	left int // so many are not, then
}

// StartGate starts a gate before a dockerd, which ends with the test.
func StartGate(t testing.TB, d *Docker) *Gate {
	t.Helper()
	dir, err := os.MkdirTemp("", "gate") // short: sockets' paths are bounded
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{Socket: filepath.Join(dir, "docker.sock")}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", d.Socket)
		},
		DisableKeepAlives: true, // a dockerd that was restarted has nothing of its predecessor's
	}
	g.reverse = httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "docker" },
		Transport:      transport,
		FlushInterval:  -1,
		ModifyResponse: g.answered,
		// A caller of Docker's that ended sees its connection end.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	listener, err := net.Listen("unix", g.Socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: g, ReadHeaderTimeout: time.Minute}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // it ends when it is closed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
		transport.CloseIdleConnections()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return g
}

// Hold has the gate hold the nth call from now on, from 1, whose method and path
// match, such as "POST /networks/.*/disconnect": before Docker gets it, or with after
// when Docker has answered. A call whose caller is gone is not passed on.
func (g *Gate) Hold(call string, nth int, after bool) *Hold {
	h := &Hold{path: regexp.MustCompile(call), pass: nth - 1, after: after, gate: g, reached: make(chan struct{}), let: make(chan struct{}), gone: make(chan struct{})}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holds = append(g.holds, h)
	return h
}

// Refuse has the gate answer some calls that match with an error of the server, in
// place of Docker: the nth from now on, from 1, and those after it, so many in all.
func (g *Gate) Refuse(call string, nth, times int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refuse = append(g.refuse, &refusal{path: regexp.MustCompile(call), pass: nth - 1, left: times})
}

// Reached is closed when the call is held.
func (h *Hold) Reached() <-chan struct{} { return h.reached }

// Gone is closed when the caller of a held call has gone, and the call with it.
func (h *Hold) Gone() <-chan struct{} { return h.gone }

// Let lets the call go on, or has none held. It may be called more than once.
func (h *Hold) Let() {
	h.once.Do(func() { close(h.let) })
	h.gate.mu.Lock()
	defer h.gate.mu.Unlock()
	for i, o := range h.gate.holds {
		if o == h {
			h.gate.holds = append(h.gate.holds[:i], h.gate.holds[i+1:]...)
			return
		}
	}
}

// Calls returns the calls so far that change something, with their bodies, in the
// order in which they came.
func (g *Gate) Calls() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.calls...)
}

// Reads counts the calls so far that change nothing.
func (g *Gate) Reads() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reads
}

// version is what clients put in front of the path.
var version = regexp.MustCompile(`^/v[0-9.]+/`)

func name(r *http.Request) string {
	return r.Method + " " + version.ReplaceAllString(r.URL.Path, "/")
}

// take returns the hold of a call that has come to a point, nil for none.
func (g *Gate) take(call string, after bool) *Hold {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, h := range g.holds {
		if h.after != after || !h.path.MatchString(call) {
			continue
		}
		if h.pass--; h.pass < 0 {
			g.holds = append(g.holds[:i], g.holds[i+1:]...)
			return h
		}
	}
	return nil
}

// wait holds a call until it is let go on; false when its caller is gone.
func (h *Hold) wait(ctx context.Context) bool {
	close(h.reached)
	select {
	case <-h.let:
		return true
	case <-ctx.Done():
		close(h.gone)
		return false
	}
}

// refused reports whether a call is not passed on.
func (g *Gate) refused(call string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.refuse {
		switch {
		case !r.path.MatchString(call):
		case r.pass > 0:
			r.pass--
		case r.left > 0:
			r.left--
			return true
		}
	}
	return false
}

// ServeHTTP implements http.Handler.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := name(r)
	const most = 1 << 20
	body, err := io.ReadAll(io.LimitReader(r.Body, most))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if h := g.take(call, false); h != nil && !h.wait(r.Context()) {
		panic(http.ErrAbortHandler)
	}
	if g.refused(call) {
		http.Error(w, `{"message":"refused by the test"}`, http.StatusInternalServerError)
		return
	}
	g.mu.Lock()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		g.calls = append(g.calls, strings.TrimSpace(call+" "+string(body)))
	} else {
		g.reads++
	}
	g.mu.Unlock()
	g.reverse.ServeHTTP(w, r)
}

// answered holds a call that Docker has answered.
func (g *Gate) answered(resp *http.Response) error {
	if h := g.take(name(resp.Request), true); h != nil {
		h.wait(resp.Request.Context())
	}
	return nil
}
