package sdktest_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/sdktest"
	"github.com/ironpost/ironpost/sdk/sdktest/suite"
)

// forgetful is a counter that keeps nothing over its death.
type forgetful struct{ *counter }

func (forgetful) Restore(iter.Seq2[string, []byte]) error { return nil }
func (forgetful) Save(*sdk.Changes)                       {}

// moody proposes another intent each time.
type moody struct{ n *atomic.Int64 }

func (m moody) Decide(_ context.Context, a *event.AlertEvent, propose func(sdk.Intent)) error {
	propose(sdk.Intent{Action: "block", Target: fmt.Sprint(a.Entity("src_ip"), m.n.Add(1)), TTLSeconds: 60})
	return nil
}

// endless proposes a block without an end.
type endless struct{}

func (endless) Decide(_ context.Context, a *event.AlertEvent, propose func(sdk.Intent)) error {
	propose(sdk.Intent{Action: "block", Target: a.Entity("src_ip")})
	return nil
}

// repeating writes everything again.
type repeating struct{ place *store }

func (r repeating) Write(_ context.Context, b sdk.Batch) error {
	for e := range b.Alerts() {
		r.place.add(fmt.Sprint(e.ID, r.place.len()))
	}
	return nil
}

// TestTheSuiteFindsFaults runs it against plugins of which each has one fault, and
// wants that fault found and no other.
func TestTheSuiteFindsFaults(t *testing.T) {
	alert := &event.AlertEvent{ID: "1", RuleID: "r", Title: "T"}
	alert.SetEntity("src_ip", "192.0.2.1")
	stream := &event.Stream{ID: 7, Name: "s", Provenance: event.ProvenanceHost}
	var batches []suite.Batch
	for i := range uint64(4) {
		e := &event.LogEvent{Host: "a", Time: time.Unix(1_700_000_000+int64(i), 0).UTC()}
		batches = append(batches, suite.Logs(stream, 1+2*i, e, e))
	}
	place := &store{seen: map[string]bool{}}
	parser := func(parse func(event.RawLog, *event.LogEvent) error) func() sdk.Plugin {
		return func() sdk.Plugin {
			return sdk.Plugin{Name: "faulty", Version: "1", Summary: "s", Parser: sdk.ParseFunc("faulty", parse)}
		}
	}
	var parsed atomic.Int64
	for _, c := range []struct {
		name   string
		plugin func() sdk.Plugin
		config suite.Config
		want   []string
	}{
		{
			"a parser that refuses its own lines",
			parser(func(event.RawLog, *event.LogEvent) error { return errors.New("no") }),
			suite.Config{Parser: suite.ParserConfig{Lines: []string{"a line"}}},
			[]string{"parser.lines", "parser.hostile"},
		},
		{
			"a parser whose events depend on what came before",
			parser(func(raw event.RawLog, out *event.LogEvent) error {
				out.Message = fmt.Sprint(parsed.Add(1))
				return nil
			}),
			suite.Config{Parser: suite.ParserConfig{Lines: []string{"a line"}}},
			[]string{"parser.redelivery"},
		},
		{
			"a detector that forgets",
			func() sdk.Plugin {
				return sdk.Plugin{Name: "faulty", Version: "1", Summary: "s", Detector: forgetful{newCounter()}}
			},
			suite.Config{Detector: suite.DetectorConfig{Batches: batches}},
			[]string{"detector.killed"},
		},
		{
			"an enforcer that decides by its mood",
			func() sdk.Plugin {
				return sdk.Plugin{Name: "faulty", Version: "1", Summary: "s", Enforcer: moody{new(atomic.Int64)}}
			},
			suite.Config{Enforcer: suite.EnforcerConfig{Alerts: []*event.AlertEvent{alert}}},
			[]string{"enforcer.again"},
		},
		{
			"an enforcer whose answers have no end",
			func() sdk.Plugin {
				return sdk.Plugin{Name: "faulty", Version: "1", Summary: "s", Enforcer: endless{}}
			},
			suite.Config{Enforcer: suite.EnforcerConfig{Alerts: []*event.AlertEvent{alert}}},
			[]string{"enforcer.intents"},
		},
		{
			"a sink that writes twice",
			func() sdk.Plugin {
				return sdk.Plugin{Name: "faulty", Version: "1", Summary: "s", Sink: repeating{place}}
			},
			suite.Config{Sink: suite.SinkConfig{Contents: func(suite.TB) []string { return slices.Clone(place.keys) }}},
			[]string{"sink.again"},
		},
		{
			"a scanner that gives nothing",
			func() sdk.Plugin {
				return sdk.Plugin{Name: "faulty", Version: "1", Summary: "s", Scanner: scanner{}}
			},
			suite.Config{Scanner: suite.ScannerConfig{Targets: []string{"no image"}}},
			[]string{"scanner.targets"},
		},
		{
			"a scanner whose ids are made anew",
			func() sdk.Plugin {
				return sdk.Plugin{Name: "faulty", Version: "1", Summary: "s", Scanner: looking{id: func(int) string { return fmt.Sprint(time.Now().UnixNano()) }}}
			},
			suite.Config{Scanner: suite.ScannerConfig{Targets: []string{"image"}, Finds: looked}},
			[]string{"scanner.watch_again"},
		},
		{
			"a plugin without a summary",
			func() sdk.Plugin { return sdk.Plugin{Name: "faulty", Version: "1", Enforcer: enforcer{}} },
			suite.Config{},
			[]string{"base.describe"},
		},
		{
			"a plugin that refuses its configuration",
			func() sdk.Plugin {
				return sdk.Plugin{Name: "faulty", Version: "1", Summary: "s", Enforcer: enforcer{}, Setup: func(context.Context, sdk.Env) error {
					return errors.New("no peer")
				}}
			},
			suite.Config{},
			[]string{"base.configure", "base.later", "base.drain"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := suite.Run(t.Context(), sdktest.Value(c.plugin), c.config)
			var got []string
			for _, result := range r.Results {
				if result.Outcome != suite.Fail {
					continue
				}
				if len(result.Observed) == 0 || result.Wanted == "" || result.Mend == "" {
					t.Errorf("the result says too little: %+v", result)
				}
				if strings.HasPrefix(result.Check, "enforcer.") && slices.Contains(c.want, "base.configure") {
					continue // nothing works without
				}
				got = append(got, result.Check)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("failed checks (-want +got):\n%s", diff)
				for _, result := range r.Results {
					t.Logf("%s %s %v", result.Outcome, result.Check, result.Observed)
				}
			}
			if r.Passed+r.Failed+r.NotApplicable != len(r.Results) {
				t.Errorf("got %d, %d and %d of %d results", r.Passed, r.Failed, r.NotApplicable, len(r.Results))
			}
		})
	}
}
