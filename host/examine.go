package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/host/internal/bundle"
	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/logfile"
	"github.com/ironpost/ironpost/host/internal/pipeline"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// TestRules runs the examples beside the rules, and those inside the files of
// patterns, at the paths. Patterns that lie there read the lines too. What is wrong
// with a rule, a file or an example is in the report.
func TestRules(ctx context.Context, c RulesConfig) (*pb.RuleTestReport, error) {
	if err := c.exist(); err != nil {
		return nil, err
	}
	o, err := openOffline(ctx, offlineConfig{
		Sources: c.Sources, stderr: io.Discard, alert: nobody,
		want: func(d *pb.Description) bool { return hasRules(d) || isParser("")(d) },
	})
	if err != nil {
		return nil, err
	}
	defer o.close(ctx)
	report := &pb.RuleTestReport{}
	if err := o.testPatterns(ctx, c.Paths, report); err != nil {
		return nil, err
	}
	_, suffixes := o.roster.BundlePaths(rulesBundle)
	files, problems := bundle.Load(rulesBundle, withExamples(c.Paths), suffixes)
	for _, p := range problems {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, p.Path, p.Err)
	}
	files.Files = slices.DeleteFunc(files.Files, func(f link.File) bool { return isPatterns.Match(f.Data) })
	conns := o.roster.Find(hasRules)
	for _, name := range slices.Sorted(maps.Keys(conns)) {
		rules, err := conns[name].TestRules(ctx, files, o.parseExamples())
		if errors.Is(err, link.ErrCannotExamine) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", name, err)
		}
		report.Files += rules.Files
		report.Examples += rules.Examples
		report.Passed += rules.Passed
		report.Failed = append(report.Failed, rules.Failed...)
		report.Untested = rules.Untested
		return report, o.roster.Failed()
	}
	return nil, fmt.Errorf("%w: no detector that tests rules is enabled; see ironpost plugin list", ErrInvalid)
}

// testPatterns runs the examples in files of patterns and has all parsers use these
// patterns.
func (o *offline) testPatterns(ctx context.Context, paths []string, report *pb.RuleTestReport) error {
	_, suffixes := o.roster.BundlePaths(patternsBundle)
	files, problems := bundle.Load(patternsBundle, paths, suffixes)
	for _, p := range problems {
		return fmt.Errorf("%w: %s: %w", ErrInvalid, p.Path, p.Err)
	}
	files.Files = slices.DeleteFunc(files.Files, func(f link.File) bool { return !isPatterns.Match(f.Data) })
	if len(files.Files) == 0 {
		return nil
	}
	conns := o.roster.Find(hasPatterns)
	if len(conns) == 0 {
		return fmt.Errorf("%w: no parser with patterns is enabled; see ironpost plugin list", ErrInvalid)
	}
	for i, name := range slices.Sorted(maps.Keys(conns)) {
		answer, err := conns[name].PushBundle(ctx, files)
		if err != nil {
			return fmt.Errorf("ask %s: %w", name, err)
		}
		if i > 0 {
			continue // all read the same
		}
		report.Files += answer.Files
		for _, f := range files.Files {
			report.Examples += uint32(len(isExample.FindAll(f.Data, -1)))
		}
		report.Passed = report.Examples
		for _, p := range answer.Rejected {
			report.Failed = append(report.Failed, &pb.RuleTestFailure{File: p.File, Line: p.Line, Rule: p.Rule, Code: p.Code, Reason: p.Reason})
			if p.Code == exampleCode && report.Passed > 0 {
				report.Passed--
			}
		}
	}
	return nil
}

// isExample finds the examples in a file of patterns, and exampleCode is the code of
// one that does not hold.
var isExample = regexp.MustCompile(`(?m)^[ \t]*(?:-[ \t]+)?line:`)

const exampleCode = "example_fails"

// withExamples adds to files of rules the examples that lie in the folder examples
// beside them, under the same name.
func withExamples(paths []string) []string {
	out := slices.Clone(paths)
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil || info.IsDir() {
			continue
		}
		beside := filepath.Join(filepath.Dir(p), "examples", filepath.Base(p))
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() && !slices.Contains(out, beside) {
			out = append(out, beside)
		}
	}
	return out
}

// nobody takes alerts that nobody asked for.
func nobody(*pb.AlertEvent) (uint64, error) { return 0, nil }

// exist wants the paths to be there.
func (c RulesConfig) exist() error {
	for _, p := range c.Paths {
		if _, err := os.Stat(p); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	return nil
}

// parseExamples returns what parses the lines of examples: each in a stream of its
// own, so that none is taken for the continuation of another.
func (o *offline) parseExamples() func(context.Context, *pb.ParseLines) (*pb.ParsedLines, error) {
	number := 0
	return func(ctx context.Context, lines *pb.ParseLines) (*pb.ParsedLines, error) {
		if err := o.requireParser(lines.Format); err != nil {
			return &pb.ParsedLines{Error: strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": ")}, nil
		}
		number++
		batches, err := o.parsed(ctx, pipeline.Injection{
			Name: fmt.Sprintf("%s#%d", lines.Stream, number), Format: lines.Format, Observed: time.Now(),
		}, bytes.NewReader(lines.Lines))
		return &pb.ParsedLines{Batches: batches}, err
	}
}

// parsed sends records through their parser and returns the log events. It is done as
// soon as there is one for each record: what a parser has answered it may keep to
// itself for a while before it says that this is durable.
func (o *offline) parsed(ctx context.Context, in pipeline.Injection, r io.Reader) (batches []*pb.Batch, err error) {
	idle, cancel := context.WithCancel(ctx)
	defer cancel()
	before := o.pipeline.Stats.Received.Load()
	var want, have atomic.Uint64
	want.Store(math.MaxUint64)
	complete := make(chan struct{}, 1)
	check := func() {
		if have.Load() >= want.Load() {
			select {
			case complete <- struct{}{}:
			default:
			}
		}
	}
	collected, err := o.pipeline.Collect(ctx, func(f *pb.Frame) error {
		b, err := f.Batch()
		if err != nil {
			return fmt.Errorf("decode parsed records: %w", err)
		}
		b.Payload = nil
		batches = append(batches, b)
		have.Add(uint64(b.Count))
		check()
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err = o.pipeline.Inject(ctx, in, r); err == nil {
		want.Store(o.pipeline.Stats.Received.Load() - before)
		check()
		ended := make(chan error, 1)
		go func() { ended <- o.pipeline.Idle(idle) }()
		select {
		case <-complete:
			cancel()
			if e := <-ended; !errors.Is(e, context.Canceled) {
				err = e
			}
		case err = <-ended: // a record is lost, or the parser is gone
		}
	}
	err = errors.Join(err, collected(ctx)) // after that nobody appends to batches
	return batches, err
}

// ExplainConfig says which rule to explain, over which records.
type ExplainConfig struct {
	Sources
	Rule string
	// Paths, when set, are where the rules are, in place of those of the
	// configuration.
	Paths []string
	// File has the records; "-" is Stdin. Stream is the name of the stream that they
	// are said to come from; "" is that of the file.
	File, Format, Stream string
	ReferenceTime        time.Time
	TimeZone             string
	All                  bool
	Limit                int
	Stdin                io.Reader
	Stderr               io.Writer
}

// ExplainRule says why a rule holds for the records of a file, or why not.
func ExplainRule(ctx context.Context, c ExplainConfig) (*pb.RuleExplanation, error) {
	if err := (RulesConfig{Paths: c.Paths}).exist(); err != nil {
		return nil, err
	}
	records, err := logfile.Stream{Name: c.File, Files: []string{c.File}}.Open(c.Stdin)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	defer func() { _ = records.Close() }() // it was only read
	o, err := openOffline(ctx, offlineConfig{
		Sources: c.Sources, rules: c.Paths, stderr: c.Stderr, alert: nobody,
		want: func(d *pb.Description) bool { return hasRules(d) || isParser("")(d) },
	})
	if err != nil {
		return nil, err
	}
	defer o.close(ctx)
	if err := o.requireParser(c.Format); err != nil {
		return nil, err
	}
	name := c.Stream
	if name == "" {
		name = c.File
	}
	if c.ReferenceTime.IsZero() {
		c.ReferenceTime = time.Now()
	}
	batches, err := o.parsed(ctx, pipeline.Injection{Name: name, Format: c.Format, TimeZone: c.TimeZone, Observed: c.ReferenceTime}, records)
	if err == nil {
		err = o.roster.Failed()
	}
	if err != nil {
		return nil, err
	}
	question := &pb.ExplainRuleRequest{Rule: c.Rule, All: c.All, Limit: uint32(max(c.Limit, 0))}
	conns := o.roster.Find(hasRules)
	for _, name := range slices.Sorted(maps.Keys(conns)) {
		out, err := conns[name].ExplainRule(ctx, question, batches)
		if errors.Is(err, link.ErrNoRule) || errors.Is(err, link.ErrCannotExamine) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", name, err)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%w: there is no rule %q; ironpost rules list shows them, and rules validate what was rejected", ErrInvalid, c.Rule)
}
