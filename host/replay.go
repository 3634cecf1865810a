package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/host/internal/logfile"
	"github.com/ironpost/ironpost/host/internal/pipeline"
	"github.com/ironpost/ironpost/host/internal/view"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// ReplayConfig says what to replay.
type ReplayConfig struct {
	Sources
	// Files are paths of files and directories, "-" is Stdin. Format names a
	// parser's format, "" detects it per stream. Rules, when set, are the only
	// rules.
	Files         []string
	Format        string
	Rules         []string
	ReferenceTime time.Time
	TimeZone      string
	Stdin         io.Reader
	Stdout        io.Writer
	Stderr        io.Writer
}

// ReplaySummary says what a replay came to.
type ReplaySummary struct {
	// Files were read; Left were passed over, or read as far as they go.
	Files, Left                             int
	Records, Parsed, Unparsed, Late, Alerts uint64
	UnparsedReasons                         map[string]uint64
}

// Replay sends files through parsers and detectors in event time and writes the
// alerts to c.Stdout, one JSON object a line.
func Replay(ctx context.Context, c ReplayConfig) (summary ReplaySummary, err error) {
	out := &lineWriter{w: c.Stdout}
	var alerts atomic.Uint64
	seen := make(map[string]bool)
	var mu sync.Mutex
	o, err := openOffline(ctx, offlineConfig{
		Sources: c.Sources, rules: c.Rules, stderr: c.Stderr,
		want: func(d *pb.Description) bool {
			isRules := hasRules(d)
			if len(c.Rules) == 0 {
				isRules = slices.Contains(d.Kinds, "detector")
			}
			return isRules || isParser("")(d)
		},
		alert: func(a *pb.AlertEvent) (uint64, error) {
			mu.Lock()
			defer mu.Unlock()
			if seen[a.Id] {
				return 0, nil
			}
			seen[a.Id] = true
			alerts.Add(1)
			return 0, out.write(view.AppendBatch(nil, offlineHost, &pb.Batch{Kind: pb.Kind_KIND_ALERT, Count: 1, Alerts: []*pb.AlertEvent{a}}))
		},
	})
	if err != nil {
		return summary, err
	}
	defer o.close(ctx)
	if err := o.requireParser(c.Format); err != nil {
		return summary, err
	}
	streams, left, err := logfile.Find(c.Files)
	if err != nil {
		return summary, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	damaged, err := o.inject(ctx, streams, c.Format, c.ReferenceTime, c.TimeZone, c.Stdin)
	if err == nil {
		err = o.pipeline.Idle(ctx)
	}
	if err == nil {
		err = o.roster.Failed()
	}
	left = append(left, damaged...)
	for _, p := range left {
		fmt.Fprintln(c.Stderr, "left out:", view.Printable(p.Error()))
	}
	summary.Left = len(left)
	for _, s := range streams {
		summary.Files += len(s.Files)
	}
	for _, conn := range o.roster.Find(hasRules) {
		counters, _ := conn.Metrics(ctx) // the summary does without
		for _, count := range counters {
			if count.Name == "late" {
				summary.Late += count.Value
			}
		}
	}
	s := &o.pipeline.Stats
	summary.Records, summary.Parsed, summary.Unparsed = s.Received.Load(), s.Parsed.Load(), s.Unparsed.Load()
	summary.Alerts, summary.UnparsedReasons = alerts.Load(), s.Reasons()
	return summary, errors.Join(err, out.err)
}

// requireParser names the formats that there are when the one asked for is not.
func (o *offline) requireParser(format string) error {
	formats := o.roster.Formats()
	if len(formats) == 0 {
		return fmt.Errorf("%w: no parser is enabled; ironpost plugin list shows the candidates and what is wrong with them", ErrInvalid)
	}
	if format != "" && !slices.Contains(formats, format) {
		return fmt.Errorf("%w: there is no parser for format %q; there are %v", ErrInvalid, format, formats)
	}
	return nil
}

// inject reads the streams, one after the other. It returns the files that could
// not be read to their end.
func (o *offline) inject(ctx context.Context, streams []logfile.Stream, format string, reference time.Time, zone string, stdin io.Reader) (damaged []logfile.Problem, err error) {
	if reference.IsZero() {
		reference = time.Now()
	}
	for _, s := range streams {
		r, err := s.Open(stdin)
		if err != nil {
			return damaged, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		err = o.pipeline.Inject(ctx, pipeline.Injection{Name: s.Name, Format: format, TimeZone: zone, Observed: reference}, r)
		damaged = append(damaged, r.Damaged()...)
		if err = errors.Join(err, r.Close()); err != nil {
			return damaged, err
		}
	}
	return damaged, nil
}

// ParseConfig says what to parse.
type ParseConfig struct {
	Sources
	File          string
	Format        string
	ReferenceTime time.Time
	TimeZone      string
	Stdin         io.Reader
	Stdout        io.Writer
	Stderr        io.Writer
}

// Parse writes one JSON object a record to c.Stdout, in order.
func Parse(ctx context.Context, c ParseConfig) error {
	o, err := openOffline(ctx, offlineConfig{Sources: c.Sources, want: isParser(c.Format), stderr: c.Stderr})
	if err != nil {
		return err
	}
	defer o.close(ctx)
	if err := o.requireParser(c.Format); err != nil {
		return err
	}
	out := &lineWriter{w: c.Stdout}
	var lines []byte
	collected, err := o.pipeline.Collect(ctx, func(f *pb.Frame) error {
		batch, err := f.Batch()
		if err != nil {
			return fmt.Errorf("decode parsed records: %w", err)
		}
		lines = view.AppendBatch(lines[:0], offlineHost, batch)
		return out.write(lines)
	})
	if err != nil {
		return err
	}
	one := logfile.Stream{Name: c.File, Files: []string{c.File}}
	damaged, err := o.inject(ctx, []logfile.Stream{one}, c.Format, c.ReferenceTime, c.TimeZone, c.Stdin)
	if err == nil {
		err = o.pipeline.Idle(ctx)
	}
	for _, p := range damaged {
		fmt.Fprintln(c.Stderr, "left out:", view.Printable(p.Error()))
	}
	if err == nil {
		err = o.roster.Failed()
	}
	return errors.Join(err, collected(ctx))
}

// isParser wants the parsers of a format, of any when it is "".
func isParser(format string) func(*pb.Description) bool {
	return func(d *pb.Description) bool {
		return slices.Contains(d.Kinds, "parser") && (format == "" || d.Format == format || d.Name == format)
	}
}

// lineWriter writes whole lines and remembers the first error.
type lineWriter struct {
	mu  sync.Mutex
	w   io.Writer
	err error
}

func (l *lineWriter) write(line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	if !bytes.HasSuffix(line, []byte("\n")) {
		line = append(line, '\n')
	}
	_, l.err = l.w.Write(line)
	return l.err
}
