//go:build linux

package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// ruleStore holds rules in memory. It checks little of what the host does.
type ruleStore struct {
	mu    sync.Mutex
	rules []*ironpostv1.BlockRule
}

func (s *ruleStore) AddRule(_ context.Context, r control.BlockRule) (*ironpostv1.BlockRuleResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	resp := &ironpostv1.BlockRuleResponse{Changed: true}
	if r.Protocol == "tcp" && len(r.From)+len(r.To)+len(r.Ports) == 0 {
		if !r.Force {
			return nil, fmt.Errorf("%w: it drops everything", control.ErrInvalid)
		}
		resp.Warnings = []string{"It drops SSH" + hostile}
	}
	made := &ironpostv1.BlockRule{
		Name: r.Name, Priority: uint32(r.Priority), Protocol: cmp.Or(r.Protocol, "any"), Action: cmp.Or(r.Action, "drop"), Limit: r.Limit, Burst: r.Burst,
		DryRun: r.DryRun, Reason: r.Reason, Created: timestamppb.New(began), Effect: "simulated", Hits: 7, Dropped: 2, WouldDrop: 4,
	}
	if r.Limit > 0 {
		made.Action = "limit"
	}
	if r.TTL > 0 {
		made.Expires = timestamppb.New(began.Add(r.TTL))
	}
	for _, p := range r.From {
		made.From = append(made.From, p.String())
	}
	for _, p := range r.To {
		made.To = append(made.To, p.String())
	}
	for _, p := range r.Ports {
		made.Ports = append(made.Ports, p.String())
	}
	for _, p := range r.SourcePorts {
		made.SourcePorts = append(made.SourcePorts, p.String())
	}
	s.rules = append(slices.DeleteFunc(s.rules, func(x *ironpostv1.BlockRule) bool { return x.GetName() == r.Name }), made)
	resp.Rule = made
	return resp, nil
}

func (s *ruleStore) RemoveRule(_ context.Context, name string) (*ironpostv1.BlockRule, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.rules, func(x *ironpostv1.BlockRule) bool { return x.GetName() == name })
	if i < 0 {
		return nil, fmt.Errorf("%w: no rule is called %s", control.ErrNotFound, name)
	}
	gone := s.rules[i]
	s.rules = slices.Delete(s.rules, i, i+1)
	return gone, nil
}

func (s *ruleStore) ListRules(context.Context) ([]*ironpostv1.BlockRule, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rules), nil
}

func TestRuleText(t *testing.T) {
	tests := []struct {
		rule          *ironpostv1.BlockRule
		match, action string
	}{
		{&ironpostv1.BlockRule{Protocol: "any", Action: "drop", From: []string{"192.0.2.0/24"}}, "any from 192.0.2.0/24", "drop"},
		{
			&ironpostv1.BlockRule{Protocol: "tcp", Action: "limit", Limit: 100, Burst: 200, Ports: []string{"22", "8000-8100"}, SourcePorts: []string{"53"}, To: []string{"2001:db8::/32"}},
			"tcp port 22,8000-8100 source-port 53 to 2001:db8::/32", "limit 100/s burst 200",
		},
		{
			&ironpostv1.BlockRule{Protocol: "icmp", Action: "monitor", From: strings.Split("a b c d e f g h i j", " ")},
			"icmp from a,b,c,d,e,f,g,h and 2 more", "monitor",
		},
	}
	for _, test := range tests {
		if got := ruleMatch(test.rule); got != test.match {
			t.Errorf("got match %q, want %q", got, test.match)
		}
		if got := ruleAction(test.rule); got != test.action {
			t.Errorf("got action %q, want %q", got, test.action)
		}
	}
}
