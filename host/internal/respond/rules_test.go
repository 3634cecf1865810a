package respond

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/expiry"
	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// ssh is a rule that limits SSH.
func ssh(change ...func(*control.BlockRule)) control.BlockRule {
	b := control.BlockRule{
		Name: "ssh", Priority: 1000, Protocol: "tcp", Ports: []control.PortRange{{First: 22, Last: 22}}, Limit: 100,
		TTL: 90 * time.Second, Reason: "guessers",
	}
	for _, c := range change {
		c(&b)
	}
	return b
}

func (w *world) addRule(b control.BlockRule) *pb.BlockRuleResponse {
	w.t.Helper()
	resp, err := w.r.Rules().AddRule(w.t.Context(), b)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

// ruleNames returns the rules by name and effect, in their order.
func (w *world) ruleNames() (out []string) {
	w.t.Helper()
	list, err := w.r.Rules().ListRules(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, x := range list {
		out = append(out, x.Name+": "+x.Effect)
	}
	return out
}

func (f *filter) ruleSet() []xdp.Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.rules)
}

// counted gives every rule that the filter has hits.
func (f *filter) counted(hits, drops, wouldDrops uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.rules {
		f.rules[i].Hits, f.rules[i].Drops, f.rules[i].WouldDrops = hits, drops, wouldDrops
	}
}

func TestAddRule(t *testing.T) {
	w := newWorld(t, config.Enforce)
	f := newFilter("eth0")
	if err := w.r.Attach(f); err != nil {
		t.Fatal(err)
	}
	got := w.addRule(ssh(func(b *control.BlockRule) {
		b.From = prefixes("203.0.113.128/25", "203.0.113.0/24", "2001:db8:1::/48")
		b.Ports = []control.PortRange{{First: 23, Last: 25}, {First: 22, Last: 22}}
	}))
	want := &pb.BlockRuleResponse{Changed: true, Rule: &pb.BlockRule{
		Name: "ssh", Priority: 1000, From: []string{"203.0.113.0/24", "2001:db8:1::/48"}, Protocol: "tcp", Ports: []string{"22-25"},
		Action: "limit", Limit: 100, Burst: xdp.DefaultBurst(100), Reason: "guessers", Effect: "enforced",
	}}
	if got.Rule.GetExpires().AsTime() != w.clock.wall.Add(90*time.Second) || got.Rule.GetCreated().AsTime() != w.clock.wall {
		t.Errorf("got %v, want it to last 90 s from now", got)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreFields(&pb.BlockRule{}, "created", "expires")); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	rule := xdp.Rule{
		ID: 1, From: prefixes("203.0.113.0/24", "2001:db8:1::/48"), Protocol: xdp.ProtocolTCP, Ports: []xdp.PortRange{{First: 22, Last: 25}},
		Action: xdp.ActionLimit, Limit: 100, Burst: xdp.DefaultBurst(100), TTL: 90 * time.Second,
	}
	if diff := cmp.Diff([]xdp.Rule{rule}, f.ruleSet(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("the filter was told (-want +got):\n%s", diff)
	}
	last := w.journal.last()
	if last.Action != "rule" || last.Target != "ssh" || last.Outcome != pb.Outcome_OUTCOME_APPLIED || last.Enforcer != OperatorName ||
		last.Reason != "guessers" || detail(last, "from") != "203.0.113.0/24,2001:db8:1::/48" || detail(last, "ports") != "22-25" || detail(last, "limit") != "100" {
		t.Errorf("got action %v, want the rule recorded", last)
	}

	// The same again changes nothing; another limit keeps the number, and counts.
	if got := w.addRule(ssh(func(b *control.BlockRule) {
		b.From = prefixes("203.0.113.0/24", "2001:db8:1::/48")
		b.Ports = []control.PortRange{{First: 22, Last: 25}}
	})); got.Changed {
		t.Errorf("got %v, want no change", got)
	}
	w.addRule(ssh(func(b *control.BlockRule) { b.Limit, b.DryRun = 7, true }))
	if set := f.ruleSet(); len(set) != 1 || set[0].ID != 1 || set[0].Limit != 7 || !set[0].DryRun {
		t.Errorf("got rules %+v, want the one replaced", set)
	}
	if diff := cmp.Diff([]string{"ssh: none: dry run"}, w.ruleNames()); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

func TestRuleOrder(t *testing.T) {
	w := newWorld(t, config.Enforce)
	f := newFilter("eth0")
	if err := w.r.Attach(f); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name     string
		priority uint16
	}{{"b", 1000}, {"last", 65535}, {"a", 1000}, {"first", 0}, {"A", 1000}} {
		w.addRule(ssh(func(b *control.BlockRule) { b.Name, b.Priority = x.name, x.priority }))
	}
	want := []string{"first", "A", "a", "b", "last"}
	if diff := cmp.Diff(want, w.r.ruleOrder()); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	for i, rule := range f.ruleSet() {
		if rule.Priority != uint16(i) || rule.ID != w.r.rules[want[i]].ID {
			t.Errorf("rule %d is %+v, want %s", i, rule, want[i])
		}
	}
}

func TestRuleRefusals(t *testing.T) {
	w := newWorld(t, config.Enforce)
	ports := []control.PortRange{{First: 0, Last: 65535}}
	tests := []struct {
		name  string
		rule  control.BlockRule
		fault error
		says  string
	}{
		{"no condition", control.BlockRule{Action: "drop", Force: true}, control.ErrInvalid, "match everything"},
		{"protocol", control.BlockRule{Protocol: "sctp"}, control.ErrInvalid, "sctp"},
		{"action", control.BlockRule{Protocol: "tcp", Action: "reject"}, control.ErrInvalid, "reject"},
		{"limit without a limit", control.BlockRule{Protocol: "tcp", Action: "limit"}, control.ErrInvalid, "names no limit"},
		{"drop with a limit", control.BlockRule{Protocol: "tcp", Action: "drop", Limit: 5}, control.ErrInvalid, "no limit"},
		{"monitor with a limit", control.BlockRule{Protocol: "tcp", Action: "monitor", Limit: 5}, control.ErrInvalid, "no limit"},
		{"burst without a limit", control.BlockRule{Protocol: "tcp", Action: "monitor", Burst: 5}, control.ErrInvalid, "burst"},
		{"monitor as a dry run", control.BlockRule{Protocol: "tcp", Action: "monitor", DryRun: true}, control.ErrInvalid, "dry run"},
		{"limit too high", control.BlockRule{Protocol: "tcp", Limit: xdp.MaxLimit + 1}, control.ErrInvalid, "10000000"},
		{"ports of icmp", control.BlockRule{Protocol: "icmp", Ports: ports}, control.ErrInvalid, "no ports"},
		{"families", control.BlockRule{From: prefixes("192.0.2.0/25"), To: prefixes("2001:db8::/32")}, control.ErrInvalid, "families"},
		{"too long", control.BlockRule{Protocol: "tcp", Limit: 5, TTL: 25 * time.Hour}, control.ErrInvalid, "max_ttl"},
		{"a gateway", control.BlockRule{From: prefixes("192.0.2.1/32")}, ErrAllowed, "gateway"},
		{"one of two is a session", control.BlockRule{From: prefixes("203.0.113.0/24", "192.0.2.77/32"), Limit: 5}, ErrAllowed, "SSH session"},
		{"all of a protocol", control.BlockRule{Protocol: "tcp"}, control.ErrInvalid, "--force"},
		{"all of a protocol by ports", control.BlockRule{Protocol: "udp", Ports: ports, SourcePorts: ports}, control.ErrInvalid, "--force"},
		{"all of IPv4", control.BlockRule{From: prefixes("0.0.0.0/0")}, control.ErrInvalid, "--force"},
		{"all to this host", control.BlockRule{To: prefixes("192.0.2.10/32")}, control.ErrInvalid, "--force"},
		{"all to its network", control.BlockRule{To: prefixes("192.0.2.0/24"), Protocol: "tcp-syn"}, control.ErrInvalid, "--force"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.rule.Name = "x"
			_, err := w.r.Rules().AddRule(t.Context(), test.rule)
			if !errors.Is(err, test.fault) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %v that says %q", err, test.fault, test.says)
			}
		})
	}
	if got := w.ruleNames(); len(got) != 0 {
		t.Errorf("got rules %v, want none", got)
	}
	// What is not a drop of all that comes is not held up.
	for i, b := range []control.BlockRule{
		{Protocol: "tcp", Force: true},
		{Protocol: "tcp", DryRun: true},
		{Protocol: "tcp", Action: "monitor"},
		{Protocol: "tcp", Limit: 1000},
		{Protocol: "tcp", Ports: []control.PortRange{{First: 22, Last: 22}}},
		{To: prefixes("198.51.100.200/32")},
		{From: prefixes("203.0.113.0/24")},
	} {
		b.Name = fmt.Sprint("fine", i)
		got := w.addRule(b)
		if warned := len(got.Warnings) > 0; warned != (i == 0 || i == 4) {
			t.Errorf("%s: got warnings %q", b.Name, got.Warnings)
		}
	}
}

func TestRuleBounds(t *testing.T) {
	w := newWorld(t, config.Simulate)
	many := func(from, to int) (out []netip.Prefix) {
		for i := from; i < to; i++ {
			out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 7), byte(i << 1), 0}), 24))
		}
		return out
	}
	w.addRule(control.BlockRule{Name: "wide", From: many(0, control.MaxRulePrefixes-1)})
	w.addRule(control.BlockRule{Name: "one", From: prefixes("203.0.113.0/24")})
	_, err := w.r.Rules().AddRule(t.Context(), control.BlockRule{Name: "more", To: prefixes("198.51.100.200/32")})
	if !errors.Is(err, control.ErrConflict) || !strings.Contains(err.Error(), "4097 networks") {
		t.Errorf("got %v, want too many networks", err)
	}
	w.addRule(control.BlockRule{Name: "wide", From: many(0, 10)})
	for i := range control.MaxBlockRules - 2 {
		w.addRule(ssh(func(b *control.BlockRule) { b.Name = fmt.Sprint("n", i) }))
	}
	_, err = w.r.Rules().AddRule(t.Context(), ssh(func(b *control.BlockRule) { b.Name = "more" }))
	if !errors.Is(err, control.ErrConflict) {
		t.Errorf("got %v, want too many rules", err)
	}
	w.addRule(ssh(func(b *control.BlockRule) { b.Name, b.Limit = "n0", 3 })) // it replaces one
	if _, err := w.r.Rules().RemoveRule(t.Context(), "n1"); err != nil {
		t.Error(err)
	}
	w.addRule(ssh(func(b *control.BlockRule) { b.Name = "more" }))
	taken := map[uint32]bool{}
	for _, x := range w.r.rules {
		taken[x.ID] = true
	}
	if len(taken) != control.MaxBlockRules || taken[control.MaxBlockRules+1] {
		t.Errorf("got numbers %v, want 1 to %d", taken, control.MaxBlockRules)
	}
	if control.MaxBlockRules != xdp.MaxRules || control.MaxRulePrefixes != xdp.MaxRulePrefixes || control.MaxRulePorts != xdp.MaxRuleRanges {
		t.Error("the bounds of the control API are not those of filters")
	}
}

func TestRemoveRule(t *testing.T) {
	w := newWorld(t, config.Simulate)
	f, g := newFilter("eth0"), newFilter("eth1")
	if err := errors.Join(w.r.Attach(f), w.r.Attach(g)); err != nil {
		t.Fatal(err)
	}
	w.addRule(ssh())
	f.counted(10, 0, 7)
	g.counted(5, 2, 1)
	got, err := w.r.Rules().RemoveRule(t.Context(), "ssh")
	if err != nil || got.Hits != 15 || got.Dropped != 2 || got.WouldDrop != 8 || got.Effect != "simulated" {
		t.Errorf("got %v %v, want the counts of both filters", got, err)
	}
	if len(f.ruleSet())+len(g.ruleSet()) != 0 {
		t.Error("the filters have it still")
	}
	if last := w.journal.last(); last.Action != "rule" || last.Outcome != pb.Outcome_OUTCOME_RELEASED {
		t.Errorf("got action %v, want it released", last)
	}
	if _, err := w.r.Rules().RemoveRule(t.Context(), "ssh"); !errors.Is(err, control.ErrNotFound) {
		t.Errorf("got %v, want that there is none", err)
	}
	w.restart()
	if got := w.ruleNames(); len(got) != 0 {
		t.Errorf("got rules %v after a restart", got)
	}
}

func TestRuleEffect(t *testing.T) {
	w := newWorld(t, config.Enforce)
	w.addRule(ssh(func(b *control.BlockRule) { b.From = prefixes("192.0.2.0/24", "203.0.113.9/32") }))
	w.addRule(ssh(func(b *control.BlockRule) { b.Name, b.From = "few", prefixes("203.0.113.9/32") }))
	w.addRule(ssh(func(b *control.BlockRule) { b.Name, b.Limit, b.Action = "watch", 0, "monitor" }))
	check := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, w.ruleNames()); diff != "" {
			t.Errorf("effects (-want +got):\n%s", diff)
		}
	}
	const nobody = ": none: no interface is watched"
	check("few"+nobody, "ssh"+nobody, "watch"+nobody)
	f := newFilter("eth0")
	f.fail["rules"] = errors.New("no room")
	if err := w.r.Attach(f); err == nil || !strings.Contains(err.Error(), "load the rules: no room") {
		t.Errorf("got %v, want why it does not follow", err)
	}
	check("few: uncertain: load the rules: no room", "ssh: uncertain: load the rules: no room", "watch: uncertain: load the rules: no room")
	f.fail["rules"] = nil
	w.clock.pass(mendInterval)
	w.r.step()
	check("few: enforced", "ssh: enforced, except 192.0.2.1 (gateway), 192.0.2.2 (gateway), 192.0.2.53 (resolver), 3 more", "watch: none: it is monitored")
	if len(f.ruleSet()) != 3 {
		t.Error("a filter that was mended lacks the rules")
	}
	if _, err := (Allows{w.r}).Add(t.Context(), order("203.0.113.9/32", 0)); err != nil {
		t.Fatal(err)
	}
	if got := w.ruleNames()[0]; !strings.HasPrefix(got, "few: none: 203.0.113.9: it is never blocked") {
		t.Errorf("got %q, want that it has no effect", got)
	}
	if _, err := w.r.SetMode(t.Context(), "detect", 0); err != nil {
		t.Fatal(err)
	}
	if got := w.ruleNames()[1]; got != "ssh: none: the mode is detect" {
		t.Errorf("got %q", got)
	}
}

func TestCheckNamesRules(t *testing.T) {
	w := newWorld(t, config.Enforce)
	w.addRule(ssh(func(b *control.BlockRule) { b.From = prefixes("203.0.113.0/24") }))
	w.addRule(ssh(func(b *control.BlockRule) { b.Name, b.To = "six", prefixes("2001:db8::1/128") }))
	w.addRule(ssh(func(b *control.BlockRule) { b.Name = "all" }))
	w.add("203.0.113.9/32", 0)
	for address, want := range map[string]string{
		"203.0.113.7":     "none: rules may decide about some of its packets: all, ssh",
		"233.252.0.7":     "none: rules may decide about some of its packets: all",
		"2001:db8:ffff::": "none: rules may decide about some of its packets: all, six",
		"198.51.100.1":    "allowed: 198.51.100.1: it is never blocked",
		"203.0.113.9":     "blocked: 203.0.113.9, by operator",
	} {
		got, err := w.r.Check(t.Context(), host(netip.MustParseAddr(address)))
		if text := got.GetVerdict() + ": " + got.GetReason(); err != nil || !strings.HasPrefix(text, want) || strings.Contains(text, "rules") != strings.Contains(want, "rules") {
			t.Errorf("%s: got %q, %v; want %q", address, text, err, want)
		}
	}
}

// TestRuleExpiry lets a rule end by itself, and not before.
func TestRuleExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, stop := running(t, config.Enforce)
		defer stop()
		f := newFilter("eth0")
		if err := w.r.Attach(f); err != nil {
			t.Fatal(err)
		}
		w.addRule(ssh())
		w.addRule(ssh(func(b *control.BlockRule) { b.Name, b.TTL = "longer", 0 }))
		time.Sleep(90*time.Second - time.Millisecond)
		synctest.Wait()
		if len(f.ruleSet()) != 2 {
			t.Error("a rule is gone just before its end")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		last := w.journal.last()
		if len(f.ruleSet()) != 1 || last.Action != "rule" || last.Target != "ssh" || last.Outcome != pb.Outcome_OUTCOME_EXPIRED {
			t.Errorf("got rules %+v, last action %v; want it expired", f.ruleSet(), last)
		}
		time.Sleep(DefaultTTL - 90*time.Second)
		synctest.Wait()
		if got := w.ruleNames(); len(f.ruleSet()) != 0 || len(got) != 0 {
			t.Errorf("got rules %v after the default time to live", got)
		}
	})
}

// TestRulesSurviveRestart wants rules back with the end that they had, over boots
// too, and one that cannot be read left out alone.
func TestRulesSurviveRestart(t *testing.T) {
	w := newWorld(t, config.Enforce)
	w.addRule(ssh(func(b *control.BlockRule) {
		b.From, b.To, b.TTL = prefixes("203.0.113.0/24"), prefixes("198.51.100.200/32"), time.Hour
		b.SourcePorts = []control.PortRange{{First: 1024, Last: 65535}}
	}))
	w.addRule(ssh(func(b *control.BlockRule) { b.Name, b.Priority, b.TTL = "soon", 5, 10*time.Minute }))
	before := w.r.kernelRules()
	w.clock.pass(20 * time.Minute)
	if err := w.r.ruleTable.Put("broken", packetRule{ID: 9, Protocol: "sctp", Action: "drop"}); err != nil {
		t.Fatal(err)
	}
	w.restart()
	after := w.r.kernelRules()
	if len(after) != 1 || after[0].ID != before[1].ID || after[0].TTL != 40*time.Minute {
		t.Fatalf("got %+v, want the rule that is not over, with the end that it had", after)
	}
	before[1].TTL, before[1].Priority = after[0].TTL, 0
	if diff := cmp.Diff(before[1], after[0], cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("rule (-before +after):\n%s", diff)
	}
	if warnings := strings.Join(w.r.Warnings(), " "); !strings.Contains(warnings, `the rule "broken" cannot be read`) {
		t.Errorf("got warnings %q", warnings)
	}
	f := newFilter("eth0")
	if err := w.r.Attach(f); err != nil || len(f.ruleSet()) != 1 {
		t.Errorf("got %v, rules %+v, want the filter told", err, f.ruleSet())
	}
	// Another boot, whose wall clock is an hour back: nothing lasts longer.
	w.stop()
	w.clock.wall, w.clock.boot, w.clock.id = w.clock.wall.Add(-time.Hour), time.Minute, "boot-2"
	w.start()
	w.clock.pass(time.Millisecond)
	w.r.step()
	if got := w.r.kernelRules(); len(got) != 1 || got[0].TTL > 40*time.Minute || got[0].TTL < 40*time.Minute-2*expiry.TickInterval {
		t.Errorf("got %+v after another boot, want at most 40m left", got)
	}
}
