package roster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ironpost/ironpost/host/internal/catalog"
)

// Enable pins the bytes of a plugin, grants what it asks for, and starts it. A
// changed plugin runs with its new bytes from then on. When digest is set, bytes
// that do not have it are not enabled, and the error wraps ErrOtherBytes.
func (r *Roster) Enable(ctx context.Context, name, digest string, reconfigure func() error) error {
	p, err := r.look(ctx, name)
	if err != nil {
		return err
	}
	defer r.lock(p.name())()
	// It may have changed while somebody else changed it.
	p, before, err := r.approve(p.name(), digest, reconfigure)
	if err != nil {
		return err
	}
	run := r.runningPlugin(p.name())
	switch {
	case run == nil:
	case run == p:
		return r.grantAnew(ctx, p)
	case fits(run, p):
		if err := r.replace(ctx, run, p); err != nil {
			return errors.Join(err, r.putBack(before))
		}
		return r.redecideLocked()
	default:
		r.halt(run)
	}
	if r.mayRun(p) {
		r.run(ctx, p)
	}
	return nil
}

// look looks at the directories again, at what was refused under the name too,
// and finds the plugin.
func (r *Roster) look(ctx context.Context, name string) (*plugin, error) {
	if err := r.scan(ctx, name); err != nil {
		return nil, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if p := r.find(name); p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%w: %s; put it into one of the plugin directories first", ErrNotFound, name)
}

// approve pins a plugin's bytes and grants what it asks for. before is the pin
// that it replaced.
func (r *Roster) approve(name, digest string, reconfigure func() error) (p *plugin, before catalog.Pin, err error) {
	r.change.Lock()
	defer r.change.Unlock()
	r.mu.RLock()
	p = r.find(name)
	r.mu.RUnlock()
	switch {
	case p == nil:
		return nil, before, fmt.Errorf("%w: %s; put it into one of the plugin directories first", ErrNotFound, name)
	case p.decision.State == catalog.Refused:
		return nil, before, fmt.Errorf("%w: %w", ErrRefused, p.decision.Refusal)
	case digest != "" && p.digest != digest:
		return nil, before, fmt.Errorf("%w: %s has SHA-256 %s; look again with: ironpost plugin info %s", ErrOtherBytes, p.path, p.digest, catalog.Quote(name))
	case p.decision.State == catalog.Enabled && r.runningPlugin(p.name()) == p:
		return p, before, nil
	}
	if err := r.off.Delete(p.name()); err != nil {
		return nil, before, err
	}
	if before, _, err = r.pins.Get(p.name()); err != nil {
		return nil, before, err
	}
	if p.decision.Trust != catalog.BuiltIn || p.decision.State == catalog.Disabled {
		if err := r.pin(p.name(), p.digest, p.desc.GetPermissions(), nil); err != nil {
			return nil, before, err
		}
	}
	if err := r.redecide(); err != nil {
		return nil, before, err
	}
	if p.decision.State == catalog.Disabled {
		return nil, before, fmt.Errorf("%w: %s: the configuration file wins: take it out of plugins.disabled", ErrRefused, p.decision.Reason)
	}
	if err := reconfigure(); err != nil {
		return nil, before, err
	}
	if err := r.noteValues(p); err != nil {
		return nil, before, err
	}
	return p, before, r.redecide()
}

// putBack restores a pin: what it pins goes on.
func (r *Roster) putBack(pin catalog.Pin) error {
	if pin.Name == "" {
		return nil // it was built with the host, and needed none
	}
	if err := r.pins.Put(pin.Name, pin); err != nil {
		return err
	}
	return r.redecideLocked()
}

// grantAnew grants a running plugin what its configuration asks for by now, and
// restarts it when that is more than it had.
func (r *Roster) grantAnew(ctx context.Context, p *plugin) error {
	section, err := r.section(p)
	if err != nil {
		return nil //nolint:nilerr // it runs on with what it has
	}
	if _, beyond := r.granted(p, section); len(beyond) == 0 {
		return nil
	}
	if err := r.pin(p.name(), p.digest, p.desc.GetPermissions(), nil); err != nil {
		return err
	}
	if err := r.noteValues(p); err != nil {
		return err
	}
	if err := r.redecideLocked(); err != nil {
		return err
	}
	return p.supervisor.Reload(ctx)
}

func (r *Roster) runningPlugin(name string) *plugin {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.running[name]
}

// redecideLocked is redecide with r.change not held.
func (r *Roster) redecideLocked() error {
	r.change.Lock()
	defer r.change.Unlock()
	return r.redecide()
}

// redecide decides again about the candidates that are known. r.change is held.
func (r *Roster) redecide() error {
	r.mu.RLock()
	plugins := r.plugins
	r.mu.RUnlock()
	return r.adopt(plugins)
}

// Disable drains a plugin, ends it, and keeps it from being started.
func (r *Roster) Disable(_ context.Context, name string) error {
	r.mu.RLock()
	p := r.find(name)
	r.mu.RUnlock()
	if p == nil {
		return fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	defer r.lock(p.name())()
	if err := r.off.Put(p.name(), true); err != nil {
		return err
	}
	if run := r.runningPlugin(p.name()); run != nil {
		r.halt(run)
	}
	return r.redecideLocked()
}

// Reload replaces the process of a plugin by a new one, which is up before the
// old one drains, or closes its open circuit. It returns when the new process is
// configured, or with the reason why it is not.
func (r *Roster) Reload(ctx context.Context, name string) error {
	defer r.lock(name)() // it must not be stopped for good meanwhile
	run := r.runningPlugin(name)
	if run == nil {
		return fmt.Errorf("%w: %s does not run", ErrNotFound, name)
	}
	if err := run.supervisor.Reload(ctx); err != nil {
		return fmt.Errorf("reload %s: %w", name, err)
	}
	return nil
}

// Reconsider applies changed lists of enabled and disabled plugins and of
// trusted keys.
func (r *Roster) Reconsider(ctx context.Context) error {
	stop, err := r.reconsider(ctx)
	if err != nil {
		return err
	}
	r.haltAll(stop)
	r.start(ctx)
	return nil
}

// reconsider decides again and returns what is to stop.
func (r *Roster) reconsider(ctx context.Context) ([]*plugin, error) {
	if err := r.scan(ctx, ""); err != nil {
		return nil, err
	}
	r.change.Lock()
	defer r.change.Unlock()
	stop := r.unsigned()
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, p := range r.running {
		if p.decision.State == catalog.Disabled && !slices.Contains(stop, p) {
			stop = append(stop, p)
		}
	}
	return stop, nil
}
