package respond

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ironpost/ironpost/host/internal/action"
	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/respond/rail"
	"github.com/ironpost/ironpost/host/internal/xdp"
)

// newRule checks an order and makes the rule; r.mu is held.
func (r *Responder) newRule(order control.BlockRule) (*packetRule, error) {
	rule, err := ruleOf(order)
	if err != nil {
		return nil, fmt.Errorf("the rule %s: %w", order.Name, err)
	}
	for _, p := range rule.From {
		if ban := r.banned(p); ban != nil {
			return nil, ban
		}
	}
	if r.sweeping(rule) && !order.Force {
		return nil, fmt.Errorf("%w: the rule %s drops every packet of protocol %v, of everybody who is not on the allow list: name sources, other destinations or ports, or force it (--force)",
			control.ErrInvalid, order.Name, rule.Protocol)
	}
	ttl, err := r.blockTTL(order.TTL)
	if err != nil {
		return nil, err
	}
	old := r.rules[order.Name]
	if old == nil && len(r.rules) >= control.MaxBlockRules {
		return nil, fmt.Errorf("%w: there are %d rules already, as many as a filter takes; remove one", control.ErrConflict, len(r.rules))
	}
	prefixes := len(rule.From) + len(rule.To)
	for name, other := range r.rules {
		if name != order.Name {
			prefixes += len(other.rule.From) + len(other.rule.To)
		}
	}
	if prefixes > control.MaxRulePrefixes {
		return nil, fmt.Errorf("%w: all rules together would name %d networks, at most %d are allowed; a list takes more: ironpost block import",
			control.ErrConflict, prefixes, control.MaxRulePrefixes)
	}
	if rule.ID = r.freeRuleID(); old != nil {
		rule.ID = old.ID
	}
	return &packetRule{
		ID: rule.ID, Priority: order.Priority, From: rule.From, To: rule.To, Protocol: rule.Protocol.String(),
		Ports: portWords(rule.Ports), SourcePorts: portWords(rule.SourcePorts),
		Action: rule.Action.String(), Limit: rule.Limit, Burst: rule.Burst, DryRun: rule.DryRun,
		Reason: action.Cut(order.Reason, action.MaxReason), Created: r.clock.Wall().Round(0).UTC(), Stamp: r.clock.Stamp(ttl), rule: rule,
	}, nil
}

// ruleOf is what an order asks of filters. Its errors wrap control.ErrInvalid.
func ruleOf(order control.BlockRule) (xdp.Rule, error) {
	rule := xdp.Rule{From: order.From, To: order.To, Limit: order.Limit, Burst: order.Burst, DryRun: order.DryRun}
	for _, p := range order.Ports {
		rule.Ports = append(rule.Ports, xdp.PortRange(p))
	}
	for _, p := range order.SourcePorts {
		rule.SourcePorts = append(rule.SourcePorts, xdp.PortRange(p))
	}
	var err error
	if rule.Protocol, err = xdp.ParseProtocol(order.Protocol); err == nil {
		rule.Action, err = actionOf(order.Action, order.Limit)
	}
	switch {
	case err != nil:
	case rule.Action != xdp.ActionLimit && order.Burst > 0:
		err = errors.New("a burst belongs to a limit")
	case rule.Action == xdp.ActionMonitor && order.DryRun:
		err = errors.New("what is monitored is not dropped: it has no dry run")
	default:
		rule, err = rule.Canonical()
	}
	if err != nil {
		return rule, fmt.Errorf("%w: %w", control.ErrInvalid, err)
	}
	return rule, nil
}

// actionOf reads the word of an action; "" is limit where there is one, else drop.
func actionOf(word string, limit uint32) (xdp.Action, error) {
	if word == "" && limit > 0 {
		return xdp.ActionLimit, nil
	}
	for _, a := range []xdp.Action{xdp.ActionDrop, xdp.ActionMonitor, xdp.ActionLimit} {
		switch {
		case word != a.String() && (word != "" || a != xdp.ActionDrop):
		case a == xdp.ActionLimit && limit == 0:
			return a, errors.New("the action limit names no limit")
		case a != xdp.ActionLimit && limit > 0:
			return a, fmt.Errorf("the action %v has no limit", a)
		default:
			return a, nil
		}
	}
	return 0, fmt.Errorf("action %.40q is not one of drop, monitor and limit", word)
}

func portWords(ranges []xdp.PortRange) []string {
	var out []string
	for _, p := range ranges {
		out = append(out, p.String())
	}
	return out
}

// freeRuleID returns the lowest number that no rule has; r.mu is held.
func (r *Responder) freeRuleID() uint32 {
	taken := make(map[uint32]bool, len(r.rules))
	for _, x := range r.rules {
		taken[x.ID] = true
	}
	id := uint32(1)
	for taken[id] {
		id++
	}
	return id
}

// everywhere reports whether a condition about addresses leaves none out of a
// family.
func everywhere(prefixes []netip.Prefix) bool {
	return len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Bits() == 0 })
}

// toHost reports whether a rule is about what goes to all of a family or to an
// address of this host; r.mu is held.
func (r *Responder) toHost(rule xdp.Rule) bool {
	return everywhere(rule.To) || slices.ContainsFunc(rule.To, func(p netip.Prefix) bool {
		for _, s := range r.system {
			if s.Name == rail.Own && p.Overlaps(s.Prefix) {
				return true
			}
		}
		return false
	})
}

// hasPort reports whether a condition about ports leaves in a port.
func hasPort(ranges []xdp.PortRange, port uint16) bool {
	return len(ranges) == 0 || slices.ContainsFunc(ranges, func(p xdp.PortRange) bool { return p.First <= port && port <= p.Last })
}

// everyPort reports whether a condition about ports leaves none out but 0, which
// nothing uses.
func everyPort(ranges []xdp.PortRange) bool {
	return len(ranges) == 0 || slices.ContainsFunc(ranges, func(p xdp.PortRange) bool { return p.First <= 1 && p.Last == 1<<16-1 })
}

// sweeping reports whether a rule drops everything of a protocol that comes from
// everywhere to this host; r.mu is held.
func (r *Responder) sweeping(rule xdp.Rule) bool {
	return rule.Action == xdp.ActionDrop && !rule.DryRun && everywhere(rule.From) && r.toHost(rule) &&
		everyPort(rule.Ports) && everyPort(rule.SourcePorts)
}

// sshPort is the port of SSH (RFC 4251).
const sshPort = 22

// ruleWarnings says what may not have been meant; r.mu is held.
func (r *Responder) ruleWarnings(rule xdp.Rule) []string {
	tcp := rule.Protocol == xdp.ProtocolAny || rule.Protocol == xdp.ProtocolTCP || rule.Protocol == xdp.ProtocolTCPSYN
	if rule.Action == xdp.ActionDrop && !rule.DryRun && tcp && everywhere(rule.From) && r.toHost(rule) &&
		hasPort(rule.Ports, sshPort) && everyPort(rule.SourcePorts) {
		return []string{"It drops SSH (tcp/22) from everywhere: sessions that are logged in and the allow list pass, nobody else gets in. " +
			"Allow your own network: ironpost allow add NETWORK"}
	}
	return nil
}
