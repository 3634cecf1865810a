package sdk

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// RuleTester is a Detector that can run the examples beside its rules.
type RuleTester interface {
	// TestRules loads the files aside, runs the examples among them and says
	// which are not as they must be. What is in force, and its state, is not
	// touched. It is called concurrently with events. The file system is in
	// memory and is valid until TestRules returns.
	TestRules(ctx context.Context, files fs.FS, parse ParseLines) (RuleTestReport, error)
}

// ParseLines has the parsers of the host read lines of a format. stream is the
// name of the stream that they are said to come from; lines end with line feeds.
// The events are the caller's. An error that wraps ErrNoParser is about the
// format; any other ends the test.
type ParseLines func(format, stream string, lines []byte) ([]*event.LogEvent, error)

// ErrNoParser says that lines could not be given to a parser.
var ErrNoParser = errors.New("no parser")

// RuleTestReport says what became of examples.
type RuleTestReport struct {
	// Files have examples, and Examples is how many these are. Passed of them are
	// as they must be.
	Files, Examples, Passed int
	Failed                  []RuleTestFailure
	// Untested are the ids of rules that no example is about.
	Untested []string
}

// RuleTestFailure is an example that is not as it must be.
type RuleTestFailure struct {
	File string
	// Line counts from 1; 0 means the whole file.
	Line int
	// Rule is the id, Example the name of the example; "" when the file itself is
	// wrong.
	Rule, Example string
	// Code is a stable word for programs; Reason is for people.
	Code, Reason string
	// Wanted and Got are what the example wants and what came instead, line by
	// line; both may be empty.
	Wanted, Got []string
	// Hint says why, as far as it is known.
	Hint string
}

// RuleExplainer is a Detector that can say why a rule holds for events.
type RuleExplainer interface {
	// ExplainRule explains the rule in force whose id is q.Rule. An unknown id is
	// an error that wraps ErrNoRule. It is called concurrently with events.
	ExplainRule(ctx context.Context, q RuleQuestion) (RuleExplanation, error)
}

// ErrNoRule says that no rule in force has the id.
var ErrNoRule = errors.New("no such rule")

// RuleQuestion asks what a rule makes of events.
type RuleQuestion struct {
	Rule string
	// Events are in the order of their coming.
	Events []*event.LogEvent
	// All wants every branch of the conditions; else only those that decide.
	All bool
	// Limit is of how many events, and how many windows, the findings are wanted.
	Limit int
}

// RuleExplanation says what a rule made of events.
type RuleExplanation struct {
	ID, Title, File string
	Line            int
	// Kind is "rule" for a rule on single events, "threshold" for one that counts
	// them, "correlation" for one that relates what others find.
	Kind      string
	Status    string
	LogSource string
	// Filters are the ids of those that are part of the condition.
	Filters []string
	// Events were looked at; for Matched of them the condition holds. Alerts is
	// how many are raised for them.
	Events, Matched, Alerts int
	// Findings are those of some events, in the order of the events.
	Findings []EventExplanation
	// Windows are the groups of a threshold or a correlation, the nearest to
	// completion first.
	Windows []WindowExplanation
	// Ungrouped events match and count in no window, because they lack a field of
	// the group or the value.
	Ungrouped int
	// Rules are those that a correlation names.
	Rules []RuleExplanation
}

// EventExplanation says what became of one event.
type EventExplanation struct {
	// Number is the event's place, from 1.
	Number     int
	Time       time.Time
	Message    string
	Matched    bool
	LogSources []string
	Finding    RuleFinding
}

// RuleFinding says what became of one part of a condition.
type RuleFinding struct {
	// Op is "logsource", "all", "any", "not" or "test".
	Op string
	// Name is what the rule calls the part; "" when it does not.
	Name string
	// Line is that of the rule's file, from 1; 0 when it is not known.
	Line  int
	Holds bool
	// Field is what a test looks at, as events call it; "" is the whole event.
	// Present says whether the event has it, Found are its values, Wanted those
	// that are asked for, one of which is enough. Relation says how they are
	// compared.
	Field    string
	Present  bool
	Found    []string
	Wanted   []string
	Relation string
	// More is how many parts or values were left out.
	More  int
	Parts []RuleFinding
}

// WindowExplanation says how far one group of a window came.
type WindowExplanation struct {
	// Group has the values of the fields that make the group.
	Group    map[string]string
	Complete bool
	// Wanted is what is asked, Found what the best window has.
	Wanted, Found string
	// From and Upto are the first and the last event of the best window, zero when
	// there is none; Events is how many are in it.
	From, Upto time.Time
	Events     int
	// Missing is what is not there yet.
	Missing []string
}

// RuleCoverer is a Detector that knows which of its rules can fire.
type RuleCoverer interface {
	// CoverRules says for every rule in force, the disabled ones too, whether it can
	// fire over the streams.
	CoverRules(ctx context.Context, streams []LogStream, packets bool) ([]RuleCoverage, error)
}

// LogStream is a stream of log events; what is empty is any.
type LogStream struct {
	Name, Plugin, Format string
	// Fields are as in Plugin.
	Fields []string
}

// RuleCoverage says whether a rule can fire.
type RuleCoverage struct {
	ID, Title, File, LogSource string
	Severity                   event.Severity
	CanFire                    bool
	// Code is a stable word for why it cannot, Reason is for people.
	Code, Reason string
	// Missing are fields, or rules.
	Missing []string
	// Formats are those over which it can.
	Formats []string
}
