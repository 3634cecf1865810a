package answer

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// The actions that a Policy proposes.
const (
	ActionBlock  = "block"
	ActionLimit  = "limit"
	ActionNotify = "notify"
)

// Config is the section [enforcer_xdp].
type Config struct {
	MinSeverity string        `config:"min_severity" oneof:"informational,low,medium,high,critical" help:"alerts below this are left alone"`
	TTL         time.Duration `config:"ttl" min:"1s" max:"8760h" help:"how long an address stays blocked"`
	Rules       []string      `config:"rules" help:"ids of the rules whose alerts are answered; empty: all"`
	Action      string        `config:"action" oneof:"block,limit,notify" help:"what to propose: block the source address, limit its packets, or notify alone"`
	Forgeable   string        `config:"forgeable" oneof:"limit,notify" help:"what to propose instead of a block when the evidence may be forged and [respond] block_forgeable is not set"`
	Limit       int           `config:"limit" min:"1" max:"1000000" help:"packets per second that a limited address may send"`
	LimitTTL    time.Duration `config:"limit_ttl" min:"1s" max:"8760h" help:"how long an address stays limited"`
}

// Default returns the configuration that holds where the section is silent.
func Default() Config {
	return Config{
		MinSeverity: event.SeverityHigh.String(), TTL: time.Hour, Action: ActionBlock,
		Forgeable: ActionLimit, Limit: 100, LimitTTL: 10 * time.Minute,
	}
}

// Policy decides about alerts.
type Policy struct {
	least event.Severity
	cfg   Config
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
	case !slices.Contains([]string{ActionBlock, ActionLimit, ActionNotify}, cfg.Action):
		return nil, fmt.Errorf("action = %q: want block, limit or notify", cfg.Action)
	case !slices.Contains([]string{ActionLimit, ActionNotify}, cfg.Forgeable):
		return nil, fmt.Errorf("forgeable = %q: want limit or notify", cfg.Forgeable)
	case cfg.Limit < 1 || cfg.Limit > 1_000_000:
		return nil, fmt.Errorf("limit = %d: want 1 to 1000000 packets per second", cfg.Limit)
	case cfg.LimitTTL < time.Second || cfg.LimitTTL > 8760*time.Hour:
		return nil, fmt.Errorf("limit_ttl = %s: want 1s to 8760h", cfg.LimitTTL)
	}
	cfg.Rules = slices.Clone(cfg.Rules)
	return &Policy{least: least, cfg: cfg}, nil
}

// Decide returns what to propose about an alert. It reports false for an alert
// that the configuration leaves alone.
func (p *Policy) Decide(a *event.AlertEvent) (sdk.Intent, bool) {
	if a.Severity < p.least || len(p.cfg.Rules) > 0 && !slices.Contains(p.cfg.Rules, a.RuleID) {
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
	case p.cfg.Action == ActionNotify:
		intent.Reason = fmt.Sprintf("%s: the configuration asks for notices alone.", title(a))
	default:
		intent.Action = p.cfg.Action
		intent.Reason = fmt.Sprintf("%s from %s.", title(a), source)
		p.bound(&intent)
	}
	return intent, true
}

// bound says how long an answer lasts. Whether evidence suffices for a block is
// for the host to say: one that does not is told what to do instead.
func (p *Policy) bound(intent *sdk.Intent) {
	limits := []event.Field{
		{Key: "limit", Value: strconv.Itoa(p.cfg.Limit)},
		{Key: "limit_ttl_seconds", Value: strconv.FormatInt(int64(p.cfg.LimitTTL/time.Second), 10)},
	}
	intent.TTLSeconds = int64(p.cfg.TTL / time.Second)
	switch {
	case intent.Action == ActionLimit:
		intent.TTLSeconds = int64(p.cfg.LimitTTL / time.Second)
		intent.Details = append(intent.Details, limits[0])
	case p.cfg.Forgeable == ActionLimit:
		intent.Details = append(intent.Details, event.Field{Key: "forgeable", Value: ActionLimit})
		intent.Details = append(intent.Details, limits...)
	}
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
