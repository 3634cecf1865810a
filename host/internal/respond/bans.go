package respond

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/respond/rail"
)

// ErrAllowed says that an address is never blocked. A RailError wraps it.
var ErrAllowed = errors.New("it is never blocked")

// RailError says which rule forbids a block. It wraps ErrAllowed and
// control.ErrConflict.
type RailError struct {
	// Prefix is what was to be blocked, Rule the prefix that contains it.
	Prefix, Rule netip.Prefix
	// Rail is the rail's name, Source where the rule comes from.
	Rail, Source string
}

// Error names the rule and where it stands.
func (e *RailError) Error() string {
	return fmt.Sprintf("%s: %v: %s", text(e.Prefix), ErrAllowed, ban{e.Rail, e.Source}.sentence(e.Rule))
}

// Unwrap returns ErrAllowed and control.ErrConflict.
func (e *RailError) Unwrap() []error { return []error{ErrAllowed, control.ErrConflict} }

// text is how a prefix is shown: an address without its length.
func text(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// sentence says what a prefix is to the host.
func (b ban) sentence(p netip.Prefix) string {
	what := map[string]string{
		RailAllow:       "on the allow list",
		RailProxy:       "a trusted proxy",
		rail.Own:        "an address of this host",
		rail.Gateway:    "a gateway of this host",
		rail.Resolver:   "a name server of this host",
		rail.TimeServer: "a time server of this host",
		rail.Session:    "the peer of an SSH session that is logged in",
	}[b.rail]
	return fmt.Sprintf("%s is %s (%s)", text(p), what, b.source)
}

// Sources of bans that are not files of the system.
const (
	sourceRespond  = "[respond] allow"
	sourcePass     = "[ebpf] allow"
	sourceProxies  = "[respond] trusted_proxies"
	sourceOperator = "ironpost allow add"
	sourceFleet    = "ironpost allow add, on another host"
)

// look finds the rails of the system again, unless that was done just now.
func (r *Responder) look() {
	if r.finder == nil {
		return
	}
	r.looking.Lock()
	defer r.looking.Unlock()
	r.mu.Lock()
	now := r.clock.Boot()
	fresh := r.looked != 0 && now-r.looked < railAge && now >= r.looked
	r.mu.Unlock()
	if fresh {
		return
	}
	found, err := r.finder.Find()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looked = max(now, 1)
	said := ""
	if err != nil {
		said = err.Error()
	}
	if said != r.findErr && said != "" {
		r.log.Warn("some addresses that must not be blocked may be unknown", "error", said)
	}
	r.findErr = said
	if !slices.Equal(found, r.system) {
		r.system = found
		r.rebuild()
	}
}

// rebuild makes the rails from their parts, and gives filters what has changed;
// r.mu is held. Of several rules about one prefix the first is named.
func (r *Responder) rebuild() {
	never := make(map[netip.Prefix]ban)
	add := func(p netip.Prefix, b ban) {
		p, ok := canonical(p)
		if _, known := never[p]; ok && !known {
			never[p] = b
		}
	}
	for _, p := range r.policy.Respond.Allow {
		add(p, ban{RailAllow, sourceRespond})
	}
	for _, p := range r.policy.Pass {
		add(p, ban{RailAllow, sourcePass})
	}
	for p, e := range r.allows {
		if r.clock.Remaining(e.Stamp) > 0 {
			add(p, ban{RailAllow, sourceOperator})
		}
	}
	for _, t := range r.taken {
		if t.Allow && r.clock.Remaining(t.Stamp) > 0 {
			add(t.Prefix, ban{RailAllow, sourceFleet})
		}
	}
	for _, p := range r.policy.Respond.TrustedProxies {
		add(p, ban{RailProxy, sourceProxies})
	}
	passed := maps.Clone(never)
	for _, s := range r.system {
		add(s.Prefix, ban{s.Name, s.Source})
		if s.Name != rail.Own {
			passed[s.Prefix] = ban{}
		}
	}
	r.never = never
	if sorted := sortedPrefixes(passed); !slices.Equal(sorted, r.passed) {
		r.passed = sorted
		r.each(func(f Filter) error { return f.ReplaceAllow(sorted) })
	}
}

// banned returns the error for a block of p, nil when no rail forbids it; r.mu
// is held.
func (r *Responder) banned(p netip.Prefix) *RailError { return banIn(r.never, p) }

// banIn is banned with rails that do not change.
func banIn(never map[netip.Prefix]ban, p netip.Prefix) *RailError {
	rule, b, found := covering(never, p)
	if !found {
		return nil
	}
	return &RailError{Prefix: p, Rule: rule, Rail: b.rail, Source: b.source}
}

// exceptions names what passes although it lies in p; r.mu is held.
func (r *Responder) exceptions(p netip.Prefix) string {
	in := inside(r.passed, p)
	if len(in) == 0 {
		return ""
	}
	var names []string
	for _, q := range in[:min(len(in), 3)] {
		names = append(names, fmt.Sprintf("%s (%s)", text(q), r.never[q].rail))
	}
	if more := len(in) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}
