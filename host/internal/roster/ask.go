package roster

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ironpost/ironpost/host/internal/catalog"
	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/supervise"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Conn returns the connection of a running plugin by name, nil when there is
// none.
func (r *Roster) Conn(name string) *link.Conn {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if p := r.running[name]; p != nil {
		return p.supervisor.Conn()
	}
	return nil
}

// changed passes a report of targets on.
func (r *Roster) changed(enforcer string, targets []string) {
	if r.config.Changed != nil {
		r.config.Changed(enforcer, targets)
	}
}

// Find returns the connections of the running plugins that satisfy the
// condition, by name.
func (r *Roster) Find(want func(*pb.Description) bool) map[string]*link.Conn {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make(map[string]*link.Conn)
	for name, p := range r.running {
		if want(p.desc) {
			if c := p.supervisor.Conn(); c != nil {
				out[name] = c
			}
		}
	}
	return out
}

// Enabled returns what the enabled plugins said of themselves.
func (r *Roster) Enabled() []*pb.Description {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []*pb.Description
	for _, p := range r.plugins {
		if p.desc != nil && p.decision.State == catalog.Enabled {
			out = append(out, p.desc)
		}
	}
	return out
}

// Failed returns the error of a plugin that was given up.
func (r *Roster) Failed() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var errs []error
	for name, p := range r.running {
		if s := p.supervisor.Status(); s.State == supervise.Failed {
			errs = append(errs, fmt.Errorf("plugin %s keeps failing: %s", name, s.LastError))
		}
	}
	return errors.Join(errs...)
}

// Formats returns the formats that running parsers parse, sorted.
func (r *Roster) Formats() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []string
	for _, p := range r.running {
		if p.desc.Format != "" {
			out = append(out, p.desc.Format)
		}
	}
	slices.Sort(out)
	return out
}

// BundlePaths returns the paths and suffixes of the bundle of a running plugin.
func (r *Roster) BundlePaths(name string) (paths, suffixes []string) {
	r.mu.RLock()
	var found *plugin
	var spec *pb.BundleSpec
	for _, p := range r.running {
		for _, b := range p.desc.Bundles {
			if b.Name == name {
				found, spec = p, b
			}
		}
	}
	r.mu.RUnlock()
	if found == nil {
		return nil, nil
	}
	section, err := r.section(found)
	if err != nil {
		section = nil // the plugin runs: its section was fine
	}
	return r.bundlePaths(spec, section), spec.Suffixes
}
