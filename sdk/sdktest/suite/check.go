package suite

import (
	"context"
	"slices"
)

// TB is where a check reports to. *testing.T and *testing.B are some.
type TB interface {
	// Context ends with the check, before Cleanup's functions run.
	Context() context.Context
	// Cleanup registers what is called after the check, last first.
	Cleanup(f func())
	Helper()
	// Errorf reports a fault and goes on; it may be called from any goroutine.
	Errorf(format string, args ...any)
	// Fatalf reports a fault and ends the check. It is called from the check's
	// own goroutine alone.
	Fatalf(format string, args ...any)
	Failed() bool
}

// Check is one thing that a plugin is held to.
type Check struct {
	// Name is stable: "parser.hostile".
	Name string
	// Title says what holds when the check passes: "survives hostile records".
	Title string
	// Wanted is what the host relies on, in a sentence, and Mend where to look
	// when it is not so.
	Wanted, Mend string

	run func(tb TB) (notApplicable string)
}

// Run runs the check. It returns "" when the check was applied, and otherwise why
// it says nothing about this plugin.
func (c Check) Run(tb TB) (notApplicable string) {
	tb.Helper()
	return c.run(tb)
}

// applied is the run of a check that says something about every plugin.
func applied(run func(tb TB)) func(TB) string {
	return func(tb TB) string {
		tb.Helper()
		run(tb)
		return ""
	}
}

// hasKind ends the check when the plugin is not of the kind.
func (h *Host) hasKind(kind string) {
	h.tb.Helper()
	if !slices.Contains(h.Kinds, kind) {
		h.tb.Fatalf("plugin %s is of the kinds %v, want %s among them", h.Name, h.Kinds, kind)
	}
}
