package mirror

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDrip: a server that sends a byte now and then, or goes on for ever, does not keep an update
// waiting, which would keep every later one from starting.
func TestDrip(t *testing.T) {
	s, c := server(t, func(w http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 1)
		if r.URL.Path == "/steady" {
			piece = make([]byte, 64)
		}
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			if _, err := w.Write(piece); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	})
	c.MaxBytes, c.Attempts = 1<<40, 2
	for _, test := range []struct {
		path, want     string
		stall, longest time.Duration
	}{
		{"/drip", "bytes came within 500ms", 500 * time.Millisecond, 0},
		{"/steady", "longer than 1s", time.Minute, time.Second},
	} {
		c.Stall, c.Longest = test.stall, test.longest
		// It is to end by itself; what ends it here is for who breaks it.
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("it went on and on"))
		_, err := c.Fetch(ctx, s.URL+test.path, Validator{}, filepath.Join(t.TempDir(), "file"))
		cancel()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.path, err, test.want)
		}
	}
}

// TestReferer: who is asked after a redirect is not told the query of the URL before, which may
// be a password.
func TestReferer(t *testing.T) {
	var told []string
	s, c := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/all.zip", http.StatusFound)
			return
		}
		told = append(told, r.Header.Get("Referer"))
		_, _ = io.WriteString(w, "x")
	})
	path := filepath.Join(t.TempDir(), "file")
	if _, err := c.Fetch(t.Context(), s.URL+"/moved?token=secret1", Validator{}, path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil || len(told) != 1 || told[0] != "" {
		t.Errorf("the server was told %q, %v, want nothing", told, err)
	}
}
