package evidence_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/evidence"
	"github.com/ironpost/ironpost/sdk/event"
)

// exporter is a Docker of which export is what f writes.
func exporter(t *testing.T, f http.HandlerFunc) *engine.Engine {
	t.Helper()
	dir, err := os.MkdirTemp("", "evx") // short: sockets' paths are bounded
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		if strings.HasSuffix(r.URL.Path, "/export") {
			f(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/changes") {
			fmt.Fprint(w, "[]")
			return
		}
		fmt.Fprint(w, `{"Id":"c","State":{},"HostConfig":{},"Config":{},"NetworkSettings":{}}`)
	})}
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

// exporting is an intent that asks for the files.
func exporting() *event.ActionEvent {
	i := intent(1)
	i.Details = append(i.Details, event.Field{Key: evidence.DetailExport, Value: "true"})
	return i
}

func TestExport(t *testing.T) {
	const most = 1 << 20
	send := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", n)) }
	}
	for _, test := range []struct {
		name         string
		answer       http.HandlerFunc
		bytes        int // -1: there is no file
		cut, missing string
	}{
		{"whole", send(1000), 1000, "", ""},
		{"as much as there may be", send(most), most, "", ""},
		{"one byte more", send(most + 1), most, "more than 1048576 bytes", ""},
		{"much more", send(5 * most), most, "more than 1048576 bytes", ""},
		{"it does not end", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "begun")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, 5, "it took more than 300ms", ""},
		{"it breaks off", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "begun")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, 5, "it broke off", ""},
		{"refused", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"message":"ironpost: refused: not granted"}`)
		}, -1, "", "not granted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := exporter(t, test.answer)
			within := time.Minute // a machine with other work takes its time for the others
			if strings.HasSuffix(test.cut, "300ms") {
				within = 300 * time.Millisecond
			}
			s, err := evidence.Open(evidence.Config{Dir: t.TempDir(), Bytes: 1 << 30, Incidents: 10, Tail: 10, ExportBytes: most, ExportTime: within})
			if err != nil {
				t.Fatal(err)
			}
			kept, err := s.Collect(t.Context(), d, exporting())
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(filepath.Join(kept.Dir, "export.tar"))
			switch {
			case test.bytes < 0 && !os.IsNotExist(err):
				t.Errorf("there is an export: %v", err)
			case test.bytes >= 0 && (err != nil || len(data) != test.bytes):
				t.Errorf("the export has %d bytes (%v), want %d", len(data), err, test.bytes)
			}
			if (test.cut == "") != (kept.Cut == "") || !strings.Contains(kept.Cut, test.cut) {
				t.Errorf("cut: got %q, want %q", kept.Cut, test.cut)
			}
			if (test.missing == "") != (kept.Missing == "") || !strings.Contains(kept.Missing, test.missing) {
				t.Errorf("missing: got %q, want %q", kept.Missing, test.missing)
			}
			check := exec.Command("sha256sum", "--strict", "-c", "SHA256SUMS")
			check.Dir = kept.Dir
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("the manifest does not hold: %v\n%s", err, out)
			}
			sums, err := os.ReadFile(filepath.Join(kept.Dir, "SHA256SUMS"))
			if err != nil || strings.Contains(string(sums), fmt.Sprintf("%x  export.tar", sha256.Sum256(data))) != (test.bytes >= 0) {
				t.Errorf("the manifest is %s (%v)", sums, err)
			}
			var about struct {
				Cut []string `json:"cut"`
			}
			text, err := os.ReadFile(filepath.Join(kept.Dir, "incident.json"))
			if err == nil {
				err = json.Unmarshal(text, &about)
			}
			if err != nil || slices.Contains(about.Cut, "export.tar") != (test.cut != "") {
				t.Errorf("incident.json names %q as cut (%v)", about.Cut, err)
			}
			again, err := s.Collect(t.Context(), d, exporting())
			if err != nil || again.Manifest != kept.Manifest || again.Cut != kept.Cut {
				t.Errorf("again: got %+v, %v; want %+v", again, err, kept)
			}
		})
	}
}

// TestNoExport: who does not ask for the files gets none.
func TestNoExport(t *testing.T) {
	d := exporter(t, func(http.ResponseWriter, *http.Request) { t.Error("the files are asked for") })
	s, err := evidence.Open(evidence.Config{Dir: t.TempDir(), Bytes: 1 << 30, Incidents: 10, Tail: 10, ExportBytes: 1 << 20, ExportTime: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Collect(t.Context(), d, intent(1)); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(evidence.Calls(intent(1)), func(c string) bool { return strings.HasSuffix(c, "/export") }) ||
		!slices.ContainsFunc(evidence.Calls(exporting()), func(c string) bool { return strings.HasSuffix(c, "/export") }) {
		t.Error("the calls that would be made are not those that are")
	}
}

// TestTwiceAtOnce: of two who collect the same one does, and both get it.
func TestTwiceAtOnce(t *testing.T) {
	var mu sync.Mutex
	exports := 0
	d := exporter(t, func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		exports++
		mu.Unlock()
		fmt.Fprint(w, "files")
	})
	s, err := evidence.Open(evidence.Config{Dir: t.TempDir(), Bytes: 1 << 30, Incidents: 10, Tail: 10, ExportBytes: 1 << 20, ExportTime: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	got := make([]evidence.Kept, 8)
	for i := range got {
		all.Go(func() {
			var err error
			if got[i], err = s.Collect(t.Context(), d, exporting()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, k := range got {
		if k.Manifest == "" || k.Manifest != got[0].Manifest {
			t.Errorf("got %+v and %+v", k, got[0])
		}
	}
	if exports != 1 {
		t.Errorf("the files were exported %d times, want once", exports)
	}
}
