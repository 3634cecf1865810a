package roster

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/ironpost/ironpost/host/internal/catalog"
	"github.com/ironpost/ironpost/host/internal/view"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// grant is what an operator granted with a pin.
type grant struct {
	permissions *pb.Permissions
	// values are those of the configuration keys that permissions refer to, at
	// the time; nil when they were not noted.
	values map[string][]string
}

// grantOf reads what a pin grants; a pin without grants, which no operator
// makes, restricts nothing and gives nil.
func grantOf(pin catalog.Pin) (*grant, error) {
	if len(pin.Grants) == 0 {
		return nil, nil
	}
	g := &grant{permissions: new(pb.Permissions), values: pin.Values}
	if err := protojson.Unmarshal(pin.Grants, g.permissions); err != nil {
		return nil, fmt.Errorf("read the grant of %s: %w", pin.Name, err)
	}
	return g, nil
}

// pin writes down which bytes may run under a name, and with what.
func (r *Roster) pin(name, digest string, granted *pb.Permissions, values map[string][]string) error {
	if granted == nil {
		granted = new(pb.Permissions)
	}
	grants, err := protojson.Marshal(granted)
	if err != nil {
		return fmt.Errorf("encode the grant: %w", err)
	}
	return r.pins.Put(name, catalog.Pin{Name: name, Digest: digest, Grants: json.RawMessage(grants), Values: values, At: time.Now().UTC()})
}

// noteValues adds to a pin what the configuration keys say that the permissions
// refer to: other values later are another grant.
func (r *Roster) noteValues(p *plugin) error {
	pin, ok, err := r.pins.Get(p.name())
	if err != nil || !ok || pin.Digest != p.digest {
		return err
	}
	section, err := r.section(p)
	if err != nil {
		section = nil // it does not run with what is in the file now
	}
	pin.Values = configured(p.desc.GetPermissions(), section)
	return r.pins.Put(p.name(), pin)
}

// configured returns the values of the keys that permissions refer to.
func configured(asked *pb.Permissions, section map[string]any) map[string][]string {
	out := make(map[string][]string)
	for _, list := range view.PermissionLists(asked) {
		for _, v := range *list.Values {
			if key, ok := strings.CutPrefix(v, "config:"); ok {
				out[key] = append([]string{}, resolve([]string{v}, section)...)
			}
		}
	}
	return out
}

// granted returns what the plugin may do with these values of its section: what
// it asks for, with the values in place of the keys, and, when an operator
// enabled its bytes, no more than was granted then. beyond names what it asks
// for and does not get, one permission each.
func (r *Roster) granted(p *plugin, section map[string]any) (in *pb.Permissions, beyond []string) {
	r.mu.RLock()
	g := p.grant
	r.mu.RUnlock()
	return g.limit(p.desc.GetPermissions(), section)
}

// limit cuts what is asked for down to the grant; a nil grant cuts nothing.
func (g *grant) limit(asked *pb.Permissions, section map[string]any) (in *pb.Permissions, beyond []string) {
	in = new(pb.Permissions)
	var granted *pb.Permissions
	if g != nil {
		granted = g.permissions
	}
	before, given := view.PermissionLists(granted), view.PermissionLists(in)
	for i, list := range view.PermissionLists(asked) {
		for _, v := range *list.Values {
			key, fromConfig := strings.CutPrefix(v, "config:")
			if g != nil && !slices.Contains(*before[i].Values, v) {
				beyond = append(beyond, list.Name+" "+v)
				continue
			}
			for _, value := range resolve([]string{v}, section) {
				if g != nil && fromConfig && g.values != nil && !covered(list.Name, value, g.values[key]) {
					beyond = append(beyond, fmt.Sprintf("%s %s (%s says so since the plugin was enabled)", list.Name, value, key))
					continue
				}
				*given[i].Values = append(*given[i].Values, value)
			}
		}
	}
	had, has := view.PermissionFlags(granted), view.PermissionFlags(in)
	for i, flag := range view.PermissionFlags(asked) {
		if *flag.Set && g != nil && !*had[i].Set {
			beyond = append(beyond, flag.Name)
			continue
		}
		*has[i].Set = *flag.Set
	}
	return in, beyond
}

// covered reports whether a value of the configuration widens nothing: it was
// there when the grant was made, or is a path in a directory that was granted.
func covered(kind, value string, granted []string) bool {
	if slices.Contains(granted, value) {
		return true
	}
	if kind != "read" && kind != "write" {
		return false
	}
	for _, wanted := range readable([]string{value}) {
		if !slices.ContainsFunc(readable(granted), func(dir string) bool {
			return wanted == dir || strings.HasPrefix(wanted, dir+string(filepath.Separator))
		}) {
			return false
		}
	}
	return len(readable([]string{value})) > 0
}

// grantFrom returns what the pin of a plugin grants. One that was built with the
// host has what it asks for: the operator's word about it is the configuration.
// It is called with r.mu held.
func (r *Roster) grantFrom(policy catalog.Policy, p *plugin) *grant {
	pin, ok := policy.Pins[p.name()]
	if !ok || p.digest != "" && policy.Sums[p.file] == p.digest {
		return nil
	}
	g, err := grantOf(pin)
	if err != nil {
		r.log.Error("a plugin gets nothing granted; run: ironpost plugin enable "+p.name(), "plugin", p.name(), "error", err)
		return &grant{permissions: new(pb.Permissions)}
	}
	return g
}

// showGrant says what the plugin has and what it asks for beyond that. A plugin
// that was never approved has nothing; of a changed one it is what the bytes
// before were granted.
func (r *Roster) showGrant(info *pb.PluginInfoResponse, p *plugin) {
	r.mu.RLock()
	trust, g := p.decision.Trust, p.grant
	r.mu.RUnlock()
	switch {
	case p.desc == nil:
	case trust == catalog.BuiltIn || trust == catalog.Pinned && g == nil:
		info.Granted = p.desc.GetPermissions()
	case g != nil:
		section, err := r.section(p)
		if err != nil {
			section = nil // nothing of it is in force
		}
		info.Granted = g.permissions
		_, info.NotGranted = g.limit(p.desc.GetPermissions(), section)
	default:
		info.Granted = new(pb.Permissions)
	}
}
