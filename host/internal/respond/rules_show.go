package respond

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/action"
	"github.com/ironpost/ironpost/host/internal/expiry"
	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// ruleCounts returns what filters counted of each rule, by its number, over all of
// them; r.mu is held. A filter that cannot say counts nothing.
func (r *Responder) ruleCounts() map[uint32]xdp.Rule {
	out := make(map[uint32]xdp.Rule)
	if len(r.rules) == 0 {
		return out
	}
	for name, a := range r.filters {
		rules, err := a.Rules()
		if err != nil {
			r.log.Error("cannot read the hits of rules", "interface", name, "error", err)
			continue
		}
		for _, rule := range rules {
			sum := out[rule.ID]
			sum.Hits, sum.Drops, sum.WouldDrops = sum.Hits+rule.Hits, sum.Drops+rule.Drops, sum.WouldDrops+rule.WouldDrops
			out[rule.ID] = sum
		}
	}
	return out
}

// showRule is a rule as the control API has it; r.mu is held.
func (r *Responder) showRule(name string, x *packetRule, counts map[uint32]xdp.Rule) *pb.BlockRule {
	c := counts[x.ID]
	out := &pb.BlockRule{
		Name: name, Priority: uint32(x.Priority), Protocol: x.Protocol, Ports: x.Ports, SourcePorts: x.SourcePorts,
		Action: x.Action, Limit: x.Limit, Burst: x.Burst, DryRun: x.DryRun, Reason: x.Reason,
		Created: timestamppb.New(x.Created), Effect: r.ruleEffect(x), Hits: c.Hits, Dropped: c.Drops, WouldDrop: c.WouldDrops,
	}
	for _, p := range x.From {
		out.From = append(out.From, p.String())
	}
	for _, p := range x.To {
		out.To = append(out.To, p.String())
	}
	if left := r.clock.Remaining(x.Stamp); left != expiry.Forever {
		out.Expires = timestamppb.New(r.clock.Wall().Add(left))
	}
	return out
}

// ruleEffect says what a rule does; r.mu is held.
func (r *Responder) ruleEffect(x *packetRule) string {
	var never, all *RailError
	passing := 0
	for _, p := range x.From {
		if ban := r.banned(p); ban != nil {
			never, passing = ban, passing+1
		}
	}
	if passing == len(x.From) {
		all = never
	}
	if why := r.idle(all); why != "" {
		return why
	}
	switch {
	case x.rule.Action == xdp.ActionMonitor:
		return "none: it is monitored"
	case x.DryRun:
		return "none: dry run"
	case never != nil:
		return "enforced, except " + text(never.Prefix) + " (" + never.Rail + ")"
	}
	for _, p := range x.From {
		if but := r.exceptions(p); but != "" {
			return "enforced, except " + but
		}
	}
	return "enforced"
}

// rulesAbout names the rules that may decide about packets from p; r.mu is held.
func (r *Responder) rulesAbout(p netip.Prefix) string {
	const most = 5
	var names []string
	for _, name := range r.ruleOrder() {
		x := r.rules[name]
		family := func(q netip.Prefix) bool { return q.Addr().Is4() == p.Addr().Is4() }
		switch {
		case r.clock.Remaining(x.Stamp) <= 0,
			len(x.From) > 0 && !slices.ContainsFunc(x.From, p.Overlaps),
			len(x.To) > 0 && !slices.ContainsFunc(x.To, family):
			continue
		}
		names = append(names, name)
	}
	switch n := len(names); {
	case n == 0:
		return ""
	case n > most:
		names = append(names[:most], fmt.Sprintf("%d more", n-most))
	}
	return "rules may decide about some of its packets: " + strings.Join(names, ", ")
}

// tellRule records what became of a rule; r.mu is held.
func (r *Responder) tellRule(name string, x *packetRule, outcome pb.Outcome, reason string) {
	a := &pb.ActionEvent{
		Enforcer: OperatorName, Action: actionRule, Target: name, Outcome: r.asMode(outcome), Reason: reason,
		Details: []*pb.Field{{Key: "action", Value: x.Action}, {Key: "protocol", Value: x.Protocol}},
	}
	set := func(key, value string) {
		if value != "" {
			a.Details = append(a.Details, &pb.Field{Key: key, Value: action.Cut(value, action.MaxText)})
		}
	}
	set("from", joined(x.From))
	set("to", joined(x.To))
	set("ports", strings.Join(x.Ports, ","))
	set("source_ports", strings.Join(x.SourcePorts, ","))
	if x.Limit > 0 {
		set(detailLimit, strconv.FormatUint(uint64(x.Limit), 10))
		set("burst", strconv.FormatUint(uint64(x.Burst), 10))
	}
	if x.DryRun {
		set("dry_run", "true")
	}
	if outcome == pb.Outcome_OUTCOME_APPLIED && x.Stamp.TTL > 0 {
		a.Expires = uint64(x.Stamp.Expires.UnixNano())
	}
	r.tell(a)
}

func joined(prefixes []netip.Prefix) string {
	words := make([]string, 0, len(prefixes))
	for _, p := range prefixes {
		words = append(words, text(p))
	}
	return strings.Join(words, ",")
}
