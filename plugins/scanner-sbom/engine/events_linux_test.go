package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/engine"
)

// told collects events, as "started NAME".
type told struct {
	mu  sync.Mutex
	all []string
}

func (l *told) add(ev engine.Event) {
	words := map[engine.Kind]string{
		engine.Started: "started", engine.Ended: "ended", engine.Removed: "removed", engine.Renamed: "renamed", engine.Executed: "executed",
		engine.ImageCame: "came", engine.ImageGone: "gone",
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	name := ev.Name
	if ev.Kind == engine.ImageGone || ev.Kind == engine.Removed || ev.Kind == engine.Ended {
		name = "" // who is gone has no name any more, unless Docker says it
	}
	l.all = append(l.all, words[ev.Kind]+" "+name)
}

func (l *told) is() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// until waits for as many events, and returns those from a place on, sorted.
func (l *told) until(t *testing.T, from, want int) []string {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.Tick(5 * time.Millisecond); len(l.is()) < from+want; <-tick {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for %d events: %q", want, l.is()[from:])
		}
	}
	out := l.is()[from:]
	slices.Sort(out)
	return out
}

// Events tell what there is and what happens, each once, also what happens while dockerd is
// away.
func testEvents(t *testing.T, b *bench) {
	d := b.For(t)
	e := b.engine(t)
	stays := d.Run("stays", "")
	ctx, cancel := context.WithCancel(t.Context())
	l, ended := &told{}, make(chan error, 1)
	var answers []string
	go func() {
		ended <- e.Events(ctx, l.add, func(err error) {
			if err != nil {
				t.Logf("away: %v", err)
			}
			if word := fmt.Sprint(err == nil); len(answers) == 0 || answers[len(answers)-1] != word {
				answers = append(answers, word)
			}
		})
	}()
	list, err := e.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"started stays"}
	for _, i := range list {
		want = append(want, "came "+i.Name())
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, l.until(t, 0, len(want))); diff != "" {
		t.Fatalf("what there is (-want +got):\n%s", diff)
	}
	mark := len(l.is())
	next := func(what string, want ...string) {
		t.Helper()
		slices.Sort(want)
		got := l.until(t, mark, len(want))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", what, diff)
		}
		mark += len(want)
	}
	d.Run("comes", "")
	next("a container", "started comes")
	d.Call(nil, http.MethodPost, "/containers/comes/rename?name=renamed", "")
	next("another name", "renamed renamed")
	d.In("renamed", "true")
	next("a process", "executed renamed", "executed renamed")
	d.Call(nil, http.MethodPost, "/images/busybox:local/tag?repo=other&tag=1", "")
	next("a name of an image", "came busybox:local")
	d.Import("brought", "1", packed(t, file{"a", "a", 0}))
	next("an image", "came brought:1")
	d.Call(nil, http.MethodDelete, "/images/brought:1", "")
	next("no image", "gone ")
	d.Call(nil, http.MethodPost, "/containers/renamed/restart?t=0", "")
	next("a restart", "ended ", "started renamed")
	d.Call(nil, http.MethodDelete, "/containers/renamed?force=1", "")
	next("no container", "ended ", "removed ")

	// dockerd goes, and its containers with it. When it is back one of them runs, one is
	// new and one is gone.
	d.Run("goes", "")
	next("a container", "started goes")
	d.Stop()
	d.Again()
	d.Call(nil, http.MethodDelete, "/containers/goes?force=1", "")
	d.Call(nil, http.MethodPost, "/containers/"+stays+"/start", "")
	d.Run("new", "")
	d.Call(nil, http.MethodDelete, "/images/other:1", "")
	next("while dockerd was away", "ended ", "ended ", "removed ", "started stays", "started new", "came busybox:local")
	d.Run("last", "")
	next("afterwards", "started last")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	// A dockerd that is ending may answer once more.
	if n := len(answers); n < 3 || answers[0] != "true" || answers[n-1] != "true" || !slices.Contains(answers, "false") {
		t.Errorf("whether Docker answers: %q; want that it did, did not, and does", answers)
	}
	if len(l.is()) != mark {
		t.Errorf("told besides: %q", l.is()[mark:])
	}
}
