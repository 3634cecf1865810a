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

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/internal/enginetest"
)

// TestSkipped has a real dockerd skip a reader that does not read, and expects that
// the reader is told to look at everything.
func TestSkipped(t *testing.T) {
	d := enginetest.Start(t)
	e, err := engine.New(d.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	victim := d.Run("victim", "")
	start := time.Now()

	ctx, cancel := context.WithCancel(t.Context())
	held, began := make(chan struct{}), make(chan struct{})
	var told int // that it has to look at everything, from when it was held up
	var actions []string
	stands := sync.OnceFunc(func() { close(began) })
	ended := make(chan error, 1)
	go func() {
		ended <- e.Events(ctx, time.Time{}, func() {
			told++
			stands()
		}, func(ev engine.Event) {
			if actions = append(actions, ev.Action); len(actions) == 1 {
				<-held
				told = 0
			}
			if len(actions) > 1 && ev.Action == "rename" {
				cancel() // it is the last one
			}
		})
	}()
	<-began
	// Docker waits 100 ms for a reader whose queue is full, and passes over him then.
	const waits = 90 * time.Millisecond
	d.Call(nil, http.MethodPost, "/containers/"+victim+"/rename?name=first", "")
	full := 0
	for n := 0; full < 3; n++ {
		if n == 20_000 {
			t.Fatal("Docker's queue is not full after 20,000 events: the test is of no use")
		}
		at := time.Now()
		d.Call(nil, http.MethodPost, "/images/busybox:local/tag?repo=busybox&tag=other", "")
		if time.Since(at) >= waits {
			full++
		} else {
			full = 0
		}
	}
	d.Call(nil, http.MethodPost, "/containers/"+victim+"/pause", "")
	<-time.After(time.Until(start.Add(5 * time.Second))) // what waits is late for sure
	close(held)
	for n, tick := 0, time.Tick(200*time.Millisecond); ctx.Err() == nil; n++ {
		d.Call(nil, http.MethodPost, fmt.Sprintf("/containers/%s/rename?name=again-%d", victim, n), "")
		select {
		case <-tick:
		case <-ctx.Done():
		}
	}
	if err := <-ended; !errors.Is(err, context.Canceled) && !errors.Is(err, engine.ErrUnreachable) {
		t.Errorf("events: got %v", err)
	}
	if slices.Contains(actions, "pause") {
		t.Errorf("got %v: Docker did not skip the reader, the test is of no use", actions)
	}
	if told == 0 {
		t.Error("the reader was skipped, and not told to look at everything")
	}

	// What was missed cannot be had again: Docker keeps the last 256.
	ctx, cancel = context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	replayed := 0
	_ = e.Events(ctx, start, func() {}, func(engine.Event) { replayed++ })
	if replayed > 256 {
		t.Errorf("%d events came again: want at most 256", replayed)
	}
}
