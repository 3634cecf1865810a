package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a daemon of an API version that answers as it is told, for errors that a
// real one does not give when one wants them.
type fake struct {
	version string
	answer  http.HandlerFunc

	mu    sync.Mutex
	paths []string
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	w.Header().Set("Api-Version", f.version)
	f.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/_ping") {
		return
	}
	f.mu.Lock()
	f.paths = append(f.paths, r.URL.Path)
	f.mu.Unlock()
	f.answer(w, r)
}

// start serves a fake, and returns an Engine on it.
func start(t *testing.T, f *fake) *engine.Engine {
	t.Helper()
	dir, err := os.MkdirTemp("", "eng") // short: sockets' paths are bounded
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	e, err := engine.New(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Errorf("close again: %v", err)
		}
		_ = server.Close()
		<-done
		_ = os.RemoveAll(dir)
	})
	return e
}

func refuse(status int, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"message":%q}`, message)
	}
}

// TestVersions: the oldest daemon that is served is spoken to in its API, a newer one
// than the client knows in the client's.
func TestVersions(t *testing.T) {
	for daemon, want := range map[string]string{"1.24": "/v1.24/", "1.41": "/v1.41/", "1.51": "/v1.51/", "1.60": "/v1.51/"} {
		t.Run(daemon, func(t *testing.T) {
			f := &fake{version: daemon, answer: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `[{"Id":"1","Names":["/a/alias","/web"],"Image":"i","State":"running","HostConfig":{"NetworkMode":"front"},
					"NetworkSettings":{"Networks":{"front":{"NetworkID":"n","IPAddress":"172.30.1.2","MacAddress":"02:42:ac:1e:01:02","Aliases":["www","www"]},"none":{}}}}]`)
			}}
			got, err := start(t, f).Containers(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// The MAC address is of Docker's making, and not to be asked for.
			endpoint := engine.Endpoint{Network: "front", NetworkID: "n", Address: "172.30.1.2", HardwareAddress: "02:42:ac:1e:01:02", Aliases: []string{"www"}}
			// Its other name is that of a link.
			c := []engine.Container{{ID: "1", Name: "web", Image: "i", State: "running", NetworkMode: "front", LinkedFrom: []string{"a"}, Endpoints: []engine.Endpoint{endpoint}}}
			if d := cmp.Diff(c, got); d != "" {
				t.Errorf("containers (-want +got):\n%s", d)
			}
			if len(f.paths) != 1 || !strings.HasPrefix(f.paths[0], want) {
				t.Errorf("asked %q, want it below %s", f.paths, want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		want   error
	}{
		{"not found", refuse(http.StatusNotFound, "No such container"), engine.ErrNotFound},
		{"forbidden", refuse(http.StatusForbidden, "Address already in use"), engine.ErrForbidden},
		{"unavailable", refuse(http.StatusServiceUnavailable, "later"), engine.ErrUnreachable},
		{"the proxy finds nobody", refuse(http.StatusBadGateway, "ironpost: Docker does not answer"), engine.ErrUnreachable},
		{"broken off", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, engine.ErrUnreachable},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := start(t, &fake{version: "1.41", answer: test.answer})
			if err := e.Pause(t.Context(), "web"); !errors.Is(err, test.want) || !strings.HasPrefix(err.Error(), "pause web: ") {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	t.Run("conflict", func(t *testing.T) {
		e := start(t, &fake{version: "1.41", answer: refuse(http.StatusConflict, "already paused")})
		err := e.Pause(t.Context(), "web")
		if err == nil || errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrForbidden) || errors.Is(err, engine.ErrUnreachable) {
			t.Errorf("got %v, want an error of no sentinel", err)
		}
	})
	t.Run("no answer in time", func(t *testing.T) {
		held := make(chan struct{})
		e := start(t, &fake{version: "1.41", answer: func(_ http.ResponseWriter, r *http.Request) {
			close(held)
			<-r.Context().Done()
		}})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-held
			cancel()
		}()
		if err := e.Pause(ctx, "web"); !errors.Is(err, engine.ErrUnreachable) {
			t.Errorf("got %v, want ErrUnreachable", err)
		}
	})
	t.Run("nobody", func(t *testing.T) {
		e, err := engine.New(filepath.Join(t.TempDir(), "none"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Containers(t.Context()); !errors.Is(err, engine.ErrUnreachable) {
			t.Errorf("got %v, want ErrUnreachable", err)
		}
	})
}

// TestReplaced: a daemon that comes back as another version is spoken to in its own.
func TestReplaced(t *testing.T) {
	f := &fake{version: "1.41", answer: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if !strings.HasSuffix(r.URL.Path, "/events") {
			fmt.Fprint(w, "[]")
		}
	}}
	e := start(t, f)
	list := func(version string) {
		t.Helper()
		if _, err := e.Containers(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if got := f.paths[len(f.paths)-1]; !strings.HasPrefix(got, "/v"+version+"/") {
			t.Errorf("asked %q, want version %s", got, version)
		}
	}
	for _, version := range []string{"1.41", "1.51", "1.24"} {
		f.mu.Lock()
		f.version = version
		f.mu.Unlock()
		if err := e.Events(t.Context(), time.Time{}, func() {}, func(engine.Event) {}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("events: got %v, want their end", err)
		}
		list(version)
	}
}

// TestQuarantine: a network of that name that leads out is not used.
func TestQuarantine(t *testing.T) {
	e := start(t, &fake{version: "1.41", answer: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"Id":"n","Name":"ironpost-quarantine","Driver":"bridge","Internal":false}`)
	}})
	if _, err := e.Quarantine(t.Context()); !errors.Is(err, engine.ErrForbidden) {
		t.Errorf("got %v, want ErrForbidden", err)
	}
}
