package machine

import (
	"context"

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
		if out.Target.ID != "" && m.wanted(out.Target) {
			tell(out)
		}
	}, m.Away)
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
