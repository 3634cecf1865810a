package main

import (
	"context"
	"io/fs"

	"github.com/ironpost/ironpost/plugins/detector-rules/coverage"
	"github.com/ironpost/ironpost/plugins/detector-rules/engine"
	"github.com/ironpost/ironpost/plugins/detector-rules/example"
	"github.com/ironpost/ironpost/plugins/detector-rules/explain"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

var (
	_ sdk.RuleTester    = (*detector)(nil)
	_ sdk.RuleExplainer = (*detector)(nil)
	_ sdk.RuleCoverer   = (*detector)(nil)
)

// TestRules implements sdk.RuleTester. Nothing of the detector is used but its
// code.
func (*detector) TestRules(_ context.Context, files fs.FS, parse sdk.ParseLines) (sdk.RuleTestReport, error) {
	res, _ := reload(files, nil, rule.Options{})
	return example.Test(files, res, parse)
}

// ExplainRule implements sdk.RuleExplainer. The lock is held only to take what is in
// force, which is not changed after that.
func (d *detector) ExplainRule(_ context.Context, q sdk.RuleQuestion) (sdk.RuleExplanation, error) {
	d.mu.Lock()
	set, rules, mappings, opts := d.set, d.rules, d.mappings, d.options()
	d.mu.Unlock()
	opts.Fleet = false // what other hosts count is not disturbed
	out, err := explain.New(rules, explain.NewNames(mappings)).Rule(q)
	if err != nil {
		return out, err
	}
	e := engine.New(set, opts)
	for _, l := range q.Events {
		e.Log(l, func(a *event.AlertEvent) {
			if a.RuleID == q.Rule {
				out.Alerts++
			}
		})
	}
	return out, nil
}

// CoverRules implements sdk.RuleCoverer.
func (d *detector) CoverRules(_ context.Context, streams []sdk.LogStream, packets bool) ([]sdk.RuleCoverage, error) {
	d.mu.Lock()
	rules, mappings := d.rules, d.mappings
	d.mu.Unlock()
	return coverage.New(mappings, streams, packets).Rules(rules), nil
}
