package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// file is what the servers of these tests have.
var file = bytes.Repeat([]byte("advisories "), 100_000)

// server serves over TLS, on loopback.
func server(t *testing.T, h http.HandlerFunc) (*httptest.Server, *Client) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(func() {
		s.Client().CloseIdleConnections()
		s.Close()
	})
	return s, &Client{HTTP: s.Client(), MaxBytes: 8 << 20, Pause: time.Millisecond}
}

// content serves the file as the standard library does: with ranges and validators.
func content(w http.ResponseWriter, r *http.Request, etag string, data []byte) {
	w.Header().Set("ETag", etag)
	http.ServeContent(w, r, "all.zip", time.Time{}, bytes.NewReader(data))
}

// left lists what is beside the file.
func left(t *testing.T, path string) (names []string) {
	t.Helper()
	all, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		names = append(names, filepath.Base(name))
	}
	return names
}

func TestFetch(t *testing.T) {
	var asked []string
	s, c := server(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("If-None-Match"))
		content(w, r, `"v1"`, file)
	})
	path := filepath.Join(t.TempDir(), "all.zip")
	var done, all int64
	c.Progress = func(d, a int64) { done, all = d, a }
	v, err := c.Fetch(t.Context(), s.URL+"/all.zip", Validator{}, path)
	if err != nil || v != (Validator{ETag: `"v1"`}) {
		t.Fatalf("got %+v, %v", v, err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, file) || done != int64(len(file)) || all != done {
		t.Errorf("got %d bytes, told of %d of %d, %v", len(got), done, all, err)
	}
	again, err := c.Fetch(t.Context(), s.URL+"/all.zip", v, path)
	if !errors.Is(err, ErrUnchanged) || again != v {
		t.Errorf("again: got %+v, %v, want %v", again, err, ErrUnchanged)
	}
	if d := cmp.Diff([]string{"", `"v1"`}, asked); d != "" {
		t.Errorf("validators (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"all.zip"}, left(t, path)); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
}

// TestResume: a transfer that breaks again and again goes on where it was, and so does another
// run. What changed meanwhile is fetched anew.
func TestResume(t *testing.T) {
	for _, test := range []struct {
		name string
		// etag of each request, and whether the server knows ranges.
		etags  func(n int) string
		ranges bool
		// want is how many bytes are sent in all.
		want int
	}{
		{"the same file", func(int) string { return `"v1"` }, true, len(file)},
		{"another file at the third request", func(n int) string { return fmt.Sprintf(`"v%d"`, n/3) }, true, 2*(len(file)/4) + len(file)},
		{"a server without ranges", func(int) string { return `"v1"` }, false, 3*(len(file)/4) + len(file)},
		{"a weak validator", func(int) string { return `W/"v1"` }, true, 3*(len(file)/4) + len(file)},
	} {
		t.Run(test.name, func(t *testing.T) {
			requests := 0
			var sent atomic.Int64
			s, c := server(t, func(w http.ResponseWriter, r *http.Request) {
				requests++
				if !test.ranges {
					r.Header.Del("Range")
				}
				limit := len(file)
				if requests <= 3 {
					limit = len(file) / 4
				}
				content(&breaking{ResponseWriter: w, left: limit, sent: &sent}, r, test.etags(requests), file)
			})
			path := filepath.Join(t.TempDir(), "all.zip")
			c.Attempts = 2
			if _, err := c.Fetch(t.Context(), s.URL, Validator{}, path); err == nil {
				t.Fatal("the first run, of two requests that break, got everything")
			}
			if _, err := os.Stat(path); err == nil {
				t.Fatal("half of a file is taken for the file")
			}
			if _, err := c.Fetch(t.Context(), s.URL, Validator{}, path); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(got, file) {
				t.Errorf("got %d bytes that are others, %v", len(got), err)
			}
			if got := int(sent.Load()); got != test.want {
				t.Errorf("%d bytes were sent, want %d", got, test.want)
			}
			if d := cmp.Diff([]string{"all.zip"}, left(t, path)); d != "" {
				t.Errorf("files (-want +got):\n%s", d)
			}
		})
	}
}

// breaking ends the connection after some bytes of a body. What is sent is counted before the
// client has it.
type breaking struct {
	http.ResponseWriter
	left int
	sent *atomic.Int64
}

func (b *breaking) Write(p []byte) (int, error) {
	if len(p) > b.left {
		b.sent.Add(int64(b.left))
		_, _ = b.ResponseWriter.Write(p[:b.left])
		_ = http.NewResponseController(b.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	b.left -= len(p)
	b.sent.Add(int64(len(p)))
	return b.ResponseWriter.Write(p)
}

func TestRefused(t *testing.T) {
	var attempts int
	s, c := server(t, func(w http.ResponseWriter, r *http.Request) {
		attempts++
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, "http://example.invalid/x", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/stream":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		case "/large":
			w.Header().Set("Content-Length", "99999999")
			_, _ = io.WriteString(w, "x")
		case "/busy":
			http.Error(w, "later", http.StatusServiceUnavailable)
		case "/silent":
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		default:
			http.NotFound(w, r)
		}
	})
	c.Attempts = 2
	dir := t.TempDir()
	for _, test := range []struct {
		path, want string
		attempts   int
	}{
		{"/none", "404", 1},
		{"/away", "not encrypted", 1},
		{"/loop", "more than 5 redirects", 5},
		{"/stream", "too large", 1},
		{"/large", "too large", 1},
		{"/busy", "503", 2},
		{"/silent", "1 bytes came within 200ms", 2},
		{"/none?token=secret1", "404", 1},
	} {
		attempts, c.Stall = 0, time.Minute
		if test.path == "/silent" {
			c.Stall = 200 * time.Millisecond
		}
		path := filepath.Join(dir, "file")
		_, err := c.Fetch(t.Context(), s.URL+test.path, Validator{}, path)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret1") {
			t.Errorf("%s: got %v, want %s", test.path, err, test.want)
		}
		if attempts != test.attempts {
			t.Errorf("%s: asked %d times, want %d", test.path, attempts, test.attempts)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: a file came of it", test.path)
		}
	}
	for _, from := range []string{"http://example.invalid/x", "file:///etc/passwd", "x", "https://", "ftp://example.invalid/x", "https://user:secret1@[::1"} {
		if _, err := c.Fetch(t.Context(), from, Validator{}, filepath.Join(dir, "file")); !errors.Is(err, ErrNotAllowed) || strings.Contains(err.Error(), "secret1") {
			t.Errorf("%s: got %v, want %v", from, err, ErrNotAllowed)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Fetch(ctx, s.URL+"/busy", Validator{}, filepath.Join(dir, "file")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}
