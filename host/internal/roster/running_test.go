package roster

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/catalog"
	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/pipeline"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// running returns a roster that supervises the candidate; its bytes are not in
// the store, so that no process comes up.
func running(t *testing.T, p *plugin) *Roster {
	t.Helper()
	r, err := New(Config{
		Logger: hclog.NewNullLogger(), DataDir: t.TempDir(), Mode: func() string { return "detect" },
		Pipeline: pipeline.New(pipeline.Config{Logger: hclog.NewNullLogger(), Credits: 1, RetainedBytes: 1 << 10}),
		Plugins:  config.Plugins{StartTimeout: time.Second, DrainTimeout: time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.pins.Put(p.name(), catalog.Pin{Name: p.name(), Digest: p.digest}); err != nil {
		t.Fatal(err)
	}
	if err := r.adopt([]*plugin{p}); err != nil {
		t.Fatal(err)
	}
	r.Start(t.Context())
	t.Cleanup(func() { _ = r.Stop(context.Background()) }) // there is nothing under way
	if r.running[p.name()] == nil {
		t.Fatal("the plugin is not supervised")
	}
	return r
}

func candidate(dir, digest string) *plugin {
	const file = "file"
	return &plugin{file: file, path: filepath.Join(dir, file), digest: digest, desc: &pb.Description{Name: "out", Kinds: []string{"sink"}}}
}

// TestWhatRunsCanBeStopped takes the file of a running plugin away, or puts
// something else in its place.
func TestWhatRunsCanBeStopped(t *testing.T) {
	junk := catalog.NewRefusal(catalog.NotAPlugin, "junk", "a plugin", "rm it")
	for _, c := range []struct {
		name  string
		found []*plugin
		state string
	}{
		{"as it was", nil, ""},
		{"gone", []*plugin{}, ""},
		{"replaced", []*plugin{candidate("/a", "new")}, "changed"},
		{"moved", []*plugin{candidate("/b", "old")}, ""},
		{"replaced by junk", []*plugin{{file: "file", path: "/a/file", refusal: junk}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := running(t, candidate("/a", "old"))
			if c.found != nil {
				if err := r.adopt(c.found); err != nil {
					t.Fatal(err)
				}
			}
			shown := 0
			for _, s := range r.List() {
				if s.Name == "out" && (c.state == "" || s.State == c.state) {
					shown++
				}
			}
			if shown != 1 {
				t.Errorf("the list shows it %d times: %v", shown, r.List())
			}
			if err := r.Reload(t.Context(), "out"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Reload: got %v, want that its bytes are not there", err)
			}
			if err := r.Disable(t.Context(), "out"); err != nil {
				t.Fatalf("Disable: %v", err)
			}
			if len(r.running) != 0 {
				t.Error("it still runs")
			}
			for _, p := range r.plugins {
				if p.supervisor != nil || p.member != nil {
					t.Errorf("%s still stands for a process", p.path)
				}
			}
			if err := r.Reload(t.Context(), "out"); !errors.Is(err, ErrNotFound) {
				t.Errorf("Reload of what does not run: %v", err)
			}
		})
	}
}

func TestTheConfigurationStopsAReplacedPlugin(t *testing.T) {
	r := running(t, candidate("/a", "old"))
	if err := r.adopt([]*plugin{candidate("/a", "new")}); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.config.Plugins.Disabled = []string{"out"}
	r.mu.Unlock()
	if err := r.Reconsider(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(r.running) != 0 {
		t.Error("plugins.disabled names it and it still runs")
	}
}

// TestEverybodyAtOnce is for the race detector.
func TestEverybodyAtOnce(t *testing.T) {
	r := running(t, candidate("/a", "old"))
	end := time.Now().Add(200 * time.Millisecond)
	var wg sync.WaitGroup
	each := func(f func()) {
		wg.Go(func() {
			for time.Now().Before(end) {
				f()
			}
		})
	}
	each(func() { r.List() })
	each(func() { _, _ = r.Info(t.Context(), "out") })
	each(func() { _ = r.Reload(t.Context(), "out") }) // it may not run just then
	each(func() { _ = r.Failed(); r.Formats(); r.Conn("out") })
	each(func() {
		if err := r.Disable(t.Context(), "out"); err != nil {
			t.Error(err)
		}
		if err := errors.Join(r.off.Delete("out"), r.adopt([]*plugin{candidate("/a", "old")})); err != nil {
			t.Error(err)
		}
		r.Start(t.Context())
	})
	wg.Wait()
}

func TestACandidateWithoutDescriptionIsSafe(t *testing.T) {
	junk := &plugin{file: "junk", path: "/a/junk", refusal: catalog.NewRefusal(catalog.NotAPlugin, "junk", "a plugin", "rm it")}
	r := running(t, candidate("/a", "old"))
	if err := r.adopt([]*plugin{junk, candidate("/a", "old")}); err != nil {
		t.Fatal(err)
	}
	r.Start(t.Context())
	r.Sections()
	r.Formats()
	if _, err := r.Info(t.Context(), "junk"); err != nil {
		t.Error(err)
	}
	if err := r.Disable(t.Context(), "junk"); err != nil {
		t.Error(err)
	}
	rank(junk)
}
