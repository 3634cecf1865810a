package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/catalog"
	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/roster"
	"github.com/ironpost/ironpost/host/internal/sandbox"
	"github.com/ironpost/ironpost/host/internal/service"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/sdktest/suite"
)

// ConformConfig says which plugin to test and what to drive it with.
type ConformConfig struct {
	Sources
	// File is the plugin.
	File string
	// Values are keys of the plugin's section as "KEY=VALUE"; they win over the
	// configuration file.
	Values []string
	// Lines is a file of records that a parser parses, one a line; Events and
	// Alerts are NDJSON, as the verbs parse and "events tail" write it, that make a
	// detector raise alerts and an enforcer propose answers; Feed is the file that
	// a source reads, to which lines are appended; Targets are what a scanner can
	// scan. What is empty is not checked.
	Lines, Events, Alerts, Feed string
	Targets                     []string
	// Stateless says that a detector may forget what it saw when it dies.
	Stateless bool
	// Done, when set, is told each result as it comes.
	Done func(suite.Result)
}

// Conform runs the conformance suite against a plugin as the host would run it: its
// bytes are copied and hashed, described in the strictest sandbox, and then run with
// what it asks for. The error is about the input or this machine; what is wrong with
// the plugin is in the report.
func Conform(ctx context.Context, c ConformConfig) (*suite.Report, error) {
	samples, err := c.samples()
	if err != nil {
		return nil, err
	}
	tested, err := newTested(c.File)
	if err != nil {
		return nil, err
	}
	defer tested.close()
	report := &suite.Report{Kinds: []string{}, Results: []suite.Result{}}
	add := func(r suite.Result) {
		report.Add(r)
		if c.Done != nil {
			c.Done(r)
		}
	}
	add(checkFile(c.File))
	began := time.Now()
	d, err := tested.describe(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	add(described(err, time.Since(began)))
	if err != nil {
		return report, nil //nolint:nilerr // the report has it
	}
	if samples.Host, err = tested.prepare(ctx, d, c); err != nil {
		return nil, err
	}
	samples.Done = c.Done
	rest := suite.Run(ctx, tested, samples)
	for _, r := range report.Results {
		rest.Results = slices.Insert(rest.Results, 0, r)
		rest.Passed, rest.Failed = rest.Passed+passed(r), rest.Failed+1-passed(r)
	}
	slices.Reverse(rest.Results[:len(report.Results)])
	return rest, context.Cause(ctx)
}

func passed(r suite.Result) int {
	if r.Outcome == suite.Pass {
		return 1
	}
	return 0
}

// checkFile holds the file to the rules of the plugin directories.
func checkFile(path string) suite.Result {
	r := suite.Result{
		Check: "host.file", Title: "is a file that a host would run", Outcome: suite.Pass, Observed: []string{},
		Wanted: "a regular, executable file on a path that nobody but root and the host's user can write",
	}
	options, err := catalog.HostOptions(nil)
	if err != nil {
		r.Outcome, r.Observed = suite.Fail, []string{err.Error()}
		return r
	}
	if refusal := catalog.Check(path, options); refusal != nil {
		r.Outcome, r.Wanted, r.Mend = suite.Fail, refusal.Wanted, refusal.Mend
		r.Observed = []string{fmt.Sprintf("%s: %s", refusal.Code, refusal.Observed)}
	}
	return r
}

// described is the result of the first description.
func described(err error, took time.Duration) suite.Result {
	r := suite.Result{
		Check: "host.describe", Title: "describes itself in the strictest sandbox", Outcome: suite.Pass, Observed: []string{}, Seconds: took.Seconds(),
		Wanted: fmt.Sprintf("the handshake as the first line of standard output and an answer to Describe, within %v, without files, network and configuration", pb.DescribeTimeout),
	}
	if err != nil {
		// What go-plugin adds for its own users says no more.
		text, _, _ := strings.Cut(err.Error(), ": Unrecognized remote plugin message:")
		r.Outcome, r.Observed = suite.Fail, []string{text}
		r.Mend = `begin with: ironpost plugin new; the guide is docs/plugin-guide.md`
	}
	return r
}

// tested is a plugin under test: a suite.Target of sandboxed processes.
type tested struct {
	path     string
	digest   string
	store    *catalog.Store
	launcher *sandbox.Launcher
	dir      string // holds the copy and the sockets
	uid      uint32
	pool     *pb.Pool

	spec     sandbox.Spec // of the processes; set by prepare
	services service.Grants
	files    []*os.File // listeners
}

func newTested(path string) (t *tested, err error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if _, err := os.Stat(absolute); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	t = &tested{path: absolute, launcher: sandbox.NewLauncher(), pool: new(pb.Pool)}
	// Sockets have short paths: they are kept out of deep home directories.
	if t.dir, err = os.MkdirTemp("", "ironpost-"); err != nil {
		return nil, fmt.Errorf("make a directory for the plugin's sockets: %w", err)
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	if err := os.Chmod(t.dir, 0o711); err != nil { //nolint:gosec // the plugin's user searches it
		return nil, fmt.Errorf("open the plugin's socket directory: %w", err)
	}
	if t.store, err = catalog.OpenStore(filepath.Join(cache, "tested")); err != nil {
		return nil, err
	}
	digest, exe, err := t.store.Import(absolute)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	_ = exe.Close() // it was read alone
	t.digest = digest
	if os.Geteuid() == 0 {
		if t.uid, err = sandbox.UID("test:"+filepath.Base(path), nil); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *tested) close() {
	_ = t.launcher.Close()
	for _, f := range t.files {
		_ = f.Close()
	}
	if t.store != nil && t.digest != "" {
		_ = os.Remove(t.store.Path(t.digest))
	}
	_ = os.RemoveAll(t.dir)
}

// describe asks as the host does that sees the file for the first time.
func (t *tested) describe(ctx context.Context) (*pb.Description, error) {
	spec, err := roster.Confine(&pb.Permissions{BaseFiles: true}, nil, t.uid)
	if err != nil {
		return nil, err
	}
	conn, err := t.start(ctx, spec, newLastLines())
	if err != nil {
		return nil, err
	}
	defer conn.Kill()
	d, err := conn.Describe(ctx)
	if err != nil {
		return nil, err
	}
	return d, roster.Validate(d)
}

func (t *tested) start(ctx context.Context, spec sandbox.Spec, log *lastLines) (*link.Conn, error) {
	exe, err := t.store.Open(t.digest)
	if err != nil {
		return nil, err
	}
	defer exe.Close()
	spec.Name, spec.Exe, spec.Path = filepath.Base(t.path), exe, t.store.Path(t.digest)
	ctx, cancel := context.WithTimeoutCause(ctx, pb.DescribeTimeout, link.ErrTimeout)
	defer cancel()
	return link.Start(ctx, link.Config{
		Launcher: t.launcher, Spec: spec, RunDir: t.dir, StartTimeout: pb.DescribeTimeout, Pool: t.pool,
		Logger: hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Info, DisableTime: true}),
	})
}

// prepare reads the plugin's section and confines its processes to what it asks for.
func (t *tested) prepare(ctx context.Context, d *pb.Description, c ConformConfig) (suite.HostConfig, error) {
	h := suite.HostConfig{Bundles: map[string]fs.FS{}, Listeners: map[string]uint32{}}
	current, err := c.load(d)
	if err != nil {
		return h, err
	}
	if h.Section, err = t.section(d, current); err != nil {
		return h, err
	}
	if t.spec, err = roster.Confine(d.Permissions, h.Section, t.uid); err != nil {
		return h, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	t.spec.MaxMemory = uint64(current.Host().Plugins.MemoryBytes)
	const first = 4 // 3 is the parent-death pipe
	for i, address := range roster.Listens(d.Permissions, h.Section) {
		f, err := sandbox.Listen(ctx, address)
		if err != nil {
			return h, err
		}
		t.files = append(t.files, f)
		h.Listeners[address] = uint32(first + i)
	}
	t.spec.Files = t.files
	t.services = service.Grants{Commands: d.Permissions.GetCommands(), Services: d.Permissions.GetServices()}
	for _, b := range d.Bundles {
		if dir := bundleDir(b, h.Section, c.ConfigFile); dir != "" {
			h.Bundles[b.Name] = os.DirFS(dir)
		}
	}
	return h, nil
}

// bundleDir returns the first directory of a bundle that exists.
func bundleDir(b *pb.BundleSpec, section map[string]any, configFile string) string {
	paths := b.Paths
	if set, ok := section[b.ConfigKey].([]any); ok && len(set) > 0 {
		paths = nil
		for _, v := range set {
			paths = append(paths, fmt.Sprint(v))
		}
	}
	for _, p := range paths {
		candidates := []string{p}
		if !filepath.IsAbs(p) {
			for _, dir := range bundleDirs(configFile) {
				candidates = append(candidates, filepath.Join(dir, p))
			}
		}
		for _, candidate := range candidates {
			if info, err := os.Stat(candidate); err == nil && info.IsDir() {
				return candidate
			}
		}
	}
	return ""
}

// load reads the configuration with the plugin's section in it.
func (c *ConformConfig) load(d *pb.Description) (*config.Config, error) {
	options := config.Options{File: c.ConfigFile}
	if d.Section != "" {
		options.Known = []config.Section{roster.SectionOf(d)}
	}
	for _, v := range c.Values {
		key, value, ok := strings.Cut(v, "=")
		switch {
		case !ok:
			return nil, fmt.Errorf("%w: --set %s: want KEY=VALUE", ErrInvalid, v)
		case d.Section == "":
			return nil, fmt.Errorf("%w: plugin %s has no section in which %s could stand", ErrInvalid, d.Name, key)
		}
		options.Flags = append(options.Flags, config.Flag{Name: "--set " + key, Key: d.Section + "." + key, Value: value})
	}
	current, err := config.Load(options)
	if err == nil {
		if bad := current.PluginProblems(d.Name); bad != nil {
			err = bad
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return current, nil
}

// section returns the plugin's section as the host would hand it over.
func (t *tested) section(d *pb.Description, current *config.Config) (map[string]any, error) {
	values := map[string]any{}
	if d.Section == "" {
		return values, nil
	}
	document, err := current.SectionJSON(d.Section)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := json.Unmarshal(document, &values); err != nil {
		return nil, fmt.Errorf("section %s: %w", d.Section, err)
	}
	for k, v := range values { // the plugin's own directory below the data directory
		if s, ok := v.(string); ok && strings.HasPrefix(s, "data:") {
			dir := filepath.Join(t.dir, "data")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return nil, fmt.Errorf("make the plugin's directory: %w", err)
			}
			if t.uid != 0 {
				if err := os.Chown(dir, int(t.uid), int(t.uid)); err != nil {
					return nil, fmt.Errorf("give the plugin its directory: %w", err)
				}
			}
			values[k] = dir
		}
	}
	return values, nil
}

// Start starts one process, for the suite.
func (t *tested) Start(ctx context.Context) (suite.Plugin, error) {
	log := newLastLines()
	conn, err := t.start(ctx, t.spec, log)
	if err != nil {
		return nil, errors.Join(append([]error{err}, log.errors()...)...)
	}
	life := &testedLife{conn: conn, log: log, stop: func() {}}
	if len(t.services.Commands)+len(t.services.Services) > 0 {
		serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan struct{})
		go func() {
			defer close(done)
			stream, err := conn.HostServices(serving)
			if err == nil {
				_ = service.Serve(serving, stream, t.services, nil, hclog.NewNullLogger()) // ends with the plugin
			}
		}()
		life.stop = sync.OnceFunc(func() { cancel(); <-done })
	}
	return life, nil
}
