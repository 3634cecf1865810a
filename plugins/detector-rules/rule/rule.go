package rule

import (
	"net/netip"
	"regexp"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// Rule is one rule that was read and found right.
type Rule struct {
	ID          string
	Title       string
	Description string
	// Status is the author's word on the rule: stable, test, experimental,
	// deprecated, unsupported or disabled; empty when the rule does not say.
	Status         string
	Severity       event.Severity
	Tags           []string
	References     []string
	FalsePositives []string
	// LogSource is kept as written and matches nothing by itself.
	LogSource map[string]string
	// Kinds are the kinds of event that the rule looks at.
	Kinds Kinds
	// When is the condition on a single event.
	When *Expr
	// Threshold is nil when every matching event raises an alert.
	Threshold *Threshold
	// Suppress is nil when no alert of the rule is a duplicate of another.
	Suppress *Suppress
	// RateLimit bounds the alerts of the rule; its Count is 0 when the rule
	// does not say and the engine's default holds.
	RateLimit Limit
	// Forgeable says that the addresses in the matching events prove nothing,
	// whoever wrote the log ("evidence: forgeable").
	Forgeable bool
	// File and Line (from 1) say where the rule begins.
	File string
	Line int
	// Hash names what the rule detects: 16 hexadecimal digits over its kinds,
	// conditions, threshold and suppression. An edit of its title or severity
	// leaves it alone, so that windows live through it.
	Hash string
}

// Disabled reports whether the rule asks not to be run.
func (r *Rule) Disabled() bool { return r.Status == "disabled" }

// Kinds is a set of kinds of event.
type Kinds uint8

// The kinds that a rule can look at. Without the key "events" a rule looks at
// logs and packets.
const (
	Logs Kinds = 1 << iota
	Packets
	Alerts
)

// Threshold asks for Count matching events of one group within Timeframe.
type Threshold struct {
	Count     int
	Timeframe time.Duration
	// GroupBy are the fields whose values name the group; with none, all
	// matching events are one group. An event that lacks one of them, or has
	// it empty, does not count.
	GroupBy []string
}

// Suppress drops alerts of one group for Timeframe after one was raised.
type Suppress struct {
	Timeframe time.Duration
	// GroupBy is the group of a rule without threshold; empty means the
	// entities that its alert names. A rule with threshold uses the groups of
	// the threshold.
	GroupBy []string
}

// Limit allows Count alerts in each Timeframe.
type Limit struct {
	Count     int
	Timeframe time.Duration
}

// Op says how an Expr joins what is below it.
type Op uint8

// The ways to join. OpMatch is a leaf.
const (
	OpMatch Op = iota
	OpAll
	OpAny
	OpNot
)

// Expr is a condition on an event: a leaf, or a combination of others.
type Expr struct {
	Op Op
	// Subs are the parts of OpAll and OpAny, and the one part of OpNot.
	Subs []*Expr
	// Match is the leaf of OpMatch.
	Match *Match
}

// Operator compares a field with a value.
type Operator uint8

// The operators, each by the name that YAML uses for it.
const (
	Equals Operator = iota
	Contains
	StartsWith
	EndsWith
	Regex
	Exists
	Greater
	GreaterEqual
	Less
	LessEqual
	CIDR
)

var operatorNames = [...]string{
	Equals: "equals", Contains: "contains", StartsWith: "starts_with", EndsWith: "ends_with",
	Regex: "regex", Exists: "exists", Greater: "gt", GreaterEqual: "gte", Less: "lt", LessEqual: "lte", CIDR: "cidr",
}

// String returns the operator's name in YAML.
func (o Operator) String() string {
	if int(o) < len(operatorNames) {
		return operatorNames[o]
	}
	return "unknown"
}

// Match holds when the event has the field and one of the values fits it.
type Match struct {
	Field    string
	Operator Operator
	// CaseSensitive is false for text that is compared by folding case. It is
	// always true for a Regex, whose pattern carries its own flag.
	CaseSensitive bool
	// Values are the values as text, in the order of the rule; none for Exists.
	Values []string
	// Regexps, Numbers and Prefixes are the values of the operators that need
	// them, in the same order.
	Regexps  []*regexp.Regexp
	Numbers  []float64
	Prefixes []netip.Prefix
}
