package roster

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/ironpost/ironpost/host/internal/catalog"
)

// Enable pins the bytes of a plugin, grants what it asks for, and starts it. A
// changed plugin runs with its new bytes from then on.
func (r *Roster) Enable(ctx context.Context, name string, reconfigure func() error) error {
	r.change.Lock()
	defer r.change.Unlock()
	if err := r.scan(ctx, true); err != nil {
		return err
	}
	r.mu.RLock()
	p := r.find(name)
	r.mu.RUnlock()
	switch {
	case p == nil:
		return fmt.Errorf("%w: %s; put it into one of the plugin directories first", ErrNotFound, name)
	case p.decision.State == catalog.Refused:
		return fmt.Errorf("%w: %w", ErrRefused, p.decision.Refusal)
	case p.decision.State == catalog.Enabled && p.supervisor != nil:
		return nil
	}
	grants, err := protojson.Marshal(p.desc.GetPermissions())
	if err != nil {
		return fmt.Errorf("encode the grant: %w", err)
	}
	if err := r.off.Delete(p.name()); err != nil {
		return err
	}
	if p.decision.Trust != catalog.BuiltIn || p.decision.State == catalog.Disabled {
		pin := catalog.Pin{Name: p.name(), Digest: p.digest, Grants: json.RawMessage(grants), At: time.Now().UTC()}
		if err := r.pins.Put(p.name(), pin); err != nil {
			return err
		}
	}
	if run := r.runningPlugin(p.name()); run != nil {
		r.halt(run)
	}
	if err := r.redecide(); err != nil {
		return err
	}
	if p.decision.State == catalog.Disabled {
		return fmt.Errorf("%w: %s: the configuration file wins: take it out of plugins.disabled", ErrRefused, p.decision.Reason)
	}
	if err := reconfigure(); err != nil {
		return err
	}
	r.start(ctx)
	return nil
}

func (r *Roster) runningPlugin(name string) *plugin {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.running[name]
}

// redecide decides again about the candidates that are known.
func (r *Roster) redecide() error {
	r.mu.RLock()
	plugins := r.plugins
	r.mu.RUnlock()
	return r.adopt(plugins)
}

// Disable drains a plugin, ends it, and keeps it from being started.
func (r *Roster) Disable(ctx context.Context, name string) error {
	r.change.Lock()
	defer r.change.Unlock()
	r.mu.RLock()
	p := r.find(name)
	r.mu.RUnlock()
	if p == nil {
		return fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	if err := r.off.Put(p.name(), true); err != nil {
		return err
	}
	if run := r.runningPlugin(p.name()); run != nil {
		r.halt(run)
	}
	return r.redecide()
}

// Reload replaces the process of a plugin, or closes its open circuit.
func (r *Roster) Reload(_ context.Context, name string) error {
	r.mu.RLock()
	defer r.mu.RUnlock() // it must not be stopped for good meanwhile
	run := r.running[name]
	if run == nil {
		return fmt.Errorf("%w: %s does not run", ErrNotFound, name)
	}
	run.supervisor.Reload()
	return nil
}

// Reconsider applies changed lists of enabled and disabled plugins.
func (r *Roster) Reconsider(ctx context.Context) error {
	r.change.Lock()
	defer r.change.Unlock()
	if err := r.redecide(); err != nil {
		return err
	}
	r.mu.RLock()
	var stop []*plugin
	for _, p := range r.running {
		if p.decision.State == catalog.Disabled {
			stop = append(stop, p)
		}
	}
	r.mu.RUnlock()
	for _, p := range stop {
		r.halt(p)
	}
	r.start(ctx)
	return nil
}
