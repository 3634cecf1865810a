package silence

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/host/internal/control"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// MaxConditions is how many rules, entities and detectors a silence can name, each.
const MaxConditions = 32

// maxText bounds a rule, a name and a value, in bytes.
const maxText = 256

// conditions say which alerts a silence is about: those that meet all of them. Of several
// rules, of several detectors and of several values of an entity, one is enough.
type conditions struct {
	Rules       []string    `json:"rules,omitempty"`
	Entities    []entity    `json:"entities,omitempty"`
	Detectors   []string    `json:"detectors,omitempty"`
	MaxSeverity pb.Severity `json:"max_severity,omitempty"`
}

// entity is a value, or for an address a network, that an entity may have.
type entity struct {
	Key   string `json:"key"`
	Value string `json:"value"`

	network netip.Prefix // of a value that is one
}

// conditionsOf checks a request; its errors wrap control.ErrInvalid.
func conditionsOf(r *pb.SilenceRequest) (conditions, error) {
	c := conditions{Rules: unique(r.GetRules()), Detectors: unique(r.GetDetectors()), MaxSeverity: r.GetMaxSeverity()}
	for _, text := range r.GetEntities() {
		key, value, _ := strings.Cut(text, "=")
		c.Entities = append(c.Entities, entity{Key: key, Value: value})
	}
	slices.SortFunc(c.Entities, func(a, b entity) int {
		if a.Key != b.Key {
			return strings.Compare(a.Key, b.Key)
		}
		return strings.Compare(a.Value, b.Value)
	})
	c.Entities = slices.Compact(c.Entities)
	if err := c.check(); err != nil {
		return c, err
	}
	if c.any() && !r.GetAll() {
		return c, fmt.Errorf("%w: the silence names neither a rule nor an entity nor a detector and would hold back every alert; name one, or say --all if that is meant", control.ErrInvalid)
	}
	return c, nil
}

// check also reads the networks.
func (c *conditions) check() error {
	for _, list := range []struct {
		what string
		n    int
	}{{"rules", len(c.Rules)}, {"entities", len(c.Entities)}, {"detectors", len(c.Detectors)}} {
		if list.n > MaxConditions {
			return fmt.Errorf("%w: %d %s; at most %d are allowed in one silence", control.ErrInvalid, list.n, list.what, MaxConditions)
		}
	}
	for _, text := range slices.Concat(c.Rules, c.Detectors) {
		if text == "" || len(text) > maxText {
			return fmt.Errorf("%w: %.80q is no name of a rule or a detector: 1 to %d bytes", control.ErrInvalid, text, maxText)
		}
	}
	if c.MaxSeverity < 0 || c.MaxSeverity > pb.Severity_SEVERITY_CRITICAL {
		return fmt.Errorf("%w: there is no severity %d", control.ErrInvalid, c.MaxSeverity)
	}
	for i := range c.Entities {
		e := &c.Entities[i]
		if e.Key == "" || e.Value == "" || len(e.Key) > maxText || len(e.Value) > maxText {
			return fmt.Errorf("%w: the entity %.80q: want NAME=VALUE, 1 to %d bytes each, as src_ip=192.0.2.7", control.ErrInvalid, e.Key+"="+e.Value, maxText)
		}
		e.network = netip.Prefix{}
		if !isAddress(e.Key) {
			continue
		}
		p, err := control.ParsePrefix(e.Value)
		if err != nil {
			return fmt.Errorf("the entity %s: %w", e.Key, err)
		}
		e.network = p
	}
	return nil
}

// any reports whether nothing but the severity bounds what is held back.
func (c *conditions) any() bool { return len(c.Rules)+len(c.Entities)+len(c.Detectors) == 0 }

// match reports whether an alert meets the conditions.
func (c *conditions) match(a *pb.AlertEvent) bool {
	if c.MaxSeverity != 0 && a.GetSeverity() > c.MaxSeverity {
		return false
	}
	if len(c.Rules) > 0 && !slices.ContainsFunc(c.Rules, func(r string) bool { return matchRule(r, a.GetRuleId()) }) {
		return false
	}
	if len(c.Detectors) > 0 && !slices.Contains(c.Detectors, a.GetDetector()) {
		return false
	}
	for i := 0; i < len(c.Entities); {
		key, met := c.Entities[i].Key, false
		for ; i < len(c.Entities) && c.Entities[i].Key == key; i++ {
			met = met || c.Entities[i].match(a)
		}
		if !met {
			return false
		}
	}
	return true
}

func matchRule(pattern, rule string) bool {
	if beginning, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(rule, beginning)
	}
	return pattern == rule
}

// match reports whether an alert has the entity. An alert that names no host is of the
// host that all the lines it cites are from.
func (e *entity) match(a *pb.AlertEvent) bool {
	named := false
	for _, f := range a.GetEntities() {
		if f.GetKey() != e.Key {
			continue
		}
		named = true
		if e.has(f.GetValue()) {
			return true
		}
	}
	if named || e.Key != "host" || len(a.GetLogs()) == 0 {
		return false
	}
	return !slices.ContainsFunc(a.GetLogs(), func(l *pb.LogEvent) bool { return !e.has(l.GetHost()) })
}

func (e *entity) has(value string) bool {
	if !e.network.IsValid() {
		return strings.EqualFold(e.Value, value)
	}
	addr, err := netip.ParseAddr(value)
	return err == nil && e.network.Contains(addr.Unmap().WithZone(""))
}

func isAddress(key string) bool { return key == "ip" || strings.HasSuffix(key, "_ip") }

// unique returns the texts sorted, each once.
func unique(texts []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(texts)))
}

// Preview checks what a silence would hold back, and returns what tells whether an alert
// would be. Its error wraps control.ErrInvalid.
func Preview(r *pb.SilenceRequest) (func(*pb.AlertEvent) bool, error) {
	c, err := conditionsOf(r)
	if err != nil {
		return nil, err
	}
	return c.match, nil
}
