package answer

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// The actions that a Policy proposes.
const (
	ActionBlock  = "block"
	ActionNotify = "notify"
)

// Config is the section [enforcer_xdp].
type Config struct {
	MinSeverity string        `config:"min_severity" oneof:"informational,low,medium,high,critical" help:"alerts below this are left alone"`
	TTL         time.Duration `config:"ttl" min:"1s" max:"8760h" help:"how long an address stays blocked"`
	Rules       []string      `config:"rules" help:"ids of the rules whose alerts are answered; empty: all"`
	Action      string        `config:"action" oneof:"block,notify" help:"what to propose: block the source address, or notify alone"`
}

// Default returns the configuration that holds where the section is silent.
func Default() Config {
	return Config{MinSeverity: event.SeverityHigh.String(), TTL: time.Hour, Action: ActionBlock}
}

// Policy decides about alerts.
type Policy struct {
	least  event.Severity
	ttl    int64 // seconds
	rules  []string
	action string
}

// New returns the Policy of a configuration; its error names the key that is
// wrong.
func New(cfg Config) (*Policy, error) {
	least, ok := event.ParseSeverity(cfg.MinSeverity)
	switch {
	case !ok:
		return nil, fmt.Errorf("min_severity = %q: want informational, low, medium, high or critical", cfg.MinSeverity)
	case cfg.TTL < time.Second || cfg.TTL > 8760*time.Hour:
		return nil, fmt.Errorf("ttl = %s: want 1s to 8760h", cfg.TTL)
	case cfg.Action != ActionBlock && cfg.Action != ActionNotify:
		return nil, fmt.Errorf("action = %q: want block or notify", cfg.Action)
	}
	return &Policy{least: least, ttl: int64(cfg.TTL / time.Second), rules: slices.Clone(cfg.Rules), action: cfg.Action}, nil
}

// Decide returns what to propose about an alert. It reports false for an alert
// that the configuration leaves alone.
func (p *Policy) Decide(a *event.AlertEvent) (sdk.Intent, bool) {
	if a.Severity < p.least || len(p.rules) > 0 && !slices.Contains(p.rules, a.RuleID) {
		return sdk.Intent{}, false
	}
	intent := sdk.Intent{
		Action: ActionNotify,
		Details: []event.Field{
			{Key: "rule_id", Value: a.RuleID},
			{Key: "severity", Value: a.Severity.String()},
			{Key: "evidence", Value: a.Evidence.String()},
		},
	}
	source, why := source(a)
	if source.IsValid() {
		intent.Target = source.String()
	}
	switch {
	case why != "":
		intent.Reason = fmt.Sprintf("%s is not blocked: %s.", title(a), why)
	case p.action != ActionBlock:
		intent.Reason = fmt.Sprintf("%s: the configuration asks for notices alone.", title(a))
	default:
		intent.Action = ActionBlock
		intent.TTLSeconds = p.ttl
		intent.Reason = fmt.Sprintf("%s from %s.", title(a), source)
	}
	return intent, true
}

// source returns the address that the alert is about, and why no block of it is
// proposed; "" means that one is. Whether evidence that may be forged is enough
// is for the host to say, which knows whether the operator opted in.
func source(a *event.AlertEvent) (source netip.Addr, why string) {
	named := 0
	for _, e := range a.Entities {
		if e.Key != "src_ip" {
			continue
		}
		if named++; named > 1 {
			return netip.Addr{}, "the alert names more than one source address"
		}
		addr, err := netip.ParseAddr(e.Value)
		if err != nil || addr.Zone() != "" {
			why = "its source address cannot be read"
			continue
		}
		source = addr.Unmap()
	}
	switch {
	case named == 0:
		return source, "the alert names no source address"
	case why != "":
		return source, why
	case source.IsLoopback() || source.IsUnspecified() || source.IsMulticast() || source == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return source, "no packet of an attacker has its source address"
	}
	return source, unheard(a, source)
}

// unheard says why the origin of the evidence may not speak about the source;
// "" means that it may. What an origin that is not trusted says is believed of
// that origin alone.
func unheard(a *event.AlertEvent, source netip.Addr) string {
	switch a.Provenance {
	case event.ProvenanceHost:
		return ""
	case event.ProvenanceContainer:
		return "a container wrote the evidence"
	}
	if peer, ok := peerOf(a.Peer); ok && peer == source || sentAll(a, source) {
		return ""
	}
	return "an unauthenticated sender wrote the evidence about another address"
}

// sentAll reports whether the alert rests on packets of the source alone, which
// tell about their sender.
func sentAll(a *event.AlertEvent, source netip.Addr) bool {
	return len(a.Logs) == 0 && len(a.Packets) > 0 && !slices.ContainsFunc(a.Packets, func(p *event.PacketEvent) bool {
		return p.Scope != event.ScopeSource || p.Source.Unmap() != source
	})
}

// peerOf reads an address with or without a port.
func peerOf(s string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Unmap(), true
	}
	to, err := netip.ParseAddrPort(s)
	return to.Addr().Unmap(), err == nil
}

// title names the alert in a sentence.
func title(a *event.AlertEvent) string {
	if a.Title != "" {
		return a.Title
	}
	return a.RuleID
}
