//go:build linux

package control_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// ruleTaker remembers the last rule.
type ruleTaker struct{ rule control.BlockRule }

func (r *ruleTaker) AddRule(_ context.Context, rule control.BlockRule) (*ironpostv1.BlockRuleResponse, error) {
	r.rule = rule
	return &ironpostv1.BlockRuleResponse{Changed: true}, nil
}

func (r *ruleTaker) RemoveRule(_ context.Context, name string) (*ironpostv1.BlockRule, error) {
	return &ironpostv1.BlockRule{Name: name}, nil
}

func (r *ruleTaker) ListRules(context.Context) ([]*ironpostv1.BlockRule, error) {
	return []*ironpostv1.BlockRule{{Name: "a"}, {Name: "b"}}, nil
}

func TestBlockRules(t *testing.T) {
	taker := &ruleTaker{}
	var changes []control.Change
	_, client := serve(t, control.Config{
		Backend: control.Backend{BlockRules: taker}, Audit: func(c control.Change) { changes = append(changes, c) },
	})
	_, err := client.AddBlockRule(t.Context(), &ironpostv1.BlockRuleRequest{
		Name: "ssh-1.x_", Priority: 65535, From: []string{"::ffff:192.0.2.0/120", "2001:db8::/32"}, To: []string{"198.51.100.7"},
		Protocol: "tcp", Ports: []string{"22", "8000-8100"}, SourcePorts: []string{"0-65535"}, Action: "limit", Limit: 100, Burst: 200,
		DryRun: true, TtlSeconds: 1.5, Reason: "r", Force: true,
	})
	want := control.BlockRule{
		Name: "ssh-1.x_", Priority: 65535, From: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		To: []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")}, Protocol: "tcp",
		Ports: []control.PortRange{{First: 22, Last: 22}, {First: 8000, Last: 8100}}, SourcePorts: []control.PortRange{{First: 0, Last: 65535}},
		Action: "limit", Limit: 100, Burst: 200, DryRun: true, TTL: 1500 * time.Millisecond, Reason: "r", Force: true,
	}
	if diff := cmp.Diff(want, taker.rule, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); err != nil || diff != "" {
		t.Errorf("got error %v, rule (-want +got):\n%s", err, diff)
	}
	if gone, err := client.RemoveBlockRule(t.Context(), &ironpostv1.RemoveBlockRuleRequest{Name: "ssh"}); err != nil || gone.GetName() != "ssh" {
		t.Errorf("got %v %v, want the rule removed", gone, err)
	}
	if l, err := client.ListBlockRules(t.Context(), &ironpostv1.ListBlockRulesRequest{}); err != nil || len(l.GetRules()) != 2 {
		t.Errorf("got %v %v, want two rules", l, err)
	}
	if len(changes) != 2 || changes[0].Action != "block rule add" || changes[1].Action != "block rule remove" || !strings.Contains(changes[0].Request, `"ports":["22","8000-8100"]`) {
		t.Errorf("got %+v in the audit log, want both changes", changes)
	}
}

func TestBlockRuleRefusals(t *testing.T) {
	taker := &ruleTaker{}
	_, client := serve(t, control.Config{Backend: control.Backend{BlockRules: taker}})
	many := func(n int, s string) []string { return strings.Split(strings.Repeat(s+" ", n)+s, " ")[:n] }
	tests := map[string]struct {
		req  *ironpostv1.BlockRuleRequest
		says string
	}{
		"no name":          {&ironpostv1.BlockRuleRequest{}, "no name of a rule"},
		"long name":        {&ironpostv1.BlockRuleRequest{Name: strings.Repeat("a", 65)}, "no name of a rule"},
		"odd name":         {&ironpostv1.BlockRuleRequest{Name: "a b"}, "no name of a rule"},
		"like a flag":      {&ironpostv1.BlockRuleRequest{Name: "-a"}, "no name of a rule"},
		"priority":         {&ironpostv1.BlockRuleRequest{Name: "a", Priority: 65536}, "0 to 65535"},
		"from":             {&ironpostv1.BlockRuleRequest{Name: "a", From: []string{"192.0.2.1/24"}}, "from: "},
		"to":               {&ironpostv1.BlockRuleRequest{Name: "a", To: []string{""}}, "to: "},
		"many networks":    {&ironpostv1.BlockRuleRequest{Name: "a", To: many(control.MaxRulePrefixes+1, "192.0.2.1")}, "4097 networks"},
		"port":             {&ironpostv1.BlockRuleRequest{Name: "a", Ports: []string{"ssh"}}, `"ssh" is neither a port`},
		"port out of":      {&ironpostv1.BlockRuleRequest{Name: "a", Ports: []string{"65536"}}, "neither a port"},
		"empty port":       {&ironpostv1.BlockRuleRequest{Name: "a", Ports: []string{""}}, "neither a port"},
		"open range":       {&ironpostv1.BlockRuleRequest{Name: "a", SourcePorts: []string{"-5"}}, "source port: "},
		"backward range":   {&ironpostv1.BlockRuleRequest{Name: "a", SourcePorts: []string{"5-4"}}, "ends before it begins"},
		"many ports":       {&ironpostv1.BlockRuleRequest{Name: "a", SourcePorts: many(control.MaxRulePorts+1, "5")}, "at most 8"},
		"long reason":      {&ironpostv1.BlockRuleRequest{Name: "a", Reason: strings.Repeat("x", 1<<16)}, "the reason has"},
		"negative ttl":     {&ironpostv1.BlockRuleRequest{Name: "a", TtlSeconds: -1}, "ttl of -1"},
		"ttl past the end": {&ironpostv1.BlockRuleRequest{Name: "a", TtlSeconds: 1e12}, "ttl of"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := client.AddBlockRule(t.Context(), test.req)
			if !errors.Is(err, control.ErrInvalid) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want ErrInvalid that says %q", err, test.says)
			}
		})
	}
	if taker.rule.Name != "" {
		t.Errorf("got %+v, want nothing handed on", taker.rule)
	}
	if _, err := client.RemoveBlockRule(t.Context(), &ironpostv1.RemoveBlockRuleRequest{Name: "../x"}); !errors.Is(err, control.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
	_, none := serve(t, control.Config{})
	if _, err := none.ListBlockRules(t.Context(), &ironpostv1.ListBlockRulesRequest{}); !errors.Is(err, control.ErrNotSupported) {
		t.Errorf("got %v, want ErrNotSupported", err)
	}
}

func FuzzParsePortRange(f *testing.F) {
	for _, s := range []string{"22", "8000-8100", "", "-", "1-", "-1", "65535-65536", "0-0", "+5", "5-5-5", "00022", " 22"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := control.ParsePortRange(s)
		if err != nil {
			if !errors.Is(err, control.ErrInvalid) {
				t.Errorf("%q: got %v, want ErrInvalid", s, err)
			}
			return
		}
		if again, err := control.ParsePortRange(r.String()); err != nil || again != r || r.Last < r.First {
			t.Errorf("%q: got %+v, and %+v %v of its text", s, r, again, err)
		}
	})
}
