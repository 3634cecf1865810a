package roster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/host/internal/catalog"
	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/pipeline"
	"github.com/ironpost/ironpost/host/internal/sandbox"
	"github.com/ironpost/ironpost/host/internal/state"
	"github.com/ironpost/ironpost/host/internal/supervise"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Errors for branching.
var (
	ErrNotFound = errors.New("no such plugin")
	ErrRefused  = errors.New("the plugin is refused")
)

// Config says what a Roster works with.
type Config struct {
	Logger   hclog.Logger
	Launcher *sandbox.Launcher
	Pipeline *pipeline.Pipeline
	Pool     *pb.Pool
	// Store keeps pins, users and descriptions; nil keeps them in memory only,
	// as the offline verbs do.
	Store *state.Store
	// DataDir is the host's; RunDir holds the plugins' sockets.
	DataDir, RunDir string
	// Dirs are the plugin directories.
	Dirs    []string
	Plugins config.Plugins
	HostID  string
	Version string
	Mode    func() string
	// Replay tells plugins that the records are history.
	Replay bool
	// Bundles resolves relative bundle paths; each is tried in turn.
	BundleDirs []string
	// Bundles replaces the paths of bundles, by name.
	Bundles map[string][]string
	// Want, when set, leaves out the plugins that it does not want.
	Want func(*pb.Description) bool
	// TrustAll runs every sound candidate that was not built with the host, as
	// if it were enabled: the operator named the directories for this once.
	TrustAll bool
	// Report is told what became of a bundle.
	Report func(plugin string, bundle string, r *pb.BundleResponse)
}

// Roster is the set of plugins of a host.
type Roster struct {
	config  Config
	log     hclog.Logger
	copies  *catalog.Store
	options catalog.Options
	pins    table[catalog.Pin]
	off     table[bool]
	uids    table[uint32]
	known   table[description] // by digest

	change sync.Mutex // serialises Scan, Start, Enable, Disable

	mu      sync.RWMutex // guards what follows
	sums    catalog.Sums
	plugins []*plugin // one per candidate, in the order of the scan
	running map[string]*plugin
	current *config.Config
}

// plugin is one candidate and, when it runs, its place.
type plugin struct {
	file, path string
	seen       fs.FileInfo
	digest     string
	desc       *pb.Description // nil when it could not be described
	asked      bool            // it was run and asked for a description
	refusal    *catalog.Refusal
	decision   catalog.Decision

	supervisor *supervise.Supervisor
	member     *pipeline.Member
	stop       context.CancelFunc // kills
	listeners  map[string]*os.File
	background sync.WaitGroup
	rate       rate
}

// name is what the plugin calls itself, else its file's name.
func (p *plugin) name() string {
	if p.desc != nil {
		return p.desc.Name
	}
	return p.file
}

// New opens the roster; Scan fills it.
func New(c Config) (*Roster, error) {
	copies, err := catalog.OpenStore(c.DataDir + "/plugins")
	if err != nil {
		return nil, err
	}
	r := &Roster{config: c, log: c.Logger, copies: copies, running: make(map[string]*plugin)}
	if r.options, err = catalog.HostOptions(r.expected); err != nil {
		return nil, err
	}
	for _, open := range []func() error{
		func() (err error) { r.pins, err = newTable[catalog.Pin](c.Store, "pins"); return },
		func() (err error) { r.off, err = newTable[bool](c.Store, "plugins_off"); return },
		func() (err error) { r.uids, err = newTable[uint32](c.Store, "plugin_users"); return },
		func() (err error) { r.known, err = newTable[description](c.Store, "descriptions"); return },
	} {
		if err := open(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// table is what is kept of plugins; it is in memory when there is no store.
type table[T any] interface {
	Get(key string) (T, bool, error)
	Put(key string, v T) error
	Delete(keys ...string) error
	All() (map[string]T, error)
}

func newTable[T any](s *state.Store, name string) (table[T], error) {
	if s == nil {
		return &memory[T]{m: make(map[string]T)}, nil
	}
	return state.NewTable[T](s, name)
}

// memory is a table that is forgotten.
type memory[T any] struct {
	mu sync.Mutex
	m  map[string]T
}

func (t *memory[T]) Get(key string) (T, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.m[key]
	return v, ok, nil
}

func (t *memory[T]) Put(key string, v T) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.m[key] = v
	return nil
}

func (t *memory[T]) Delete(keys ...string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range keys {
		delete(t.m, k)
	}
	return nil
}

func (t *memory[T]) All() (map[string]T, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.m), nil
}

// expected reports whether a file of this name is a plugin that should be
// executable.
func (r *Roster) expected(file string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, built := r.sums[file]
	return built || slices.ContainsFunc(r.plugins, func(p *plugin) bool { return p.file == file && p.decision.State == catalog.Enabled })
}

// Scan looks at the plugin directories again, describes what is new, and
// decides. Nothing is started or stopped.
func (r *Roster) Scan(ctx context.Context) error {
	r.change.Lock()
	defer r.change.Unlock()
	return r.scan(ctx, false)
}

// scan is Scan; again has what was refused before examined anew.
func (r *Roster) scan(ctx context.Context, again bool) error {
	sums, err := catalog.LoadSums(r.options)
	if err != nil {
		r.log.Error("the list of built plugins is not used", "error", err)
		sums = catalog.Sums{}
	}
	r.mu.Lock()
	r.sums = sums
	before := make(map[string]*plugin, len(r.plugins))
	for _, p := range slices.Backward(r.plugins) { // a candidate before what still runs of its file
		before[p.path] = p
	}
	r.mu.Unlock()

	candidates, err := catalog.Scan(r.config.Dirs, r.options)
	if err != nil {
		r.log.Warn("a plugin directory could not be read", "error", err)
	}
	found := make([]*plugin, len(candidates))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * runtime.GOMAXPROCS(0))
	for i, c := range candidates {
		info, err := os.Lstat(c.Path)
		if old := before[c.Path]; old != nil && err == nil && c.Refusal == nil && old.keeps(again) && same(old.seen, info) {
			found[i] = old
			continue
		}
		found[i] = &plugin{file: c.File, path: c.Path, seen: info, refusal: c.Refusal}
		if c.Refusal == nil {
			g.Go(func() error { r.examine(ctx, found[i]); return nil })
		}
	}
	_ = g.Wait() // examine reports in the plugin
	return r.adopt(found)
}

// keeps reports whether the examination of the same file need not be repeated.
// One that had no description to give is asked again only when again is set: it
// may take seconds to say nothing.
func (p *plugin) keeps(again bool) bool {
	return p.refusal == nil || p.asked && !again
}

func same(a, b fs.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && a.Mode() == b.Mode()
}

// adopt decides about what was found and puts it into force.
func (r *Roster) adopt(found []*plugin) error {
	policy, err := r.policy()
	if err != nil {
		return err
	}
	items := make([]catalog.Item, len(found))
	for i, p := range found {
		items[i] = p.item()
	}
	if r.config.TrustAll {
		trustAll(&policy, items)
	}
	decisions := catalog.Decide(items, policy)
	r.mu.Lock()
	defer r.mu.Unlock()
	here := func(path string) bool {
		return slices.ContainsFunc(found, func(p *plugin) bool { return p.path == path })
	}
	for i, p := range found {
		p.decision = decisions[i]
		// A file that was replaced, or moved, stands for the process of the old
		// bytes.
		if run := r.running[p.name()]; run != nil && run != p && (run.path == p.path || !here(run.path)) {
			p.supervisor, p.member = run.supervisor, run.member
		}
	}
	r.plugins = slices.Clone(found)
	for _, run := range r.running {
		if slices.Contains(found, run) {
			continue
		}
		run.decision = catalog.Decide([]catalog.Item{run.item()}, policy)[0]
		// What runs can be seen and stopped also when its file is gone.
		if !slices.ContainsFunc(found, func(p *plugin) bool { return p.supervisor == run.supervisor }) {
			r.plugins = append(r.plugins, run)
		}
	}
	return nil
}

// item is what is decided about.
func (p *plugin) item() catalog.Item {
	return catalog.Item{File: p.file, Path: p.path, Name: p.desc.GetName(), Digest: p.digest, Refusal: p.refusal}
}

func (r *Roster) policy() (catalog.Policy, error) {
	pins, err := r.pins.All()
	if err != nil {
		return catalog.Policy{}, fmt.Errorf("read the pins: %w", err)
	}
	off, err := r.off.All()
	if err != nil {
		return catalog.Policy{}, fmt.Errorf("read which plugins are disabled: %w", err)
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	p := catalog.Policy{Sums: r.sums, Pins: pins, Disabled: r.config.Plugins.Disabled, Off: slices.Collect(maps.Keys(off))}
	if r.config.Plugins.EnabledSet {
		p.Enabled = append([]string{}, r.config.Plugins.Enabled...)
	}
	return p, nil
}

// trustAll pins every item that was not built with the host.
func trustAll(policy *catalog.Policy, items []catalog.Item) {
	pins := maps.Clone(policy.Pins)
	if pins == nil {
		pins = make(map[string]catalog.Pin)
	}
	for _, i := range items {
		if _, built := policy.Sums[i.File]; !built && i.Refusal == nil && i.Name != "" {
			pins[i.Name] = catalog.Pin{Name: i.Name, Digest: i.Digest}
		}
	}
	policy.Pins = pins
}

// Sections returns the configuration sections that the plugins declare, those
// of plugins that will not run as unread.
func (r *Roster) Sections() []config.Section {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []config.Section
	taken := make(map[string]bool)
	for _, enabled := range []bool{true, false} {
		for _, p := range r.plugins {
			if p.desc == nil || p.desc.Section == "" || taken[p.desc.Section] || (p.decision.State == catalog.Enabled) != enabled {
				continue
			}
			taken[p.desc.Section] = true
			s := sectionOf(p.desc)
			s.Unread = !enabled
			out = append(out, s)
		}
	}
	return out
}

// Configure puts a configuration into force for what is started from now on.
func (r *Roster) Configure(c *config.Config) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = c
	r.config.Plugins = c.Host().Plugins
}

// Start starts every enabled plugin that does not run yet, until ctx is done:
// what has been started by then stays, for Stop.
func (r *Roster) Start(ctx context.Context) {
	r.change.Lock()
	defer r.change.Unlock()
	r.start(ctx)
}

func (r *Roster) start(ctx context.Context) {
	r.mu.RLock()
	plugins := slices.Clone(r.plugins)
	r.mu.RUnlock()
	// Sinks first, sources last, so that everyone has somebody to talk to.
	slices.SortStableFunc(plugins, func(a, b *plugin) int { return rank(b) - rank(a) })
	settled := false
	for _, p := range plugins {
		if ctx.Err() != nil {
			return
		}
		if p.decision.State != catalog.Enabled || r.config.Want != nil && !r.config.Want(p.desc) {
			continue
		}
		r.mu.RLock()
		_, runs := r.running[p.name()]
		r.mu.RUnlock()
		if runs {
			continue
		}
		if rank(p) == 0 && !settled {
			settled = true
			r.settle(ctx)
		}
		r.run(ctx, p)
	}
}

// settle lets the plugins that were started come up before a source sends its
// first record: until then it is not known what their configuration makes them
// want. One that does not come up is not waited for longer than it may take.
func (r *Roster) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.config.Plugins.StartTimeout)
	defer cancel()
	_ = r.Ready(ctx) // the supervisors tell
}

// rank orders plugins by how early in the flow they stand.
func rank(p *plugin) int {
	most := 0
	for _, k := range p.desc.GetKinds() {
		most = max(most, slices.Index(flow, k))
	}
	if slices.Contains(p.desc.GetKinds(), "source") {
		return 0
	}
	return most
}

// flow is the order of the kinds.
var flow = []string{"source", "parser", "detector", "enforcer", "scanner", "sink"}

// run gives the plugin its place and starts supervising it.
func (r *Roster) run(ctx context.Context, p *plugin) {
	member, err := r.config.Pipeline.Add(p.desc) //nolint:contextcheck // a member lives until it is removed, longer than ctx
	if err != nil {
		r.log.Error("plugin has no place", "plugin", p.name(), "error", err)
		r.mu.Lock()
		p.decision = catalog.Decision{State: catalog.Refused, Refusal: catalog.NewRefusal(catalog.NameTaken, err.Error(),
			"a format that no other plugin parses", "ironpost plugin disable "+p.name())}
		r.mu.Unlock()
		return
	}
	supervisor := supervise.New(supervise.Spec{
		Name:         p.name(),
		Logger:       r.log.Named(p.name()),
		Start:        func(ctx context.Context) (*link.Conn, error) { return r.launch(ctx, p) },
		Serve:        func(ctx context.Context, c *link.Conn) error { return r.serve(ctx, p, c) },
		Work:         member.Work,
		SetUp:        member.SetUp,
		DrainTimeout: r.config.Plugins.DrainTimeout,
	})
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.mu.Lock()
	p.member, p.supervisor, p.stop, p.listeners = member, supervisor, stop, make(map[string]*os.File)
	r.running[p.name()] = p
	r.mu.Unlock()
	p.background.Go(func() { supervisor.Run(ctx) })
}

// halt drains and ends a plugin and takes its place away.
func (r *Roster) halt(p *plugin) {
	p.supervisor.Stop()
	p.stop()
	p.background.Wait()
	r.config.Pipeline.Remove(p.name())
	for _, f := range p.listeners {
		_ = f.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, p.name())
	for _, other := range r.plugins { // a newer file stood for it
		if other != p && other.supervisor == p.supervisor {
			other.supervisor, other.member = nil, nil
		}
	}
	p.supervisor, p.member, p.listeners = nil, nil, nil
}

// Stop ends everything in the order of the flow: sources first, so that what
// they delivered reaches the end. ctx bounds the wait for that.
func (r *Roster) Stop(ctx context.Context) error {
	r.change.Lock()
	defer r.change.Unlock()
	r.mu.RLock()
	running := slices.Collect(maps.Values(r.running))
	r.mu.RUnlock()
	var sources, others []*plugin
	for _, p := range running {
		if slices.Contains(p.desc.Kinds, "source") {
			sources = append(sources, p)
		} else {
			others = append(others, p)
		}
	}
	var wg sync.WaitGroup
	for _, p := range sources {
		wg.Go(func() { p.supervisor.Drain(ctx) })
	}
	wg.Wait()
	err := r.config.Pipeline.Idle(ctx)
	if err != nil {
		err = fmt.Errorf("what was under way did not reach the end in time and comes again at the next start: %w", err)
	}
	r.config.Pipeline.Close()
	for _, p := range append(sources, others...) {
		wg.Go(func() { r.halt(p) })
	}
	wg.Wait()
	return err
}

// Ready waits until every enabled plugin is running, or cannot.
func (r *Roster) Ready(ctx context.Context) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		waiting := r.waiting()
		if len(waiting) == 0 {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("not yet running: %s: %w", strings.Join(waiting, ", "), context.Cause(ctx))
		}
	}
}

func (r *Roster) waiting() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []string
	for name, p := range r.running {
		switch s := p.supervisor.Status(); {
		case s.State == supervise.Starting, s.State == supervise.Running && !p.member.Serving():
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Conn returns the connection of a running plugin by name, nil when there is
// none.
func (r *Roster) Conn(name string) *link.Conn {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if p := r.running[name]; p != nil {
		return p.supervisor.Conn()
	}
	return nil
}

// Find returns the connections of the running plugins that satisfy the
// condition, by name.
func (r *Roster) Find(want func(*pb.Description) bool) map[string]*link.Conn {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make(map[string]*link.Conn)
	for name, p := range r.running {
		if want(p.desc) {
			if c := p.supervisor.Conn(); c != nil {
				out[name] = c
			}
		}
	}
	return out
}

// Failed returns the error of a plugin that was given up.
func (r *Roster) Failed() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var errs []error
	for name, p := range r.running {
		if s := p.supervisor.Status(); s.State == supervise.Failed {
			errs = append(errs, fmt.Errorf("plugin %s keeps failing: %s", name, s.LastError))
		}
	}
	return errors.Join(errs...)
}

// Formats returns the formats that running parsers parse, sorted.
func (r *Roster) Formats() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []string
	for _, p := range r.running {
		if p.desc.Format != "" {
			out = append(out, p.desc.Format)
		}
	}
	slices.Sort(out)
	return out
}

// BundlePaths returns the paths and suffixes of the bundle of a running plugin.
func (r *Roster) BundlePaths(name string) (paths, suffixes []string) {
	r.mu.RLock()
	var found *plugin
	var spec *pb.BundleSpec
	for _, p := range r.running {
		for _, b := range p.desc.Bundles {
			if b.Name == name {
				found, spec = p, b
			}
		}
	}
	r.mu.RUnlock()
	if found == nil {
		return nil, nil
	}
	section, err := r.section(found)
	if err != nil {
		section = nil // the plugin runs: its section was fine
	}
	return r.bundlePaths(spec, section), spec.Suffixes
}
