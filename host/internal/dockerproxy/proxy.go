package dockerproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// SocketName is the file name of the socket in a plugin's private directory.
const SocketName = "docker.sock"

// Bounds of one plugin's use.
const (
	maxRequests = 256 // under way: one for each container whose output is followed
	headerBytes = 16 << 10
	// connections: more wait until one is closed, and take none of the host's descriptors.
	maxConnections = 2 * maxRequests
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	answerTimeout  = 5 * time.Minute // to the first byte: stopping a container may take that long
	dialTimeout    = 10 * time.Second
	logEvery       = time.Second // refusals that are named in the log
)

// Config says what a Proxy forwards and where to.
type Config struct {
	// Socket is the path of the Docker daemon's socket.
	Socket string
	Grants Grants
	// Logger names refused calls; nil is silent.
	Logger hclog.Logger
}

// Counts are what became of the plugin's calls.
type Counts struct {
	// Admitted were sent on. Of them Failed got no answer from Docker.
	Admitted, Failed uint64
	// Refused were not granted, or were not sound; Busy came while too many were under way.
	Refused, Busy uint64
}

// Proxy serves the granted part of the Docker API to one plugin.
type Proxy struct {
	config    Config
	reverse   httputil.ReverseProxy
	transport *http.Transport
	slots     chan struct{}

	admitted, failed, refused, busy atomic.Uint64

	logMu    sync.Mutex
	logged   time.Time
	unlogged int
}

// New returns a proxy. It does nothing until a [Socket] of it runs.
func New(c Config) *Proxy {
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	p := &Proxy{config: c, slots: make(chan struct{}, maxRequests)}
	dialer := &net.Dialer{Timeout: dialTimeout}
	p.transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", c.Socket)
		},
		DisableCompression:    true,
		MaxIdleConns:          2,
		IdleConnTimeout:       idleTimeout,
		ResponseHeaderTimeout: answerTimeout,
	}
	p.reverse = httputil.ReverseProxy{
		Rewrite:        rewrite,
		Transport:      p.transport,
		FlushInterval:  -1, // events and logs are passed on as they come
		ModifyResponse: answered,
		ErrorHandler:   p.unreachable,
		ErrorLog:       c.Logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	return p
}

// Close lets go of the idle connections to Docker. It may be called more than
// once; the proxy stays usable.
func (p *Proxy) Close() { p.transport.CloseIdleConnections() }

// Counts returns what became of the calls so far.
func (p *Proxy) Counts() Counts {
	return Counts{Admitted: p.admitted.Load(), Failed: p.failed.Load(), Refused: p.refused.Load(), Busy: p.busy.Load()}
}

// Socket is one listening socket of a plugin.
type Socket struct {
	listener *limited
	server   *http.Server
}

// Listen makes the plugin's socket at path, for the user uid alone; 0 leaves it
// to the host's user. Connections wait until [Socket.Run].
func (p *Proxy) Listen(path string, uid uint32) (*Socket, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("make the plugin's Docker socket: %w", err)
	}
	// The path may lead through a descriptor whose number is another's by then.
	l.SetUnlinkOnClose(false)
	err = os.Chmod(path, 0o600)
	if err == nil && uid != 0 {
		err = os.Lchown(path, int(uid), int(uid))
	}
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("give the plugin its Docker socket: %w", err)
	}
	return &Socket{listener: newLimited(l, maxConnections), server: &http.Server{
		Handler:           p,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          p.config.Logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}}, nil
}

// Run serves until ctx is done or Close, and then ends every request under way.
func (s *Socket) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serve the plugin's Docker socket: %w", err)
	}
	return nil
}

// Close ends Run and every request under way. It may be called more than once.
func (s *Socket) Close() error {
	err := errors.Join(s.server.Close(), s.listener.Close())
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// version is what the clients put in front of the path.
var version = regexp.MustCompile(`^/v[0-9]{1,3}\.[0-9]{1,3}(/.*)$`)

// ServeHTTP answers one call.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	default:
		p.busy.Add(1)
		answer(w, http.StatusTooManyRequests, fmt.Sprintf("ironpost: %d requests are under way, the most there may be", maxRequests))
		return
	}
	body, e, status, err := p.check(w, r)
	if err != nil {
		p.refused.Add(1)
		p.note(r, err)
		answer(w, status, fmt.Sprintf("ironpost: refused: %s %s: %v", r.Method, r.URL.Path, err))
		return
	}
	p.admitted.Add(1)
	r.Body, r.ContentLength, r.TransferEncoding = http.NoBody, 0, nil
	if body != nil {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	p.reverse.ServeHTTP(w, withEndpoint(r, e))
}

var (
	errGranted = errors.New("not granted")
	errPath    = errors.New("the path can be read in more than one way")
	errQuery   = errors.New("the query is too long")
	errUpgrade = errors.New("a connection is not handed over")
)

// check returns the body to send on and what the call is for, or why it is
// refused.
func (p *Proxy) check(w http.ResponseWriter, r *http.Request) ([]byte, endpoint, int, error) {
	if r.Header.Get("Upgrade") != "" {
		return nil, endpoint{}, http.StatusForbidden, errUpgrade
	}
	if r.URL.RawPath != "" || !sound(r.URL.Path) {
		return nil, endpoint{}, http.StatusForbidden, errPath
	}
	if len(r.URL.RawQuery) > maxQuery {
		return nil, endpoint{}, http.StatusForbidden, errQuery
	}
	path := r.URL.Path
	if m := version.FindStringSubmatch(path); m != nil {
		path = m[1]
	}
	e, ok := p.config.Grants.admits(r.Method, path)
	if !ok {
		return nil, endpoint{}, http.StatusForbidden, errGranted
	}
	if e.query != nil {
		// What one reader leaves out, another may take.
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err == nil {
			err = e.query(query)
		}
		if err != nil {
			return nil, endpoint{}, http.StatusForbidden, err
		}
	}
	given, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, endpoint{}, http.StatusRequestEntityTooLarge, fmt.Errorf("read its body: %w", err)
	}
	body, err := e.body(given)
	if err != nil {
		return nil, endpoint{}, http.StatusForbidden, err
	}
	return body, e, 0, nil
}

// rewrite makes the request that Docker gets. Nothing of the plugin's goes into
// it but what was checked.
func rewrite(r *httputil.ProxyRequest) {
	r.Out.URL = &url.URL{Scheme: "http", Host: "docker", Path: r.In.URL.Path, RawQuery: r.In.URL.RawQuery}
	r.Out.Host = "docker"
	r.Out.Header = http.Header{"User-Agent": {"ironpost"}}
	if accept := r.In.Header.Get("Accept"); accept != "" {
		r.Out.Header.Set("Accept", accept)
	}
	if r.Out.ContentLength > 0 {
		r.Out.Header.Set("Content-Type", "application/json")
	}
}

// answered keeps Docker from handing a connection over on its own, and leaves
// out of its answer what was not granted.
func answered(r *http.Response) error {
	if r.StatusCode == http.StatusSwitchingProtocols {
		return errUpgrade
	}
	return shorten(r)
}

func (p *Proxy) unreachable(w http.ResponseWriter, r *http.Request, err error) {
	p.failed.Add(1)
	if r.Context().Err() != nil {
		return // the plugin has gone
	}
	answer(w, http.StatusBadGateway, fmt.Sprintf("ironpost: Docker does not answer on %s: %v", p.config.Socket, err))
}

// answer writes an error in the form of Docker's own.
func answer(w http.ResponseWriter, status int, message string) {
	body, err := json.Marshal(map[string]string{"message": message})
	if err != nil {
		body = nil // a string always encodes
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // who asked may have gone
}

// note names a refused call in the log, or counts it there.
func (p *Proxy) note(r *http.Request, err error) {
	p.logMu.Lock()
	defer p.logMu.Unlock()
	now := time.Now()
	if now.Sub(p.logged) < logEvery {
		p.unlogged++
		return
	}
	path := r.URL.Path
	if len(path) > 256 {
		path = path[:256]
	}
	p.config.Logger.Warn("a Docker call was refused", "method", strconv.Quote(r.Method), "path", strconv.Quote(path), "error", err, "others", p.unlogged)
	p.logged, p.unlogged = now, 0
}
