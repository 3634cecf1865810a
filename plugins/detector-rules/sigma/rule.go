package sigma

import (
	"net/netip"
	"regexp"

	"github.com/ironpost/ironpost/sdk/event"
)

// Rule is one rule that was read and found right.
type Rule struct {
	// ID is the rule's id; for a rule without one it is its name, and for one
	// without either "sigma-" and its Hash.
	ID string
	// Name is what correlations may call the rule.
	Name        string
	Title       string
	Description string
	// Status is stable, test, experimental, deprecated or unsupported; empty
	// when the rule does not say.
	Status string
	// Level is medium when the rule does not say.
	Level          event.Severity
	Author         string
	Tags           []string
	References     []string
	FalsePositives []string
	// Fields are what an analyst wants to see beside the alert.
	Fields    []string
	LogSource LogSource
	// When is the condition on a single event, with the filters of the rule
	// joined to it.
	When *Expr
	// Filters are the ids of the filters that are part of When.
	Filters []string
	// File and Line (from 1) say where the rule begins.
	File string
	Line int
	// Hash names what the rule detects: 16 hexadecimal digits over its log
	// source and condition, without its filters. An edit of its title leaves it
	// alone, so that what is remembered for the rule lives through it.
	Hash string
}

// LogSource says which logs a rule is for. An empty part is any.
type LogSource struct {
	Category, Product, Service string
}

// Covers reports whether events of the log source other are among those that s
// asks for: every part that s has is the same in other.
func (s LogSource) Covers(other LogSource) bool {
	return (s.Category == "" || s.Category == other.Category) &&
		(s.Product == "" || s.Product == other.Product) &&
		(s.Service == "" || s.Service == other.Service)
}

// String returns the parts that are there, as category/product/service with *
// for any.
func (s LogSource) String() string {
	part := func(p string) string {
		if p == "" {
			return "*"
		}
		return p
	}
	return part(s.Category) + "/" + part(s.Product) + "/" + part(s.Service)
}

// Op says how an Expr joins what is below it.
type Op uint8

// The ways to join. Leaf is a single Test.
const (
	Leaf Op = iota
	And
	Or
	Not
)

// Expr is a condition on an event. Expressions are shared: a search identifier
// that a condition names twice is one Expr.
type Expr struct {
	Op Op
	// Subs are the parts of And and Or, and the one part of Not.
	Subs []*Expr
	// Test is what a Leaf asks.
	Test *Test
	// Label is what the author called this: the name of a search identifier, or
	// a field with its modifiers as written. Empty for what has no name.
	Label string
	// Line counts from 1; 0 when Label is empty.
	Line int
}

// Kind says what a Test compares.
type Kind uint8

// The kinds of a Test.
const (
	// IsText holds when a value, as text, fits the pattern Text.
	IsText Kind = iota
	// IsMatch holds when Regexp finds something in a value.
	IsMatch
	// IsNumber holds when a value is a number that compares with Number.
	IsNumber
	// IsTime holds when Part of a value that is a date compares with Number.
	IsTime
	// InNetwork holds when a value is an address in Network.
	InNetwork
	// IsNull holds when the event lacks the field, or has it without a value.
	IsNull
	// Exists holds when the event has the field, with a value or without.
	Exists
	// IsField holds when a value compares with one of the field Other.
	IsField
)

// Comparison is how IsNumber, IsTime and IsField compare.
type Comparison uint8

// The comparisons. The last three are for IsField alone.
const (
	Equal Comparison = iota
	Less
	LessEqual
	Greater
	GreaterEqual
	Contains
	StartsWith
	EndsWith
)

// TimePart is a part of a date.
type TimePart uint8

// The parts of a date, as it is written: no time zone is applied. A week is that
// of ISO 8601.
const (
	Minute TimePart = iota
	Hour
	Day
	Week
	Month
	Year
)

// Test asks one thing of one field. When a field has several values the test
// holds if it does for one of them.
type Test struct {
	// Field is the name; empty means every text of the event, and then Kind is
	// IsText or IsMatch.
	Field string
	Kind  Kind
	// Cased says that IsText and IsField regard case. A Regexp carries its own
	// flag.
	Cased      bool
	Comparison Comparison
	Part       TimePart
	Text       Text
	Regexp     *regexp.Regexp
	Number     float64
	Network    netip.Prefix
	Other      string
}
