package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/bundle"
	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/logfile"
	"github.com/ironpost/ironpost/host/internal/pipeline"
	"github.com/ironpost/ironpost/host/internal/roster"
	"github.com/ironpost/ironpost/host/internal/sandbox"
	"github.com/ironpost/ironpost/host/internal/state"
	"github.com/ironpost/ironpost/host/internal/view"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// ErrInvalid is wrapped by errors about what the caller gave.
var ErrInvalid = errors.New("invalid input")

// offlineHost stands for the host id in trace ids.
const offlineHost = "offline"

// rulesBundle is the bundle that detectors read rules from.
const rulesBundle = "rules"

// offline is a pipeline of plugins without a running host.
type offline struct {
	pipeline *pipeline.Pipeline
	roster   *roster.Roster
	launcher *sandbox.Launcher
	remove   func()
}

// offlineConfig says which plugins take part, and how.
type offlineConfig struct {
	Sources
	want   func(*pb.Description) bool
	rules  []string
	alert  pipeline.AlertFunc
	stderr io.Writer
	// lenient only looks at the plugins, also when the configuration is wrong.
	lenient bool
	// bare leaves the plugin directories alone: single files are looked at.
	bare bool
	// keys, when set, are the trusted keys in place of the configured ones.
	keys []string
	// flags, when set, returns values for an enabled plugin's section.
	flags func(*pb.Description) []config.Flag
	// ownData has plugins keep their own data where those of a host do.
	ownData bool
	// store, when set, is where pins are kept.
	store *state.Store
}

// openOffline starts the wanted plugins.
func openOffline(ctx context.Context, c offlineConfig) (o *offline, err error) {
	current, err := config.Load(c.options())
	if err != nil && c.lenient {
		without := c.options()
		without.File, without.Env = "", nil
		current, err = config.Load(without)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	log := hclog.New(&hclog.LoggerOptions{Name: "ironpost", Level: hclog.Warn, Output: c.stderr})
	if err := yield(); err != nil {
		log.Warn("everything runs, slower", "error", err)
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	sockets, err := os.MkdirTemp("", "ironpost-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the plugins' sockets: %w", err)
	}
	o = &offline{launcher: sandbox.NewLauncher(), remove: func() { _ = os.RemoveAll(sockets) }}
	defer func() {
		if err != nil {
			o.close(ctx)
			o = nil
		}
	}()
	if err := os.Chmod(sockets, 0o711); err != nil { //nolint:gosec // plugins' users search it
		return o, fmt.Errorf("open the plugins' socket directory: %w", err)
	}
	pool := new(pb.Pool)
	bus := current.Host().Bus
	o.pipeline = pipeline.New(pipeline.Config{
		HostID: offlineHost, Logger: log, Pool: pool, Alert: c.alert, Credits: bus.Credits, RetainedBytes: bus.RetainedBytes,
		Decide: func(context.Context, string, *pb.ActionEvent) error { return nil },
		Routes: current.Host().LogPipeline.Routes,
	})
	bundles := map[string][]string{}
	if len(c.rules) > 0 {
		bundles[rulesBundle] = c.rules
	}
	plugins := current.Host().Plugins
	if c.keys != nil {
		plugins.TrustedKeys = c.keys
	}
	var ownData string
	if c.ownData {
		ownData = current.Host().General.DataDir
		if err := state.MakeDir(ownData, 0o711); err != nil {
			return o, err
		}
	}
	o.roster, err = roster.New(roster.Config{
		Logger: log, Launcher: o.launcher, Pipeline: o.pipeline, Pool: pool, Store: c.store, DataDir: cache, RunDir: sockets, OwnDataDir: ownData,
		Dirs: plugins.Dirs, Plugins: plugins, HostID: offlineHost, Version: Version(),
		Mode: func() string { return string(config.Detect) }, Replay: true,
		BundleDirs: bundleDirs(c.ConfigFile), Bundles: bundles, Want: c.want,
		// Who names the directories wants what lies there, sandboxed as ever.
		TrustAll: len(c.PluginDirs) > 0 && !c.bare,
	})
	if err != nil {
		return o, err
	}
	if c.bare {
		return o, nil
	}
	if err := o.roster.Scan(ctx); err != nil {
		return o, err
	}
	if c.lenient {
		return o, nil // it is the plugins' sections that are wanted
	}
	options := c.options()
	options.Known = o.roster.Sections()
	for _, d := range o.roster.Enabled() {
		if c.flags != nil {
			options.Flags = append(options.Flags, c.flags(d)...)
		}
	}
	if current, err = config.Load(options); err != nil {
		return o, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	o.roster.Configure(current)
	o.roster.Start(ctx)
	ready, cancel := context.WithTimeout(ctx, current.Host().Plugins.StartTimeout)
	defer cancel()
	return o, o.roster.Ready(ready)
}

// cacheDir is where offline verbs keep their copies of plugins.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = filepath.Join(os.TempDir(), fmt.Sprintf("ironpost-%d", os.Geteuid()))
	}
	dir := filepath.Join(base, "ironpost")
	if err := state.MakeDir(dir, 0o711); err != nil {
		return "", err
	}
	return dir, nil
}

// copiesAge is for how long offline verbs keep copies of plugins that they did not
// use; others may work with them at the same time.
const copiesAge = 24 * time.Hour

func (o *offline) close(ctx context.Context) {
	if o.roster != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = o.roster.Stop(ctx)        // whatever is left is killed next
		_ = o.roster.Sweep(copiesAge) // the next verb tries again
	}
	_ = o.launcher.Close()
	o.remove()
}

// isParser wants the parsers of a format, of any when it is "".
func isParser(format string) func(*pb.Description) bool {
	return func(d *pb.Description) bool {
		return slices.Contains(d.Kinds, "parser") && (format == "" || d.Format == format || d.Name == format)
	}
}

// hasRules wants the detectors that read rules.
func hasRules(d *pb.Description) bool {
	return slices.Contains(d.Kinds, "detector") &&
		slices.ContainsFunc(d.Bundles, func(b *pb.BundleSpec) bool { return b.Name == rulesBundle })
}

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

// RulesConfig says which rules to look at; no paths are those of the
// configuration.
type RulesConfig struct {
	Sources
	Paths  []string
	Stderr io.Writer
}

// ValidateRules loads rules aside and names those that are rejected.
func ValidateRules(ctx context.Context, c RulesConfig) (*pb.BundleResponse, error) {
	for _, p := range c.Paths {
		if _, err := os.Stat(p); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	o, err := openOffline(ctx, offlineConfig{Sources: c.Sources, want: hasRules, stderr: io.Discard})
	if err != nil {
		return nil, err
	}
	defer o.close(ctx)
	paths, suffixes := o.roster.BundlePaths(rulesBundle)
	if len(c.Paths) > 0 {
		paths = c.Paths
	}
	files, problems := bundle.Load(rulesBundle, paths, suffixes)
	for _, p := range problems {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, p.Path, p.Err)
	}
	for _, conn := range o.roster.Find(hasRules) {
		return conn.ValidateRules(ctx, files)
	}
	return nil, fmt.Errorf("%w: no detector with rules is enabled; see ironpost plugin list", ErrInvalid)
}

// ListRules returns the rules that a host would load.
func ListRules(ctx context.Context, c RulesConfig) ([]*pb.Rule, error) {
	o, err := openOffline(ctx, offlineConfig{Sources: c.Sources, want: hasRules, rules: c.Paths, stderr: c.Stderr})
	if err != nil {
		return nil, err
	}
	defer o.close(ctx)
	var out []*pb.Rule
	conns := o.roster.Find(hasRules)
	for _, name := range slices.Sorted(maps.Keys(conns)) {
		rules, err := conns[name].ListRules(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", name, err)
		}
		out = append(out, rules...)
	}
	return out, nil
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
