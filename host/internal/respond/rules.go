package respond

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/expiry"
	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// packetRule is a rule of the filters, as it is kept; its key is the name.
type packetRule struct {
	// ID is what filters know the rule by, 1 to MaxBlockRules. It stays the same
	// while a rule of the name is there, so that counts go on.
	ID       uint32         `json:"id"`
	Priority uint16         `json:"priority"`
	From     []netip.Prefix `json:"from,omitempty"`
	To       []netip.Prefix `json:"to,omitempty"`
	// Protocol and Action are the words of package xdp; ports are as 22 or 8000-8100.
	Protocol    string       `json:"protocol"`
	Ports       []string     `json:"ports,omitempty"`
	SourcePorts []string     `json:"source_ports,omitempty"`
	Action      string       `json:"action"`
	Limit       uint32       `json:"limit,omitempty"`
	Burst       uint32       `json:"burst,omitempty"`
	DryRun      bool         `json:"dry_run,omitempty"`
	Reason      string       `json:"reason,omitempty"`
	Created     time.Time    `json:"created"`
	Stamp       expiry.Stamp `json:"stamp"`

	rule xdp.Rule // canonical, without priority and time to live
}

// Rules are the rules of the packet filters, for operators.
type Rules struct{ r *Responder }

var _ control.BlockRules = Rules{}

// What the control API lets in is what a filter takes: an index that is not 0 does
// not compile.
var _ = [1]struct{}{}[(control.MaxBlockRules-xdp.MaxRules)|
	(control.MaxRulePrefixes-xdp.MaxRulePrefixes)|(control.MaxRulePorts-xdp.MaxRuleRanges)]

// Rules returns the rules of the packet filters.
func (r *Responder) Rules() Rules { return Rules{r} }

// AddRule adds a rule in the operator's name, for DefaultTTL when it names no time,
// and replaces the one of its name. Counts go on while the conditions stay the same.
// It returns a *RailError for a source that is never blocked, and errors that wrap
// control.ErrInvalid or control.ErrConflict.
func (x Rules) AddRule(_ context.Context, order control.BlockRule) (*pb.BlockRuleResponse, error) {
	r := x.r
	r.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	made, err := r.newRule(order)
	if err != nil {
		return nil, err
	}
	old := r.rules[order.Name]
	changed := r.ruleDiffers(old, made)
	if changed {
		if err := errors.Join(r.notes.Fresh(), r.ruleTable.Put(order.Name, *made)); err != nil {
			return nil, fmt.Errorf("add the rule %s: %w", order.Name, err)
		}
		r.rules[order.Name] = made
		r.applyRules()
		r.nudge()
		r.tellRule(order.Name, made, pb.Outcome_OUTCOME_APPLIED, order.Reason)
	}
	return &pb.BlockRuleResponse{
		Changed: changed, Rule: r.showRule(order.Name, r.rules[order.Name], r.ruleCounts()), Warnings: r.ruleWarnings(made.rule),
	}, nil
}

// ruleDiffers reports whether a rule says anything else than the one there is, as
// differs does of blocks.
func (r *Responder) ruleDiffers(old, made *packetRule) bool {
	if old == nil || r.clock.Remaining(old.Stamp) <= 0 {
		return true
	}
	same := old.Priority == made.Priority && old.Reason == made.Reason && slices.Equal(old.From, made.From) && slices.Equal(old.To, made.To) &&
		old.Protocol == made.Protocol && slices.Equal(old.Ports, made.Ports) && slices.Equal(old.SourcePorts, made.SourcePorts) &&
		old.Action == made.Action && old.Limit == made.Limit && old.Burst == made.Burst && old.DryRun == made.DryRun
	d := r.clock.Remaining(made.Stamp) - r.clock.Remaining(old.Stamp)
	return !same || d >= time.Second || d <= -time.Second
}

// RemoveRule ends a rule. It returns control.ErrNotFound when there is none of the
// name.
func (x Rules) RemoveRule(_ context.Context, name string) (*pb.BlockRule, error) {
	r := x.r
	r.mu.Lock()
	defer r.mu.Unlock()
	gone := r.rules[name]
	if gone == nil {
		return nil, fmt.Errorf("%w: no rule is called %.80q; see: ironpost block rule list", control.ErrNotFound, name)
	}
	shown := r.showRule(name, gone, r.ruleCounts())
	if err := r.ruleTable.Delete(name); err != nil {
		return nil, fmt.Errorf("remove the rule %s: %w", name, err)
	}
	delete(r.rules, name)
	r.applyRules()
	r.tellRule(name, gone, pb.Outcome_OUTCOME_RELEASED, "An operator removed the rule.")
	return shown, nil
}

// ListRules returns the rules in the order in which they are asked.
func (x Rules) ListRules(context.Context) ([]*pb.BlockRule, error) {
	r := x.r
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := r.ruleCounts()
	out := make([]*pb.BlockRule, 0, len(r.rules))
	for _, name := range r.ruleOrder() {
		out = append(out, r.showRule(name, r.rules[name], counts))
	}
	return out, nil
}

// ruleOrder returns the names of the rules in the order in which they are asked:
// lower priorities first, then by name. r.mu is held.
func (r *Responder) ruleOrder() []string {
	names := make([]string, 0, len(r.rules))
	for name := range r.rules {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(r.rules[a].Priority, r.rules[b].Priority), cmp.Compare(a, b))
	})
	return names
}

// kernelRules is what filters are told of the rules; r.mu is held. Ranks take the
// place of priorities, so that no other order comes into play.
func (r *Responder) kernelRules() []xdp.Rule {
	var out []xdp.Rule
	for _, name := range r.ruleOrder() {
		x := r.rules[name]
		left := r.clock.Remaining(x.Stamp)
		if left <= 0 {
			continue
		}
		rule := x.rule
		rule.Priority, rule.TTL = uint16(len(out)), left
		out = append(out, rule)
	}
	return out
}

// applyRules makes every filter follow the rules; r.mu is held.
func (r *Responder) applyRules() {
	rules := r.kernelRules()
	r.each(func(f Filter) error { return f.SetRules(rules) })
}

// expireRules ends what is over and returns how long until something else is; r.mu
// is held.
func (r *Responder) expireRules() time.Duration {
	wait := expiry.Forever
	var over []string
	for name, x := range r.rules {
		if left := r.clock.Remaining(x.Stamp); left > 0 {
			wait = min(wait, left)
		} else {
			over = append(over, name)
		}
	}
	if len(over) == 0 {
		return wait
	}
	slices.Sort(over)
	if err := r.ruleTable.Delete(over...); err != nil {
		// What is over must not stay in force because it cannot be forgotten.
		r.log.Error("expired rules cannot be removed from the state database, trying again", "error", err)
		r.applyRules()
		return min(wait, mendInterval)
	}
	for _, name := range over {
		x := r.rules[name]
		delete(r.rules, name)
		r.tellRule(name, x, pb.Outcome_OUTCOME_EXPIRED, "The time of the rule is over.")
	}
	r.applyRules()
	return wait
}

// loadRules reads the rules, as load does blocks.
func (r *Responder) loadRules(last expiry.Tick) error {
	docs, err := r.ruleTable.All()
	if err != nil {
		if docs == nil {
			return err
		}
		r.problem("a rule cannot be read and is left out", err)
	}
	moved := make(map[string]packetRule)
	taken := make(map[uint32]bool)
	for name, x := range docs {
		if err := x.revive(); err != nil || taken[x.ID] {
			r.problem("the rule "+strconv.Quote(name)+" cannot be read and is left out; add it anew", cmp.Or(err, errors.New("another has its number")))
			continue
		}
		taken[x.ID] = true
		if s := r.clock.Rebase(x.Stamp, last); s != x.Stamp {
			x.Stamp = s
			moved[name] = x
		}
		r.rules[name] = &x
	}
	if len(moved) == 0 {
		return nil
	}
	return r.ruleTable.PutAll(moved)
}

// revive makes the rule for filters from what was kept.
func (x *packetRule) revive() error {
	order := control.BlockRule{
		From: x.From, To: x.To, Protocol: x.Protocol, Action: x.Action, Limit: x.Limit, Burst: x.Burst, DryRun: x.DryRun,
	}
	for _, c := range []struct {
		words []string
		to    *[]control.PortRange
	}{{x.Ports, &order.Ports}, {x.SourcePorts, &order.SourcePorts}} {
		for _, w := range c.words {
			p, err := control.ParsePortRange(w)
			if err != nil {
				return err
			}
			*c.to = append(*c.to, p)
		}
	}
	var err error
	x.rule, err = ruleOf(order)
	x.rule.ID = x.ID
	return err
}
