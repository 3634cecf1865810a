package rule

import (
	"math"
	"math/bits"
	"time"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/sdk/event"
)

// Rule is one rule that was read and found right, whichever language it is written
// in.
type Rule struct {
	// ID is unique in what was loaded. That of a rule in Sigma may have any
	// character but controls.
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
	// Fields are what an analyst wants to see beside the alert.
	Fields []string
	// Kinds are the kinds of event that a rule in the simple form looks at; 0 for
	// other rules.
	Kinds Kinds
	// LogSource says which events the rule looks at, of those that its Kinds allow.
	// A correlation has none.
	LogSource sigma.LogSource
	// When is the condition on a single event; nil for a correlation.
	When *sigma.Expr
	// Filters are the ids of the filters that are part of When.
	Filters []string
	// Correlation relates the events that other rules found; nil for a rule on
	// single events.
	Correlation *sigma.Correlation
	// Threshold is nil when every matching event raises an alert.
	Threshold *Threshold
	// Suppress is nil when no alert of the rule is a duplicate of another.
	Suppress *Suppress
	// RateLimit bounds the alerts of the rule; its Count is 0 when the rule
	// does not say and the engine's default holds.
	RateLimit Limit
	// Fleet says that the rule's window counts over all hosts that share their state
	// ("scope: fleet"). Load admits it for windows that a number of events or values
	// completes; see FleetCount.
	Fleet bool
	// Forgeable says that the addresses in the matching events prove nothing,
	// whoever wrote the log ("evidence: forgeable").
	Forgeable bool
	// File and Line (from 1) say where the rule begins.
	File string
	Line int
	// Hash names what the rule detects: 16 hexadecimal digits over its log source,
	// conditions, threshold and suppression, and for a correlation over what the
	// rules that it names detect. An edit of its title or severity leaves it alone,
	// so that windows live through it.
	Hash string
}

// MinFleetCount and MaxFleetCount bound FleetCount.
const (
	MinFleetCount = 2
	MaxFleetCount = 1024
)

// FleetCount returns how many events, or different values, complete the rule's window; 0
// for what is no such window, or one that hosts cannot count together.
func (r *Rule) FleetCount() int {
	count := 0.0
	switch c := r.Correlation; {
	case r.Threshold != nil:
		count = float64(r.Threshold.Count)
	case c == nil || c.Type != sigma.EventCount && c.Type != sigma.ValueCount || len(c.Conditions) != 1:
	case c.Conditions[0].Op == "gte":
		count = math.Ceil(c.Conditions[0].Number)
	case c.Conditions[0].Op == "gt":
		count = math.Floor(c.Conditions[0].Number) + 1
	}
	if count < MinFleetCount || count > MaxFleetCount {
		return 0
	}
	return int(count)
}

// Disabled reports whether the rule asks not to be run.
func (r *Rule) Disabled() bool { return r.Status == statusDisabled }

const statusDisabled = "disabled"

// Kinds is a set of kinds of event.
type Kinds uint8

// The kinds that a rule can look at. Without the key "events" a rule looks at
// logs and packets.
const (
	Logs Kinds = 1 << iota
	Packets
	Alerts
)

// Product is that of the log sources which are the kinds of event. Rules in the simple
// form have it alone, whatever their Kinds.
const Product = "ironpost"

// kindNames are the services of these log sources, by bit.
var kindNames = []string{"log", "packet", "alert"}

// Source returns the log source that all events of one kind belong to.
func (k Kinds) Source() sigma.LogSource {
	return sigma.LogSource{Product: Product, Service: kindNames[bits.TrailingZeros8(uint8(k))]}
}

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
	// Fleet drops them on all hosts that share their state ("scope: fleet").
	Fleet bool
}

// Limit allows Count alerts in each Timeframe.
type Limit struct {
	Count     int
	Timeframe time.Duration
	// Fleet counts those of all hosts that share their state ("scope: fleet").
	Fleet bool
}

// AsksFleet reports whether alerts of the rule are duplicates, or too many, by what all hosts
// raised. A rule with Fleet counts its window over all of them besides.
func (r *Rule) AsksFleet() bool { return r.RateLimit.Fleet || r.Suppress != nil && r.Suppress.Fleet }
