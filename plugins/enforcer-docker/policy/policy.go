package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/sdk/event"
)

// The verbs of actions.
const (
	Notify     = "notify"
	Evidence   = "evidence"
	NetIsolate = "net-isolate"
	Pause      = "pause"
	Stop       = "stop"
	Kill       = "kill"
)

// Verbs are all of them.
func Verbs() []string { return []string{Notify, Evidence, NetIsolate, Pause, Stop, Kill} }

// Changes reports whether an action of this verb changes a container.
func Changes(verb string) bool { return verb != Notify && verb != Evidence }

// Bounds of a policy.
const (
	MinTTL      = time.Second
	MaxTTL      = 30 * 24 * time.Hour
	MaxCooldown = 30 * 24 * time.Hour
)

// Policy is one of them. It is not changed once it is loaded.
type Policy struct {
	Name, Description string
	File              string
	Line              int
	Order             int
	Disabled          bool
	// Mode is detect, simulate, enforce, or "" for the host's.
	Mode      string
	Match     Match
	Actions   []Action
	TTL       time.Duration
	Cooldown  time.Duration
	Approvals int
	// Otherwise is what is done in place of net-isolate where the container cannot
	// be isolated, or not without others that the policy does not name.
	Otherwise string
}

// Action is one step of an answer.
type Action struct {
	Verb string
	// Networks are the names of those to leave, none for all; Quarantine says that
	// the container is moved to the network that leads nowhere.
	Networks   []string
	Quarantine bool
	// Export has the files of the container exported with the evidence.
	Export bool
}

// Match says what a policy is for. What is empty is not asked.
type Match struct {
	Severity    event.Severity
	Rules, Tags []string
	Images      []string
	Names       []string
	Labels      []Label
	Networks    []string
	Projects    []string
}

// Label is a label that a container must have, with a value of a pattern.
type Label struct{ Key, Value string }

// Subject is what policies judge.
type Subject struct {
	// Alert is nil where an operator asks about a container: what policies say of
	// alerts is passed over then.
	Alert     *event.AlertEvent
	Container *engine.Container
	// Digests are the names of the container's image at registries, asked for when
	// a policy needs them; nil is none.
	Digests func() []string
}

// Why says why the policy does not match, "" when it does.
func (p *Policy) Why(s Subject) string {
	switch {
	case p.Disabled:
		return "it is not enabled"
	case s.Alert != nil && p.Match.ofAlert(s.Alert) != "":
		return p.Match.ofAlert(s.Alert)
	}
	return p.Match.OfContainer(s)
}

// String says in a line where the policy stands and what it does.
func (p *Policy) String() string {
	verbs := make([]string, len(p.Actions))
	for i, a := range p.Actions {
		verbs[i] = a.String()
	}
	text := fmt.Sprintf("line %d, order %d: %s", p.Line, p.Order, strings.Join(verbs, ", "))
	if p.TTL > 0 {
		text += fmt.Sprintf("; for %s", p.TTL)
	}
	if p.Mode != "" {
		text += "; mode " + p.Mode
	}
	if p.Approvals > 0 {
		text += fmt.Sprintf("; approvals %d", p.Approvals)
	}
	if p.Disabled {
		text += "; not enabled"
	}
	return text
}

// String names the action and what it concerns.
func (a Action) String() string {
	switch {
	case a.Quarantine:
		return a.Verb + " (quarantine)"
	case len(a.Networks) > 0:
		return a.Verb + " (" + listed(a.Networks) + ")"
	case a.Export:
		return a.Verb + " (export)"
	}
	return a.Verb
}

// ofAlert says what of the alert does not match.
func (m *Match) ofAlert(a *event.AlertEvent) string {
	switch {
	case a.Severity < m.Severity:
		return fmt.Sprintf("the alert is %s, and it asks for %s or more", a.Severity, m.Severity)
	case len(m.Rules) > 0 && !anyMatch(m.Rules, a.RuleID):
		return fmt.Sprintf("the rule %s is none of %s", bounded(a.RuleID), listed(m.Rules))
	case len(m.Tags) > 0 && !slices.ContainsFunc(a.Tags, func(tag string) bool { return anyMatch(m.Tags, tag) }):
		return "the alert has no tag of " + listed(m.Tags)
	}
	return ""
}

// OfContainer says what of the container does not match, whatever the alert.
func (m *Match) OfContainer(s Subject) string {
	c := s.Container
	switch {
	case len(m.Names) > 0 && !anyMatch(m.Names, c.Name):
		return fmt.Sprintf("the container's name %s is none of %s", bounded(c.Name), listed(m.Names))
	case len(m.Projects) > 0 && !anyMatch(m.Projects, c.Project()):
		return "the container is of no compose project of " + listed(m.Projects)
	case len(m.Networks) > 0 && !slices.ContainsFunc(c.Endpoints, func(p engine.Endpoint) bool { return anyMatch(m.Networks, p.Network) }):
		return "the container is on no network of " + listed(m.Networks)
	}
	for _, l := range m.Labels {
		value, ok := c.Labels[l.Key]
		if !ok || !Glob(l.Value, value) {
			return fmt.Sprintf("the container has no label %s=%s", bounded(l.Key), bounded(l.Value))
		}
	}
	if len(m.Images) == 0 || anyMatch(m.Images, c.Image) || anyMatch(m.Images, c.ImageID) {
		return ""
	}
	if s.Digests != nil && slices.ContainsFunc(m.Images, func(p string) bool { return strings.Contains(p, "@") }) &&
		slices.ContainsFunc(s.Digests(), func(d string) bool { return anyMatch(m.Images, d) }) {
		return ""
	}
	return fmt.Sprintf("the image %s is none of %s", bounded(c.Image), listed(m.Images))
}

// ofContainers reports whether anything of a container is named.
func (m *Match) ofContainers() bool {
	return len(m.Images)+len(m.Names)+len(m.Labels)+len(m.Networks)+len(m.Projects) > 0
}

// empty reports whether nothing is named.
func (m *Match) empty() bool {
	return m.Severity == event.SeverityUnknown && len(m.Rules)+len(m.Tags) == 0 && !m.ofContainers()
}

// validate returns what is wrong with a policy as a whole.
func (p *Policy) validate() error {
	changes := slices.ContainsFunc(p.Actions, func(a Action) bool { return Changes(a.Verb) })
	switch {
	case p.Name == "":
		return fmt.Errorf("%w: it has no name", errInvalid)
	case len(p.Actions) == 0:
		return fmt.Errorf("%w: it has no actions; want some of %s", errInvalid, strings.Join(Verbs(), ", "))
	case p.Match.empty():
		return fmt.Errorf("%w: its match names nothing; write severity: informational for every alert", errEmpty)
	case changes && !p.Match.ofContainers():
		return fmt.Errorf("%w: it changes containers and its match names nothing of them; write name: [\"*\"] for all", errEmpty)
	case changes && p.TTL == 0:
		return fmt.Errorf("%w: it has no ttl, and what it does would not end", errInvalid)
	}
	for i, a := range p.Actions {
		if slices.ContainsFunc(p.Actions[:i], func(b Action) bool { return a.Verb == b.Verb }) {
			return fmt.Errorf("%w: the action %s stands there twice", errInvalid, a.Verb)
		}
	}
	return nil
}

// Glob reports whether text is of a pattern in which * stands for any text and ?
// for one byte. It takes time in proportion to the product of their lengths at most.
func Glob(pattern, text string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

func anyMatch(patterns []string, text string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return Glob(p, text) })
}

// maxShown bounds what a sentence shows of others' words, in bytes.
const maxShown = 128

func bounded(s string) string { return engine.Clip(s, maxShown) }

func listed(patterns []string) string { return bounded(strings.Join(patterns, ", ")) }
