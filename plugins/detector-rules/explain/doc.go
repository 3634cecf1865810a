// Package explain says why a rule holds for an event, or why it does not.
//
// It reads conditions literally: one part after the other, every value on its own,
// no index, no memory between events. Where it and package match differ, match is
// wrong: the tests of both hold them together. It is slow, and meant for a person
// with a question, for examples and for tests.
//
//	names := explain.NewNames(mappings)
//	e := names.Event(logEvent)
//	explain.Holds(names.Condition(rule), e)
//
// Rules explains a rule of either form, or a correlation, over some events, as
// sdk.RuleExplainer wants it.
//
// # Windows
//
// For thresholds and correlations the events of a group are laid on a line of time,
// sorted. Lateness, eviction, suppression and rate limits, which a running engine
// has, are left out; the number of alerts is what a fresh engine raises.
//
// # Concurrency
//
// Nothing keeps state; what is made may be shared.
package explain
