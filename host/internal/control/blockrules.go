package control

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Limits of the rules of packet filters.
const (
	// MaxBlockRules is how many there can be, MaxRulePrefixes how many networks they
	// can name together, MaxRulePorts how many ranges of ports of either kind one can.
	MaxBlockRules   = 64
	MaxRulePrefixes = 4096
	MaxRulePorts    = 8
	// MaxPriority is the greatest priority.
	MaxPriority = math.MaxUint16
)

// BlockRules are the rules of the packet filters.
type BlockRules interface {
	// AddRule adds a rule or replaces the one of its name.
	AddRule(ctx context.Context, r BlockRule) (*ironpostv1.BlockRuleResponse, error)
	// RemoveRule ends a rule and returns what it was.
	RemoveRule(ctx context.Context, name string) (*ironpostv1.BlockRule, error)
	// ListRules returns the rules in the order in which they are asked.
	ListRules(ctx context.Context) ([]*ironpostv1.BlockRule, error)
}

// BlockRule is a rule that is to be added. A condition that is empty is none.
type BlockRule struct {
	Name     string
	Priority uint16
	From, To []netip.Prefix
	// Protocol and Action are words, checked by BlockRules.
	Protocol           string
	Ports, SourcePorts []PortRange
	Action             string
	Limit, Burst       uint32
	DryRun             bool
	// TTL is how long it stays; 0 leaves that to the host.
	TTL    time.Duration
	Reason string
	// Force adds also what drops everything of a protocol.
	Force bool
}

// PortRange is a range of ports with its ends; one port is a range of itself.
type PortRange struct{ First, Last uint16 }

// String returns "22" or "8000-8100".
func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// ParsePortRange reads a port, as 22, or a range of ports, as 8000-8100. Its error
// wraps ErrInvalid.
func ParsePortRange(s string) (PortRange, error) {
	first, last, ranged := strings.Cut(s, "-")
	if !ranged {
		last = first
	}
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	if errA != nil || errB != nil {
		return PortRange{}, fmt.Errorf("%w: %.40q is neither a port, 0 to 65535, nor a range such as 8000-8100", ErrInvalid, s)
	}
	if b < a {
		return PortRange{}, fmt.Errorf("%w: the range of ports %s ends before it begins", ErrInvalid, s)
	}
	return PortRange{First: uint16(a), Last: uint16(b)}, nil
}

// CheckRuleName returns an error that wraps ErrInvalid when no rule can have the
// name.
func CheckRuleName(name string) error {
	return checkName("a rule", name)
}

func (h *handlers) AddBlockRule(ctx context.Context, req *ironpostv1.BlockRuleRequest) (*ironpostv1.BlockRuleResponse, error) {
	if h.BlockRules == nil {
		return nil, unsupported("block rule add")
	}
	r, err := ruleOf(req)
	if err != nil {
		return nil, err
	}
	return h.BlockRules.AddRule(ctx, r)
}

func (h *handlers) RemoveBlockRule(ctx context.Context, req *ironpostv1.RemoveBlockRuleRequest) (*ironpostv1.BlockRule, error) {
	if h.BlockRules == nil {
		return nil, unsupported("block rule remove")
	}
	if err := CheckRuleName(req.GetName()); err != nil {
		return nil, err
	}
	return h.BlockRules.RemoveRule(ctx, req.GetName())
}

func (h *handlers) ListBlockRules(ctx context.Context, _ *ironpostv1.ListBlockRulesRequest) (*ironpostv1.ListBlockRulesResponse, error) {
	if h.BlockRules == nil {
		return nil, unsupported("block rule list")
	}
	rules, err := h.BlockRules.ListRules(ctx)
	return &ironpostv1.ListBlockRulesResponse{Rules: rules}, err
}

// ruleOf checks a request and turns it into a BlockRule.
func ruleOf(req *ironpostv1.BlockRuleRequest) (r BlockRule, err error) {
	r = BlockRule{
		Name: req.GetName(), Protocol: req.GetProtocol(), Action: req.GetAction(), Limit: req.GetLimit(), Burst: req.GetBurst(),
		DryRun: req.GetDryRun(), Reason: req.GetReason(), Force: req.GetForce(),
	}
	if err := CheckRuleName(r.Name); err != nil {
		return r, err
	}
	if req.GetPriority() > MaxPriority {
		return r, fmt.Errorf("%w: a priority of %d; allowed are 0 to %d", ErrInvalid, req.GetPriority(), MaxPriority)
	}
	r.Priority = uint16(req.GetPriority())
	if n := len(req.GetFrom()) + len(req.GetTo()); n > MaxRulePrefixes {
		return r, fmt.Errorf("%w: the rule names %d networks, at most %d are allowed", ErrInvalid, n, MaxRulePrefixes)
	}
	if r.From, err = each("from", req.GetFrom(), ParsePrefix); err != nil {
		return r, err
	}
	if r.To, err = each("to", req.GetTo(), ParsePrefix); err != nil {
		return r, err
	}
	if n := max(len(req.GetPorts()), len(req.GetSourcePorts())); n > MaxRulePorts {
		return r, fmt.Errorf("%w: the rule names %d ranges of ports, at most %d are allowed", ErrInvalid, n, MaxRulePorts)
	}
	if r.Ports, err = each("port", req.GetPorts(), ParsePortRange); err != nil {
		return r, err
	}
	if r.SourcePorts, err = each("source port", req.GetSourcePorts(), ParsePortRange); err != nil {
		return r, err
	}
	if n := len(r.Reason); n > maxNote {
		return r, fmt.Errorf("%w: the reason has %d bytes, at most %d are allowed", ErrInvalid, n, maxNote)
	}
	r.TTL, err = seconds("ttl", req.GetTtlSeconds())
	return r, err
}

// each parses all words of a condition.
func each[T any](name string, words []string, parse func(string) (T, error)) ([]T, error) {
	out := make([]T, 0, len(words))
	for _, w := range words {
		v, err := parse(w)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, v)
	}
	return out, nil
}
