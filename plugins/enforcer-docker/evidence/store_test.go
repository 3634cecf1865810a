package evidence_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/evidence"
	"github.com/ironpost/ironpost/sdk/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// docker is a Docker whose container has much output and cannot be asked for its
// changed files.
func docker(t *testing.T, gone *bool) *engine.Engine {
	t.Helper()
	dir, err := os.MkdirTemp("", "evi") // short: sockets' paths are bounded
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Content-Type", "application/json")
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "/_ping"):
		case *gone || strings.HasSuffix(path, "/changes"):
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"message":"gone"}`)
		case strings.HasSuffix(path, "/logs"):
			fmt.Fprint(w, strings.Repeat("x", evidence.MaxFile+100))
		default:
			fmt.Fprint(w, `{"Id":"c","State":{},"HostConfig":{},"Config":{"Env":["A=secret"]},"NetworkSettings":{}}`)
		}
	}
	server := &http.Server{Handler: http.HandlerFunc(handler), ReadHeaderTimeout: time.Minute}
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
		_ = e.Close()
		_ = server.Close()
		<-done
		_ = os.RemoveAll(dir)
	})
	return e
}

func intent(n int) *event.ActionEvent {
	return &event.ActionEvent{
		ID: fmt.Sprintf("%032x", n), AlertID: "a", Target: strings.Repeat("c", 64), Action: "evidence",
		Details: []event.Field{{Key: "policy", Value: "p"}, {Key: "policy_version", Value: "v"}},
	}
}

func TestCollect(t *testing.T) {
	gone := false
	d := docker(t, &gone)
	dir := t.TempDir()
	// What a crash left half made is removed.
	half := filepath.Join(dir, intent(9).ID+".partial")
	if err := os.Mkdir(half, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := evidence.Open(evidence.Config{Dir: dir, Bytes: 1 << 30, Incidents: 10, Tail: 10})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := s.Collect(t.Context(), d, intent(1))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(kept.Missing, "changes.json: ") || kept.Files != 7 {
		t.Errorf("got %+v, want 7 files, without changes.json", kept)
	}
	text, err := os.ReadFile(filepath.Join(kept.Dir, "incident.json"))
	if err != nil {
		t.Fatal(err)
	}
	var about struct {
		ID      string            `json:"id"`
		Details map[string]string `json:"details"`
		Cut     []string          `json:"cut"`
	}
	if err := json.Unmarshal(text, &about); err != nil {
		t.Fatal(err)
	}
	if about.ID != intent(1).ID || about.Details["policy_version"] != "v" || !cmp.Equal(about.Cut, []string{"logs.bin"}) {
		t.Errorf("got %+v", about)
	}
	if info, err := os.Stat(filepath.Join(kept.Dir, "logs.bin")); err != nil || info.Size() != evidence.MaxFile || info.Mode().Perm() != 0o600 {
		t.Errorf("logs.bin: %v, %v; want it cut to %d bytes, for the owner alone", info, err, evidence.MaxFile)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 {
		t.Errorf("got %v, %v; want one whole incident", names, err)
	}
	// Once is enough, also when the container is gone by then.
	gone = true
	again, err := s.Collect(t.Context(), d, intent(1))
	if err != nil || again.Manifest != kept.Manifest {
		t.Errorf("again: got %+v, %v", again, err)
	}
	if _, err := s.Collect(t.Context(), d, intent(2)); err == nil {
		t.Error("an incident without evidence is kept")
	}
	if _, err := s.Collect(t.Context(), d, &event.ActionEvent{ID: "../../../etc"}); err == nil {
		t.Error("an id that is a path is taken")
	}
}

func TestBounds(t *testing.T) {
	gone := false
	d := docker(t, &gone)
	for _, test := range []struct {
		name string
		c    evidence.Config
		want int
	}{
		{"count", evidence.Config{Bytes: 1 << 30, Incidents: 3}, 3},
		{"bytes", evidence.Config{Bytes: 5 << 20, Incidents: 100}, 2},
		{"the newest stays", evidence.Config{Bytes: 1, Incidents: 100}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.c.Dir, test.c.Tail = t.TempDir(), 10
			s, err := evidence.Open(test.c)
			if err != nil {
				t.Fatal(err)
			}
			for n := range 6 {
				kept, err := s.Collect(t.Context(), d, intent(n))
				if err != nil {
					t.Fatal(err)
				}
				// Folders of one moment would be in no order.
				at := time.Unix(1_762_000_000+int64(n), 0)
				if err := os.Chtimes(kept.Dir, at, at); err != nil {
					t.Fatal(err)
				}
			}
			left, err := os.ReadDir(test.c.Dir)
			if err != nil {
				t.Fatal(err)
			}
			if len(left) != test.want || left[len(left)-1].Name() != intent(5).ID {
				t.Errorf("got %d incidents, want the %d newest", len(left), test.want)
			}
		})
	}
}
