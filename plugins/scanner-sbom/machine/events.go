package machine

import (
	"context"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/engine"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/watch"
)

// Events implements [watch.Looker].
func (m *Machine) Events(ctx context.Context, tell func(watch.Event)) error {
	if m.Engine == nil {
		<-ctx.Done()
		return nil
	}
	return m.Engine.Events(ctx, func(e engine.Event) {
		out := translate(&e)
		if out.Target.ID != "" && m.wanted(out.Target) && !m.known(&out, e.Time) {
			tell(out)
		}
	}, m.Away)
}

// known says whether an event tells of nothing but that a target is there that was listed: events
// begin with all that there is.
func (m *Machine) known(e *watch.Event, at time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	was, ok := m.listed[e.Target.ID]
	if !ok {
		return false
	}
	delete(m.listed, e.Target.ID)
	if e.Kind != watch.Appeared || was.name != e.Target.Name {
		return false
	}
	// An image is told of when it is seen, and a container as of its start.
	return e.Target.Container() == "" || at.Before(was.at)
}

// translate says what an event of Docker's is about, and what it means.
func translate(e *engine.Event) watch.Event {
	out := watch.Event{Target: watch.Target{ID: watch.ContainerPrefix + e.Container, Name: e.Name}}
	switch e.Kind {
	case engine.Started, engine.Renamed:
		out.Kind = watch.Appeared
	case engine.Executed:
		out.Kind = watch.Executed
	case engine.Ended:
		out.Kind = watch.Stopped
	case engine.Removed:
		out.Kind = watch.Vanished
	case engine.ImageCame:
		out = watch.Event{Kind: watch.Appeared, Target: watch.Target{ID: watch.ImagePrefix + e.Image, Name: e.Name}}
	case engine.ImageGone:
		out = watch.Event{Kind: watch.Vanished, Target: watch.Target{ID: watch.ImagePrefix + e.Image, Name: e.Name}}
	default:
		return watch.Event{}
	}
	return out
}
