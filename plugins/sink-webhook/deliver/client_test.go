package deliver

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func message(n int) Message {
	return Message{ID: fmt.Sprintf("message-%d", n), Body: fmt.Appendf(nil, `{"n":%d}`, n)}
}

func TestDeliversSigned(t *testing.T) {
	r := receive(t)
	client := r.client(func(c *Config) { c.Bearer = "token" })
	if err := client.Deliver(t.Context(), message(1)); err != nil {
		t.Fatal(err)
	}
	got := r.all()
	if len(got) != 1 || got[0].id != "message-1" || got[0].body != `{"n":1}` || got[0].verified != nil {
		t.Errorf("got %+v, want message-1 once, verified", got)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json; charset=utf-8", "Authorization": "Bearer token", "User-Agent": "ironpost-sink-webhook",
	} {
		if got := got[0].header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if err := client.Health(); err != nil {
		t.Errorf("health: %v", err)
	}
}

// Whatever happens to an attempt, the message comes again under its id until it is
// taken, once, and the ones behind it wait.
func TestTriesAgainInOrder(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers []http.HandlerFunc
		health  string        // during the trouble
		timeout time.Duration // of an attempt that hangs
	}{
		{"500", []http.HandlerFunc{status(500), status(500), status(500)}, `500 Internal Server Error: "because [2J"`, 0},
		{"502 and 503", []http.HandlerFunc{status(502), status(503)}, "50", 0},
		{"429", []http.HandlerFunc{status(429), status(429, "Retry-After", "0")}, "429 Too Many Requests", 0},
		{"a wrong address", []http.HandlerFunc{status(404), status(410)}, "4", 0},
		{"a wrong token", []http.HandlerFunc{status(401), status(403)}, "40", 0},
		{"reset", []http.HandlerFunc{reset, reset}, "", 0},
		{"hang", []http.HandlerFunc{hang}, "no answer within 1s", time.Second},
		{"a status that does not exist", []http.HandlerFunc{status(799)}, "799", 0},
		{"a redirect that changes the method", []http.HandlerFunc{status(302, "Location", "/hook")}, "302 Found, a redirect that is not followed", 0},
		{"a redirect to nowhere", []http.HandlerFunc{status(307, "Location", "http://198.51.100.1/")}, "307 Temporary Redirect, a redirect", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := receive(t, tt.answers...)
			var seen []string
			client := r.client(func(c *Config) {
				if tt.timeout > 0 {
					c.Timeout = tt.timeout
				}
				c.Failed = func(err error) { seen = append(seen, err.Error()) }
			})
			var want []string
			for n := range 5 {
				m := message(n)
				if err := client.Deliver(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				want = append(want, string(m.Body))
			}
			if diff := cmp.Diff(want, r.taken()); diff != "" {
				t.Errorf("taken (-want +got):\n%s", diff)
			}
			all := r.all()
			if got, want := len(all), len(tt.answers)+5; got != want {
				t.Errorf("got %d attempts, want %d", got, want)
			}
			for i, a := range all[:min(len(all), len(tt.answers)+1)] {
				if a.id != "message-0" || a.verified != nil {
					t.Errorf("attempt %d: got %s, verified %v; want message-0", i, a.id, a.verified)
				}
			}
			if len(seen) != len(tt.answers) {
				t.Fatalf("told of the failures %q, want %d", seen, len(tt.answers))
			}
			if !strings.Contains(seen[0], tt.health) {
				t.Errorf("failure: got %q, want %q in it", seen[0], tt.health)
			}
			if err := client.Health(); err != nil {
				t.Errorf("health at the end: %v", err)
			}
		})
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	r := receive(t, status(429, "Retry-After", "1"))
	if err := r.client().Deliver(t.Context(), message(1)); err != nil {
		t.Fatal(err)
	}
	all := r.all()
	if len(all) != 2 {
		t.Fatalf("got %d attempts, want 2", len(all))
	}
	if waited := all[1].at.Sub(all[0].at); waited < time.Second {
		t.Errorf("waited %v, want a second or more", waited)
	}
}

// The next message waits for the pause that the receiver asked for, also when the
// one before it was given up.
func TestPauseOutlivesItsMessage(t *testing.T) {
	r := receive(t, status(429, "Retry-After", "1"))
	client := r.client()
	m := message(1)
	m.Deadline = time.Now().Add(50 * time.Millisecond)
	if err := client.Deliver(t.Context(), m); !errors.Is(err, ErrExpired) {
		t.Fatalf("got %v, want ErrExpired", err)
	}
	if err := client.Health(); err == nil || !strings.Contains(err.Error(), "429 Too Many Requests") {
		t.Errorf("health: got %v, want the 429", err)
	}
	if err := client.Deliver(t.Context(), message(2)); err != nil {
		t.Fatal(err)
	}
	all := r.all()
	if len(all) != 2 || all[1].at.Sub(all[0].at) < time.Second {
		t.Errorf("got %d attempts, want the second a second after the first", len(all))
	}
}

func TestGivesUp(t *testing.T) {
	t.Run("what is refused", func(t *testing.T) {
		r := receive(t, status(400))
		client := r.client()
		err := client.Deliver(t.Context(), message(1))
		var of *StatusError
		if !errors.Is(err, ErrRefused) || !errors.As(err, &of) || of.Status != 400 {
			t.Errorf("got %v, want ErrRefused with 400", err)
		}
		if err := client.Health(); err == nil || !strings.Contains(err.Error(), "the last message was given up") {
			t.Errorf("health: got %v", err)
		}
		if err := client.Deliver(t.Context(), message(2)); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{`{"n":2}`}, r.taken()); diff != "" {
			t.Errorf("taken (-want +got):\n%s", diff)
		}
		if err := client.Health(); err != nil {
			t.Errorf("health after a success: %v", err)
		}
	})
	t.Run("what is too old already", func(t *testing.T) {
		r := receive(t)
		m := message(1)
		m.Deadline = time.Now().Add(-time.Second)
		if err := r.client().Deliver(t.Context(), m); !errors.Is(err, ErrExpired) {
			t.Errorf("got %v, want ErrExpired", err)
		}
		if n := len(r.all()); n != 0 {
			t.Errorf("got %d attempts, want none", n)
		}
	})
}

func TestContextEndsADelivery(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{"in an attempt": hang, "in a pause": status(503, "Retry-After", "3600")} {
		t.Run(name, func(t *testing.T) {
			began := make(chan struct{})
			r := receive(t, func(w http.ResponseWriter, req *http.Request) {
				close(began)
				answer(w, req)
			})
			client := r.client(func(c *Config) { c.Timeout = time.Minute })
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-began; cancel() }()
			if err := client.Deliver(ctx, message(1)); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want Canceled", err)
			}
		})
	}
}

func TestRedirectsStayWithTheReceiver(t *testing.T) {
	other := receive(t)
	r := receive(t, status(308, "Location", "/elsewhere"))
	if err := r.client().Deliver(t.Context(), message(1)); err != nil {
		t.Fatal(err)
	}
	if all := r.all(); len(all) != 2 || all[1].body != `{"n":1}` || all[1].verified != nil {
		t.Errorf("got %+v, want the message at the place that the same server named", all)
	}
	r = receive(t, status(307, "Location", other.URL+"/hook"))
	if err := r.client().Deliver(t.Context(), message(2)); err != nil {
		t.Fatal(err)
	}
	if n := len(other.all()); n != 0 {
		t.Errorf("another server got %d requests, want none", n)
	}
	endless := status(307, "Location", "/again")
	r = receive(t, endless, endless, endless, endless, endless)
	if err := r.client().Deliver(t.Context(), message(3)); err != nil {
		t.Fatal(err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	chunk := strings.Repeat("x", 32<<10)
	var wrote int
	r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		for range 1 << 12 { // 128 MiB
			n, err := io.WriteString(w, chunk)
			if wrote += n; err != nil {
				return
			}
		}
	}, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 100 {
			w.Header().Set(fmt.Sprint("X-", i), chunk[:1000])
		}
	})
	var failures []string
	client := r.client(func(c *Config) {
		c.Timeout = 10 * time.Second
		c.Failed = func(err error) { failures = append(failures, err.Error()) }
	})
	if err := client.Deliver(t.Context(), message(1)); err != nil {
		t.Fatal(err)
	}
	if wrote > 32<<20 { // what the sockets hold, and no more
		t.Errorf("the receiver could write %d bytes", wrote)
	}
	if len(failures) != 2 || len(failures[0]) > 300 {
		t.Errorf("got the failures %q, want two, short", failures)
	}
}

func TestTLS(t *testing.T) {
	r := &receiver{t: t}
	r.Server = httptest.NewTLSServer(r)
	t.Cleanup(r.Close)
	right, wrong := x509.NewCertPool(), x509.NewCertPool()
	right.AddCert(r.Certificate())
	failed := make(chan error, 100)
	client := r.client(func(c *Config) {
		c.Failed = func(err error) {
			select {
			case failed <- err:
			default:
			}
		}
	})
	client.Trust(wrong, nil)
	done := make(chan error, 1)
	go func() { done <- client.Deliver(t.Context(), message(1)) }()
	var unknown x509.UnknownAuthorityError
	if err := <-failed; !errors.As(err, &unknown) {
		t.Errorf("got %v, want an unknown authority", err)
	}
	if n := len(r.all()); n != 0 {
		t.Errorf("got %d requests over a connection that nobody vouches for", n)
	}
	client.Trust(nil, errors.New("ca_file: not there"))
	for err := range failed {
		if err.Error() == "ca_file: not there" {
			break
		}
	}
	if err := client.Health(); err == nil || err.Error() != "ca_file: not there" {
		t.Errorf("health: got %v", err)
	}
	client.Trust(right, nil)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`{"n":1}`}, r.taken()); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
}

// A token in the URL is in no error, whatever goes wrong.
func TestErrorsKeepTheToken(t *testing.T) {
	r := receive(t)
	r.Close() // nobody listens there any more
	client := r.client(func(c *Config) {
		u, err := url.Parse(r.URL + "/hook/s3cret?key=s3cret")
		if err != nil {
			t.Fatal(err)
		}
		c.URL = u
	})
	m := message(1)
	m.Deadline = time.Now().Add(50 * time.Millisecond)
	err := client.Deliver(t.Context(), m)
	if !errors.Is(err, ErrExpired) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v, want ErrExpired without the token", err)
	}
	if err := client.Health(); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("health: got %v, want trouble without the token", err)
	}
}

func TestHealthTellsOfASlowReceiver(t *testing.T) {
	client := New(Config{URL: &url.URL{Host: "receiver.example"}, Timeout: time.Minute})
	client.begun = time.Now().Add(-slow - time.Second)
	if err := client.Health(); err == nil || err.Error() != "receiver.example has not answered for 4s" {
		t.Errorf("got %v", err)
	}
}
