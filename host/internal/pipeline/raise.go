package pipeline

import (
	"context"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Raise raises an alert in the name of a plugin, as if it came over its link, and returns
// when it is in the journal and on disk. The plugin need not run. One that is left out is
// counted among the drops.
func (p *Pipeline) Raise(ctx context.Context, plugin string, a *pb.AlertEvent) error {
	p.mu.RLock()
	m := p.members[plugin]
	p.mu.RUnlock()
	if m == nil { // it pledged the alert before it left
		m = &Member{pipeline: p, desc: &pb.Description{Name: plugin}}
	}
	index, err := m.raise(a, a.Provenance)
	if err != nil {
		return err
	}
	if index == 0 || p.config.Journal == nil {
		return nil
	}
	if err := p.config.Journal.Wait(ctx, index); err != nil {
		return keepError(err)
	}
	return nil
}
