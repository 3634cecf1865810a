package host

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/pipeline"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// gapWorld plays the pipeline, the journal and the sink.
type gapWorld struct {
	*gapAlerts
	list   []pipeline.Gap
	raised []string
	shut   []string
	broken bool
}

func newGapWorld(now time.Time) *gapWorld {
	w := &gapWorld{}
	w.gapAlerts = &gapAlerts{
		gaps: func() []pipeline.Gap { return w.list },
		alert: func(_ context.Context, a *pb.AlertEvent) error {
			if w.broken {
				return errors.New("the disk is full")
			}
			to := ""
			for _, d := range a.Details {
				if d.Key == "to" {
					to = " over"
				}
			}
			if a.RuleId != gapRule || a.Detector != "host" || len(a.TraceId) != 16 || len(a.Id) != 32 {
				return fmt.Errorf("the alert is %v", a)
			}
			w.raised = append(w.raised, fmt.Sprintf("%s x%d%s", a.Group, a.Count, to))
			return nil
		},
		closed: func(_ context.Context, id, _ string) bool { w.shut = append(w.shut, id); return len(w.shut) > 1 },
		log:    hclog.NewNullLogger(), told: make(map[gapKey]*toldGap), room: gapBurst, filled: now,
	}
	return w
}

func (w *gapWorld) want(t *testing.T, what string, raised ...string) {
	t.Helper()
	if diff := cmp.Diff(raised, w.raised); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
	w.raised = nil
}

func TestAGapIsToldOfTwice(t *testing.T) {
	now := time.Unix(1000, 0)
	w := newGapWorld(now)
	if w.look(t.Context(), now) {
		t.Error("it looks again although there is nothing")
	}
	w.list = []pipeline.Gap{{Plugin: "a", Reason: "consumer_down", From: now, Events: 3}}
	if w.look(t.Context(), now) {
		t.Error("it looks again although the end is told")
	}
	w.want(t, "a gap begins", "a x3")
	w.list[0].Events = 9
	w.look(t.Context(), now.Add(time.Minute))
	w.want(t, "it goes on")
	w.list[0].To = now.Add(time.Minute)
	if !w.look(t.Context(), now.Add(time.Minute)) {
		t.Error("it does not look again, and the gap may be over")
	}
	w.want(t, "it pauses")
	for i := range 5 {
		w.look(t.Context(), now.Add(2*time.Minute+time.Duration(i)*gapLook))
	}
	w.want(t, "it is over", "a x9 over")
	if len(w.shut) != 2 {
		t.Errorf("the first alert was closed %d times, want until it was found", len(w.shut))
	}
	if w.look(t.Context(), now.Add(3*time.Minute)) {
		t.Error("it looks again although all is told")
	}
	w.list = nil
	w.look(t.Context(), now)
	if len(w.told) != 0 {
		t.Error("it remembers a gap that is forgotten")
	}
}

func TestGapAlertsAreLimited(t *testing.T) {
	now := time.Unix(1000, 0)
	w := newGapWorld(now)
	for i := range 15 {
		w.list = append(w.list, pipeline.Gap{Plugin: fmt.Sprint(i), Reason: "queue_full", From: now, Events: 1})
	}
	if !w.look(t.Context(), now) {
		t.Error("it does not look again for want of room")
	}
	if len(w.raised) != gapBurst {
		t.Errorf("%d alerts at once, want %d", len(w.raised), gapBurst)
	}
	w.raised = nil
	w.list[10].Events = 7
	w.look(t.Context(), now.Add(gapRefill))
	w.want(t, "a minute later", "10 x7")
}

func TestAGapAlertThatIsNotKeptIsRaisedAgain(t *testing.T) {
	now := time.Unix(1000, 0)
	w := newGapWorld(now)
	w.list = []pipeline.Gap{{Plugin: "a", Reason: "consumer_down", From: now, Events: 3}}
	w.broken = true
	if !w.look(t.Context(), now) {
		t.Error("it does not try again")
	}
	w.broken = false
	w.look(t.Context(), now)
	w.want(t, "then", "a x3")
}
