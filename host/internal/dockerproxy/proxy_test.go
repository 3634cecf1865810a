package dockerproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// A connection that was refused in the middle of a request lingers half a second.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// daemon is what stands for Docker: it answers with what it was asked.
func daemon(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	path := filepath.Join(shortDir(t), "d")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: handler, ReadHeaderTimeout: time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return path
}

// shortDir is a directory whose name leaves room in a socket's address.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s %s", r.Method, r.RequestURI, body, r.Header.Get("X-Registry-Auth"))
}

// serve runs a proxy with grants before the daemon and returns a client of it.
func serve(t *testing.T, socket string, grants ...string) (*Proxy, *http.Client, string) {
	t.Helper()
	g, err := ParseGrants(grants)
	if err != nil {
		t.Fatal(err)
	}
	p := New(Config{Socket: socket, Grants: g})
	path := filepath.Join(shortDir(t), SocketName)
	s, err := p.Listen(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close a second time: %v", err)
		}
		p.Close()
	})
	return p, &http.Client{Transport: transport, Timeout: 20 * time.Second}, path
}

func ask(t *testing.T, c *http.Client, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://docker"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Registry-Auth", "secret")
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(out)
}

func TestCalls(t *testing.T) {
	_, c, _ := serve(t, daemon(t, echo), "read", "isolate", "POST /containers/web/stop", "POST /containers/web/start", "GET /containers/*/logs")
	const id = "/containers/0123abcd"
	for _, tt := range []struct {
		name, method, path, body string
		want                     string // what Docker is asked; "" when it is not
	}{
		{"ping", "GET", "/_ping", "", "GET /_ping  "},
		{"version", "GET", "/v1.41/version", "", "GET /v1.41/version  "},
		{"scope", "GET", "/v1.41" + id + "/json?size=1", "", "GET /v1.41" + id + "/json?size=1  "},
		{"image with slashes", "GET", "/images/docker.io/library/nginx:1@sha256:ab/json", "", "GET /images/docker.io/library/nginx:1@sha256:ab/json  "},
		{"rule", "POST", "/v1.43/containers/web/stop?t=3", "", "POST /v1.43/containers/web/stop?t=3  "},
		{"rule with a wildcard", "GET", id + "/logs?follow=1", "", "GET " + id + "/logs?follow=1  "},
		{"processes", "GET", id + "/top", "", "GET " + id + "/top  "},
		{"processes with columns", "GET", id + "/top?ps_args=-eo+pid%2Cargs", "", "GET " + id + "/top?ps_args=-eo+pid%2Cargs  "},
		{"processes with their environment", "GET", id + "/top?ps_args=auxe", "", ""},
		{"processes with that column", "GET", id + "/top?ps_args=-eo+pid%2Cenviron", "", ""},
		{"processes with another argument", "GET", id + "/top?ps_args=-eo+pid+e", "", ""},
		{"arguments given twice", "GET", id + "/top?ps_args=-eo+pid&ps_args=e", "", ""},
		{"arguments that old servers read", "GET", id + "/top?x=1;ps_args=e", "", ""},
		{"start", "POST", "/containers/web/start?detachKeys=a", "", "POST /containers/web/start?detachKeys=a  "},
		{"start from memory in a folder of the machine", "POST", "/containers/web/start?checkpoint=c&checkpoint-dir=%2Ftmp", "", ""},
		{"start that old servers read so", "POST", "/containers/web/start?x=1;checkpoint=c", "", ""},
		{"pause", "POST", id + "/pause", "", "POST " + id + "/pause  "},
		{"disconnect", "POST", "/networks/n1/disconnect", `{"container":"web","FORCE":true}`, `POST /networks/n1/disconnect {"Container":"web","Force":true} `},
		{
			"connect", "POST", "/networks/n1/connect", `{"Container":"web","EndpointConfig":{"IPAMConfig":{"IPv4Address":"172.18.0.5"},"Aliases":["a"],"Links":null}}`,
			`POST /networks/n1/connect {"Container":"web","EndpointConfig":{"IPAMConfig":{"IPv4Address":"172.18.0.5"},"Aliases":["a"]}} `,
		},

		{
			"quarantine", "POST", "/networks/create",
			`{"Driver":"bridge","Scope":"","IPAM":null,"Internal":true,"Attachable":false,"Ingress":false,"ConfigOnly":false,"ConfigFrom":null,` +
				`"Options":{"com.docker.network.bridge.enable_icc":"false"},"Labels":{"ironpost.protect":"true"},"Name":"ironpost-quarantine","CheckDuplicate":true}`,
			`POST /networks/create {"Name":"ironpost-quarantine","Driver":"bridge","Internal":true,"Options":{"com.docker.network.bridge.enable_icc":"false"},` +
				`"Labels":{"ironpost.protect":"true"},"CheckDuplicate":true} `,
		},
		{"a network of another name", "POST", "/networks/create", `{"Name":"x","Driver":"bridge","Internal":true}`, ""},
		{"a network that leads out", "POST", "/networks/create", `{"Name":"ironpost-quarantine","Driver":"bridge"}`, ""},
		{"a network on the machine's own", "POST", "/networks/create", `{"Name":"ironpost-quarantine","Driver":"macvlan","Internal":true}`, ""},
		{"a network with an option", "POST", "/networks/create", `{"Name":"ironpost-quarantine","Driver":"bridge","Internal":true,"Options":{"com.docker.network.bridge.name":"eth0"}}`, ""},
		{"a network with addresses", "POST", "/networks/create", `{"Name":"ironpost-quarantine","Driver":"bridge","Internal":true,"IPAM":{"Driver":"x"}}`, ""},
		{"a network of another", "POST", "/networks/create", `{"Name":"ironpost-quarantine","Driver":"bridge","Internal":true,"ConfigFrom":{"Network":"x"}}`, ""},
		{"another container's stop", "POST", "/containers/db/stop", "", ""},
		{"create", "POST", "/containers/create", `{"HostConfig":{"Privileged":true}}`, ""},
		{"exec", "POST", id + "/exec", `{}`, ""},
		{"attach", "POST", id + "/attach", "", ""},
		{"files of a container", "GET", id + "/archive?path=/etc/shadow", "", ""},
		{"files into a container", "PUT", id + "/archive", "x", ""},
		{"delete", "DELETE", id, "", ""},
		{"pull", "POST", "/images/create", "", ""},
		{"build", "POST", "/build", "", ""},
		{"swarm", "POST", "/swarm/init", "{}", ""},
		{"another method", "PUT", id + "/pause", "", ""},
		{"a body where none belongs", "POST", id + "/pause", "{}", ""},
		{"an unknown field", "POST", "/networks/n1/disconnect", `{"Container":"web","Privileged":true}`, ""},
		{"two bodies", "POST", "/networks/n1/disconnect", `{"Container":"web"}{"Container":"db"}`, ""},
		{"no JSON", "POST", "/networks/n1/connect", `hello`, ""},
		{"a body too long", "POST", "/networks/n1/connect", `{"Container":"` + strings.Repeat("x", maxBody) + `"}`, ""},
		{"an encoded slash", "GET", "/containers%2Fcreate/json", "", ""},
		{"an encoded dot", "GET", "/containers/%2e%2e/json", "", ""},
		{"dots", "GET", "/containers/../containers/json", "", ""},
		{"an empty element", "GET", "//containers/json", "", ""},
		{"a version twice", "GET", "/v1.41/v1.41/containers/json", "", ""},
		{"a control character", "GET", "/containers/%0a/json", "", ""},
		{"a query too long", "GET", "/events?x=" + strings.Repeat("x", maxQuery), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, got := ask(t, c, tt.method, tt.path, tt.body)
			if tt.want == "" {
				if status != http.StatusForbidden && status != http.StatusRequestEntityTooLarge || !strings.Contains(got, `"message":"ironpost: refused`) {
					t.Errorf("got %d %q, want it refused in Docker's form", status, got)
				}
				return
			}
			if status != http.StatusOK || got != tt.want {
				t.Errorf("got %d %q, want Docker asked %q", status, got, tt.want)
			}
		})
	}
}

func TestCounts(t *testing.T) {
	p, c, _ := serve(t, daemon(t, echo), "read")
	ask(t, c, "GET", "/containers/json", "")
	ask(t, c, "POST", "/containers/create", "{}")
	ask(t, c, "DELETE", "/containers/web", "")
	if diff := cmp.Diff(Counts{Admitted: 1, Refused: 2}, p.Counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestDockerAbsent(t *testing.T) {
	p, c, _ := serve(t, filepath.Join(t.TempDir(), "none"), "read")
	status, got := ask(t, c, "GET", "/containers/json", "")
	if status != http.StatusBadGateway || !strings.Contains(got, "does not answer") {
		t.Errorf("got %d %q, want 502 that says so", status, got)
	}
	if n := p.Counts().Failed; n != 1 {
		t.Errorf("failed: got %d, want 1", n)
	}
}

// TestEvents reads an answer that does not end while it is being written.
func TestEvents(t *testing.T) {
	next := make(chan struct{})
	_, c, _ := serve(t, daemon(t, func(w http.ResponseWriter, r *http.Request) {
		for i := 0; ; i++ {
			fmt.Fprintf(w, "event %d\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	}), "read")
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for i := range 3 {
		if want := fmt.Sprintf("event %d", i); !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q, %v, want %q at once", lines.Text(), lines.Err(), want)
		}
		next <- struct{}{}
	}
	cancel()
}

// TestHijack asks for the connection itself, and has Docker offer it.
func TestHijack(t *testing.T) {
	offered := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "tcp")
		w.WriteHeader(http.StatusSwitchingProtocols)
	}
	p, c, path := serve(t, daemon(t, offered), "read")
	status, _ := ask(t, c, "GET", "/containers/json", "")
	if status != http.StatusBadGateway {
		t.Errorf("an offered upgrade: got %d, want 502", status)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /containers/json HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden || p.Counts().Refused != 1 {
		t.Errorf("an asked upgrade: got %d, %+v, want it refused and counted", resp.StatusCode, p.Counts())
	}
}

func TestBusy(t *testing.T) {
	release := make(chan struct{})
	arrived := make(chan struct{}, maxRequests)
	p, c, _ := serve(t, daemon(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}), "read")
	done := make(chan struct{}, maxRequests)
	for range maxRequests {
		go func() {
			defer func() { done <- struct{}{} }()
			resp, err := c.Get("http://docker/events")
			if err == nil {
				_ = resp.Body.Close()
			}
		}()
	}
	for range maxRequests {
		<-arrived
	}
	if status, _ := ask(t, c, "GET", "/info", ""); status != http.StatusTooManyRequests || p.Counts().Busy != 1 {
		t.Errorf("one too many: got %d, %+v, want 429, counted", status, p.Counts())
	}
	close(release)
	for range maxRequests {
		<-done
	}
}

func TestParseGrants(t *testing.T) {
	for _, tt := range []struct{ grant, want string }{
		{"read", ""},
		{"POST /containers/*/pause", ""},
		{"GET /containers/**", ""},
		{"GET /images/docker.io/**/json", ""},
		{"everything", "want one of read, settings, logs, files, isolate, stop"},
		{"POST /containers/create", "never admitted"},
		{"POST /containers/*/exec", "never admitted"},
		{"GET /containers/../json", "plain path"},
		{"GET containers/json", "METHOD /path"},
		{"GET /**/**", "at most one"},
		{"get /containers/json", "never admitted"},
		{"POST /**", ""},
	} {
		_, err := ParseGrants([]string{tt.grant})
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%q: got %v, want it read", tt.grant, err)
		case tt.want != "" && (!errors.Is(err, ErrGrant) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%q: got %v, want an error with %q", tt.grant, err, tt.want)
		}
	}
	if _, err := ParseGrants(make([]string, maxGrants+1)); !errors.Is(err, ErrGrant) {
		t.Errorf("too many: got %v, want an error", err)
	}
	// The widest rule there is opens no more than the table.
	g, err := ParseGrants([]string{"POST /**", "GET /**", "read"})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/containers/create", "/build", "/containers/x/exec", "/session", "/containers/x/attach", "/commit", "/containers/x/update"} {
		if _, ok := g.admits("POST", path); ok {
			t.Errorf("POST %s is admitted, want it never", path)
		}
	}
}

// FuzzAdmits holds every path that is admitted to being exactly one call of the table.
func FuzzAdmits(f *testing.F) {
	for _, seed := range []string{"/containers/json", "/containers/a/pause", "/images/a/b/json", "/networks/x/connect", "//", "/v1.41/info", "/images/../containers/create/json"} {
		f.Add("POST", seed)
		f.Add("GET", seed)
	}
	g, err := ParseGrants(append(Scopes(), "GET /**", "POST /**"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		if !sound(path) {
			return
		}
		if filepath.ToSlash(filepath.Clean(path)) != path {
			t.Fatalf("%q is taken for sound, and cleans to %q", path, filepath.Clean(path))
		}
		e, ok := g.admits(method, path)
		if !ok {
			return
		}
		last := elements(path)[len(elements(path))-1]
		switch last {
		case "create", "exec", "attach", "build", "commit", "prune", "update", "session":
			if e.path[len(e.path)-1] == last {
				t.Fatalf("%s %q is admitted by %v", method, path, e.path)
			}
		}
	})
}

func FuzzConnectBody(f *testing.F) {
	f.Add([]byte(`{"Container":"web","EndpointConfig":{"Aliases":["a"]}}`))
	f.Add([]byte(`{"container":"web","Container":"db"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		out, err := connectBody(body)
		if err != nil {
			return
		}
		again, err := connectBody(out)
		if err != nil || string(again) != string(out) {
			t.Fatalf("%q is sent on as %q, which reads as %q, %v", body, out, again, err)
		}
	})
}
