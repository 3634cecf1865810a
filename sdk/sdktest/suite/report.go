package suite

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Outcome is what came of a check.
type Outcome string

// The outcomes.
const (
	Pass          Outcome = "pass"
	Fail          Outcome = "fail"
	NotApplicable Outcome = "not_applicable"
)

// Result is what came of one check, for people and programs.
type Result struct {
	Check   string  `json:"check"`
	Title   string  `json:"title"`
	Outcome Outcome `json:"outcome"`
	// Wanted is what the host relies on.
	Wanted string `json:"wanted"`
	// Observed is what was seen instead, or why the check does not apply; empty
	// when it passed.
	Observed []string `json:"observed"`
	// Mend says where to look; "" when it passed.
	Mend    string  `json:"mend"`
	Seconds float64 `json:"seconds"`
}

// Report is what came of a whole run.
type Report struct {
	// Plugin, Version and Kinds are what the plugin says of itself; empty when it
	// did not get that far.
	Plugin        string   `json:"plugin"`
	Version       string   `json:"version"`
	Kinds         []string `json:"kinds"`
	Passed        int      `json:"passed"`
	Failed        int      `json:"failed"`
	NotApplicable int      `json:"not_applicable"`
	Results       []Result `json:"results"`
}

// Add appends a result and counts it.
func (r *Report) Add(result Result) {
	r.Results = append(r.Results, result)
	switch result.Outcome {
	case Pass:
		r.Passed++
	case Fail:
		r.Failed++
	case NotApplicable:
		r.NotApplicable++
	}
}

// Config says how to drive a plugin whose kind is not known before it was asked.
// Host is put into the configuration of every kind.
type Config struct {
	Host     HostConfig
	Parser   ParserConfig
	Detector DetectorConfig
	Enforcer EnforcerConfig
	Sink     SinkConfig
	Source   SourceConfig
	Scanner  ScannerConfig
	// Done, when set, is told each result as it comes.
	Done func(Result)
}

// Run runs every check that the target's kinds call for, in order. It ends early,
// with the results so far, when the plugin does not get as far as a valid
// description or a configuration, and when ctx ends.
func Run(ctx context.Context, target Target, c Config) *Report {
	r := &Report{Kinds: []string{}, Results: []Result{}}
	first := true
	for _, check := range Base(target, c.Host) { //nolint:contextcheck // a check has the context of its TB
		if !r.record(ctx, c.Done, check) && first {
			return r // the others would say the same again
		}
		first = false
	}
	d, err := describe(ctx, target)
	if err != nil {
		return r // Base has reported it
	}
	r.Plugin, r.Version, r.Kinds = d.Name, d.Version, d.Kinds
	for _, kind := range d.Kinds {
		for _, check := range c.checks(target, kind) { //nolint:contextcheck // as above
			if ctx.Err() != nil {
				return r
			}
			r.record(ctx, c.Done, check)
		}
	}
	return r
}

// checks returns the checks of one kind.
func (c *Config) checks(target Target, kind string) []Check {
	switch kind {
	case "parser":
		c.Parser.Host = c.Host
		return Parser(target, c.Parser)
	case "detector":
		c.Detector.Host = c.Host
		return Detector(target, c.Detector)
	case "enforcer":
		c.Enforcer.Host = c.Host
		return Enforcer(target, c.Enforcer)
	case "sink":
		c.Sink.Host = c.Host
		return Sink(target, c.Sink)
	case "source":
		c.Source.Host = c.Host
		return Source(target, c.Source)
	case "scanner":
		c.Scanner.Host = c.Host
		return Scanner(target, c.Scanner)
	case "state":
		return SharedState(target, StateConfig{Host: c.Host})
	}
	return nil
}

// record runs one check on its own goroutine, adds its result, and reports whether
// it passed or did not apply.
func (r *Report) record(ctx context.Context, done func(Result), check Check) bool {
	ctx, cancel := context.WithCancel(ctx)
	tb := &recorder{ctx: ctx, cancel: cancel}
	began := time.Now()
	var why string
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer tb.finish()
		why = check.Run(tb)
	}()
	<-ended
	result := Result{
		Check: check.Name, Title: check.Title, Wanted: check.Wanted, Outcome: Pass, Observed: []string{},
		Seconds: time.Since(began).Seconds(),
	}
	switch {
	case len(tb.faults) > 0:
		result.Outcome, result.Observed, result.Mend = Fail, tb.faults, check.Mend
	case why != "":
		result.Outcome, result.Observed = NotApplicable, []string{why}
	}
	r.Add(result)
	if done != nil {
		done(result)
	}
	return result.Outcome != Fail
}

// maxFaults bounds what is kept of one check; the others are counted.
const (
	maxFaults     = 8
	maxFaultBytes = 1000
)

// recorder is the TB of a report.
type recorder struct {
	ctx    context.Context //nolint:containedctx // as testing.T's
	cancel context.CancelFunc

	mu       sync.Mutex
	faults   []string
	more     int
	cleanups []func()
}

func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Helper()                  {}

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) Errorf(format string, args ...any) {
	text := strings.ToValidUTF8(fmt.Sprintf(format, args...), "\uFFFD")
	if len(text) > maxFaultBytes {
		text = strings.ToValidUTF8(text[:maxFaultBytes], "") + "..."
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case slices.Contains(r.faults, text):
	case len(r.faults) == maxFaults:
		r.more++
	default:
		r.faults = append(r.faults, text)
	}
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.faults) > 0
}

// finish runs the cleanups, also after Fatalf.
func (r *recorder) finish() {
	r.cancel()
	for {
		r.mu.Lock()
		n := len(r.cleanups)
		if n == 0 {
			break
		}
		f := r.cleanups[n-1]
		r.cleanups = r.cleanups[:n-1]
		r.mu.Unlock()
		f()
	}
	if r.more > 0 {
		r.faults = append(r.faults, fmt.Sprintf("and %d more", r.more))
	}
	r.mu.Unlock()
}
