package sdktest

import (
	"testing"

	"github.com/ironpost/ironpost/sdk/sdktest/suite"
)

// What is told to a plugin, and what its kind needs to be driven.
type (
	// HostConfig is what the host tells a plugin at its start.
	HostConfig = suite.HostConfig
	// ParserConfig says how to check a parser.
	ParserConfig = suite.ParserConfig
	// DetectorConfig says how to check a detector.
	DetectorConfig = suite.DetectorConfig
	// EnforcerConfig says how to check an enforcer.
	EnforcerConfig = suite.EnforcerConfig
	// ScannerConfig says how to check a scanner.
	ScannerConfig = suite.ScannerConfig
	// StoreConfig says how to check a sink that gives events back.
	StoreConfig = suite.StoreConfig
	// StateConfig says how to check a state plugin.
	StateConfig = suite.StateConfig
)

// SinkConfig says how to check a sink.
type SinkConfig struct {
	Host HostConfig
	// Contents, when set, returns one line for each thing that the sink holds in
	// the place that Host.Section names. It is called after the plugin has
	// stopped.
	Contents func(t testing.TB) []string
}

// SourceConfig says how to check a source.
type SourceConfig struct {
	Host HostConfig
	// Feed gives the source something to read: the lines are appended to what it
	// reads from. It is called while the source runs and while it does not.
	Feed func(t testing.TB, lines ...string)
	// Line returns the line that a record of the source was made of; nil says
	// that a record is the line itself.
	Line func(record string) string
	// Replayable says that the source resumes from a checkpoint and reads what
	// was written while it was away.
	Replayable bool
}

// TestParser checks a parser; suite.Parser says what for.
func TestParser(t *testing.T, target Target, c ParserConfig) {
	t.Helper()
	if len(c.Lines) == 0 {
		t.Fatal("ParserConfig.Lines is empty: name records that the parser parses")
	}
	run(t, suite.Base(target, c.Host), suite.Parser(target, c))
}

// TestDetector checks a detector; suite.Detector says what for.
func TestDetector(t *testing.T, target Target, c DetectorConfig) {
	t.Helper()
	if len(c.Batches) == 0 {
		t.Fatal("DetectorConfig.Batches is empty: make batches that raise an alert")
	}
	run(t, suite.Base(target, c.Host), suite.Detector(target, c))
}

// TestEnforcer checks an enforcer; suite.Enforcer says what for.
func TestEnforcer(t *testing.T, target Target, c EnforcerConfig) {
	t.Helper()
	if len(c.Alerts) == 0 {
		t.Fatal("EnforcerConfig.Alerts is empty: make alerts that lead to an intent")
	}
	run(t, suite.Base(target, c.Host), suite.Enforcer(target, c))
}

// TestSink checks a sink; suite.Sink says what for.
func TestSink(t *testing.T, target Target, c SinkConfig) {
	t.Helper()
	s := suite.SinkConfig{Host: c.Host}
	if c.Contents != nil {
		s.Contents = func(tb suite.TB) []string { return c.Contents(tb.(testing.TB)) }
	}
	run(t, suite.Base(target, c.Host), suite.Sink(target, s))
}

// TestStore checks a sink that is a sdk.Querier; suite.Store says what for. The checks of
// any sink are those of TestSink.
func TestStore(t *testing.T, target Target, c StoreConfig) {
	t.Helper()
	run(t, suite.Store(target, c))
}

// TestSource checks a source; suite.Source says what for.
func TestSource(t *testing.T, target Target, c SourceConfig) {
	t.Helper()
	s := suite.SourceConfig{Host: c.Host, Line: c.Line, Replayable: c.Replayable}
	if c.Feed != nil {
		s.Feed = func(tb suite.TB, lines ...string) { c.Feed(tb.(testing.TB), lines...) }
	}
	run(t, suite.Base(target, c.Host), suite.Source(target, s))
}

// TestScanner checks a scanner; suite.Scanner says what for.
func TestScanner(t *testing.T, target Target, c ScannerConfig) {
	t.Helper()
	run(t, suite.Base(target, c.Host), suite.Scanner(target, c))
}

// TestSharedState checks a state plugin; suite.SharedState says what for.
func TestSharedState(t *testing.T, target Target, c StateConfig) {
	t.Helper()
	run(t, suite.Base(target, c.Host), suite.SharedState(target, c))
}

// run runs the checks as subtests: what testing.T is given here is what the
// functions of the configurations get.
func run(t *testing.T, lists ...[]suite.Check) {
	t.Helper()
	for _, checks := range lists {
		for _, c := range checks {
			t.Run(c.Title, func(t *testing.T) {
				if why := c.Run(t); why != "" {
					t.Logf("not applicable: %s", why)
				}
				if t.Failed() {
					t.Logf("wanted: %s", c.Wanted)
					t.Logf("to mend it: %s", c.Mend)
				}
			})
		}
	}
}
