package enginetest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Front stands before a dockerd as one of another version would: it announces its own
// newest API, refuses calls outside of what it serves with Docker's words, and passes
// on all others, those of APIs that dockerd does not know as calls of dockerd's newest.
type Front struct {
	// Socket is the path of its API.
	Socket string

	oldest, newest string
	real           string

	mu    sync.Mutex
	calls map[string]int
}

// Front starts a Front that serves a range of APIs, as "1.24" to "1.51", until the end
// of the test.
func (d *Docker) Front(t testing.TB, oldest, newest string) *Front {
	t.Helper()
	f := &Front{Socket: filepath.Join(d.dir, "front-"+newest), oldest: oldest, newest: newest, real: d.api(t), calls: map[string]int{}}
	l, err := net.Listen("unix", f.Socket)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.Socket)
	}}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "docker"
			if version, rest := split(r.In.URL.Path); older(f.real, version) {
				r.Out.URL.Path = "/v" + f.real + rest
			}
		},
		Transport:     transport,
		FlushInterval: -1,
		ModifyResponse: func(r *http.Response) error {
			r.Header.Set("Api-Version", newest)
			return nil
		},
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		version, rest := split(r.URL.Path)
		f.note(r.Method + " " + rest)
		switch {
		case version != "" && older(newest, version):
			refuse(w, fmt.Sprintf("client version %s is too new. Maximum supported API version is %s", version, newest))
		case version != "" && older(version, oldest):
			refuse(w, fmt.Sprintf("client version %s is too old. Minimum supported API version is %s, please upgrade your client to a newer version", version, oldest))
		default:
			pass.ServeHTTP(w, r)
		}
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) }) // it ends when it is closed
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
		transport.CloseIdleConnections()
	})
	return f
}

// Calls are the calls that came, as "GET /containers/json", each once.
func (f *Front) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []string{}
	for call := range f.calls {
		out = append(out, call)
	}
	slices.Sort(out)
	return out
}

// Forget forgets the calls that came so far.
func (f *Front) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.calls)
}

func (f *Front) note(call string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[call]++
}

// Serves reports whether dockerd serves an API, as "1.48".
func (d *Docker) Serves(version string) bool {
	d.t.Helper()
	return !older(d.api(d.t), version)
}

// api is the newest API of the dockerd.
func (d *Docker) api(t testing.TB) string {
	t.Helper()
	resp, err := d.client.Get("http://docker/_ping")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.Header.Get("Api-Version")
}

var versioned = regexp.MustCompile(`^/v([0-9]+\.[0-9]+)(/.*)$`)

func split(path string) (version, rest string) {
	if m := versioned.FindStringSubmatch(path); m != nil {
		return m[1], m[2]
	}
	return "", path
}

// older compares versions such as 1.24; none is older than "".
func older(a, b string) bool {
	number := func(s string) int {
		_, minor, _ := strings.Cut(s, ".")
		n, err := strconv.Atoi(minor)
		if err != nil {
			return -1
		}
		return n
	}
	return number(a) < number(b)
}

func refuse(w http.ResponseWriter, message string) {
	body, err := json.Marshal(map[string]string{"message": message})
	if err != nil {
		body = nil // a string always encodes
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(body) // who asked may have gone
}
