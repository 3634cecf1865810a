package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/plugins/detector-rules/engine"
	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment"
	"github.com/ironpost/ironpost/plugins/detector-rules/mapping"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// bundleName is the set of files that holds the rules.
const bundleName = "rules"

// config is the section [rules].
type config struct {
	Paths      []string      `config:"paths" help:"files and folders of rules"`
	MaxGroups  int           `config:"max_groups" help:"windows kept for all rules" min:"100" max:"10000000"`
	MaxMemory  sdk.Size      `config:"max_memory" help:"memory of all windows with the events they keep" min:"1048576" max:"60000000"`
	RateLimit  int           `config:"rate_limit" help:"alerts of one rule within rate_period, for rules that name no limit" min:"1" max:"1000000"`
	Fleet      []string      `config:"fleet" help:"ids of rules that count over all hosts that share their state, as if they said scope: fleet"`
	RatePeriod time.Duration `config:"rate_period" help:"period of rate_limit" min:"1s" max:"168h"`
	enrichment.Config
}

func defaults() config {
	return config{
		Paths: []string{"rules"}, MaxGroups: engine.DefaultMaxGroups, MaxMemory: engine.DefaultMaxBytes,
		RateLimit: engine.DefaultRateLimit.Count, RatePeriod: engine.DefaultRateLimit.Timeframe,
		Config: enrichment.Defaults(),
	}
}

// options are those of the engine, as the detector stands; d.mu is held.
func (d *detector) options() engine.Options {
	c := d.cfg
	opts := engine.Options{
		MaxGroups: c.MaxGroups, MaxGroupsPerRule: (c.MaxGroups + 1) / 2, MaxBytes: int(c.MaxMemory),
		RateLimit: rule.Limit{Count: c.RateLimit, Timeframe: c.RatePeriod},
		Fleet:     d.shared != nil, HostID: d.hostID,
	}
	if d.enricher != nil {
		opts.Enricher = d.enricher
	}
	return opts
}

var (
	_ sdk.Detector     = (*detector)(nil)
	_ sdk.Consumer     = (*detector)(nil)
	_ sdk.Stateful     = (*detector)(nil)
	_ sdk.RuleLister   = (*detector)(nil)
	_ sdk.BundleLoader = (*detector)(nil)
)

// detector joins the engine to the SDK. Batches, bundles and questions come
// concurrently; a batch holds the lock as a whole.
type detector struct {
	cfg *config
	// running is how many rules run.
	running atomic.Int64
	// enriching is enricher, for who may not wait.
	enriching atomic.Pointer[enrichment.Enricher]

	mu     sync.Mutex
	engine *engine.Engine
	set    *engine.Set
	// rules are the rules in force, the disabled ones among them, and files what
	// they were read from.
	rules []*rule.Rule
	files fs.FS
	// mappings are those beside the rules.
	mappings []*mapping.Mapping
	// enricher is nil where the configuration names no files; stop ends its looks at them.
	enricher *enrichment.Enricher
	stop     context.CancelFunc
	log      hclog.Logger
	// shared counts over all hosts; nil has every rule count here alone.
	shared  sdk.Shared
	hostID  string
	counter func(name string, n uint64)
	counted engine.Stats
}

func newDetector(cfg *config) *detector {
	d := &detector{cfg: cfg, set: engine.Compile(nil), log: hclog.NewNullLogger(), counter: func(string, uint64) {}}
	d.engine = engine.New(d.set, d.options())
	return d
}

// setup takes the configuration, which is in place now.
func (d *detector) setup(ctx context.Context, env sdk.Env) error {
	enricher, err := enrichment.New(d.cfg.Config)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if env.Logger != nil {
		d.log = env.Logger
	}
	d.shared, d.hostID = env.Shared, env.HostID
	if d.cfg.Names() {
		d.enricher = enricher
		d.enriching.Store(enricher)
		d.tell(enricher.Refresh())
		enricher.Want(d.set.Fields())
		// The context of the setup ends with the setup, this with the process.
		ctx, d.stop = context.WithCancel(context.WithoutCancel(ctx))
		go func() { _ = enricher.Run(ctx, d.enriched) }()
	}
	d.engine = engine.New(d.set, d.options())
	d.counted = engine.Stats{}
	if env.Counter != nil {
		d.counter = env.Counter
	}
	return nil
}

// enriched takes what files have become.
func (d *detector) enriched(c enrichment.Change) {
	d.mu.Lock()
	d.tell(c)
	files := d.files
	d.mu.Unlock()
	if !c.Placeholders || files == nil {
		return
	}
	report, err := d.LoadBundle(context.Background(), bundleName, files, false)
	if err != nil {
		d.log.Error("rules not read again for new placeholders", "error", err)
		return
	}
	d.log.Info("rules read again for new placeholders", "rules", report.Loaded, "rejected", len(report.Rejected))
}

// tell logs what is wrong with files.
func (d *detector) tell(c enrichment.Change) {
	for _, p := range c.Problems {
		d.log.Warn("file of the configuration not used as it is", "file", p.File, "line", p.Line, "reason", p.Reason)
	}
}

// health tells people that nothing is looked for, or not with the files they gave. It
// takes no lock: a batch that waits for the host must not look like a hang.
func (d *detector) health(context.Context) error {
	if d.running.Load() == 0 {
		return errors.New("no rule is loaded; name a folder of rules in rules.paths")
	}
	if e := d.enriching.Load(); e != nil {
		return e.Err()
	}
	return nil
}

// Consumes implements sdk.Consumer.
func (d *detector) Consumes() []event.Kind {
	return []event.Kind{event.KindLog, event.KindPacket, event.KindAlert}
}

// Detect implements sdk.Detector.
func (d *detector) Detect(ctx context.Context, batch sdk.Batch, raise func(*event.AlertEvent)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.count()
	ask := func(from int) {
		if d.engine.Asking() >= from {
			d.ask(ctx, raise)
		}
	}
	switch batch.Kind {
	case event.KindLog:
		for ev := range batch.Logs() {
			d.engine.Log(ev, raise)
			ask(sdk.MaxSharedOperations)
		}
	case event.KindPacket:
		for ev := range batch.Packets() {
			d.engine.Packet(ev, raise)
			ask(sdk.MaxSharedOperations)
		}
	case event.KindAlert:
		for ev := range batch.Alerts() {
			d.engine.Alert(ev, raise)
			ask(sdk.MaxSharedOperations)
		}
	}
	ask(1)
	return nil
}

// ask has the host answer what the rules that count over all hosts have to know. The alerts
// of windows that are complete are raised by the host; d.mu is held.
func (d *detector) ask(ctx context.Context, raise func(*event.AlertEvent)) {
	questions := d.engine.Questions()
	results, err := d.shared.Apply(ctx, questions...)
	if err != nil {
		d.counter("fleet_alone", uint64(len(questions)))
		d.log.Warn("rules with scope: fleet count on this host alone for now", "error", err)
		d.engine.Alone(raise)
		return
	}
	d.counter("fleet_asked", uint64(len(questions)))
	d.engine.Answer(results)
}

// count passes on what the engine counted since the last time.
func (d *detector) count() {
	now, before := d.engine.Stats(), d.counted
	d.counted = now
	for _, c := range [...]struct {
		name        string
		now, before uint64
	}{
		{"late", now.Late, before.Late},
		{"matches", now.Matches, before.Matches},
		{"ungrouped", now.Ungrouped, before.Ungrouped},
		{"seen_twice", now.Twice, before.Twice},
		{"suppressed", now.Suppressed, before.Suppressed},
		{"rate_limited", now.RateLimited, before.RateLimited},
		{"evicted_groups", now.EvictedGroups, before.EvictedGroups},
		{"evicted_streams", now.EvictedStreams, before.EvictedStreams},
		{"lost_events", now.Lost, before.Lost},
		{"bad_state", now.BadState, before.BadState},
	} {
		if c.now > c.before {
			d.counter(c.name, c.now-c.before)
		}
	}
}

// Restore implements sdk.Stateful. What was known before is forgotten.
func (d *detector) Restore(entries iter.Seq2[string, []byte]) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.engine = engine.New(d.set, d.options())
	d.counted = engine.Stats{}
	return d.engine.Restore(entries)
}

// Save implements sdk.Stateful.
func (d *detector) Save(changes *sdk.Changes) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.engine.Save(changes.Put, changes.Delete)
}

// LoadBundle implements sdk.BundleLoader. The rules are compiled aside; the
// lock is held only to swap them.
func (d *detector) LoadBundle(_ context.Context, name string, files fs.FS, check bool) (sdk.BundleReport, error) {
	if name != bundleName {
		return sdk.BundleReport{}, fmt.Errorf("load bundle %q: this plugin knows the bundle %q alone", name, bundleName)
	}
	d.mu.Lock()
	before, opts := d.files, rule.Options{}
	if d.enricher != nil {
		opts.Placeholders = d.enricher.Placeholders()
	}
	d.mu.Unlock()
	res, kept := reload(files, before, opts)
	report := sdk.BundleReport{Files: res.Files, Rules: len(res.Rules) + len(res.Filters) + len(res.Problems), Loaded: len(res.Rules) + len(res.Filters), Skipped: res.Skipped}
	for _, p := range res.Problems {
		report.Rejected = append(report.Rejected, sdk.BundleProblem{File: p.File, Rule: p.Rule, Line: p.Line, Code: p.Code, Reason: p.Reason})
	}
	if check {
		return report, nil
	}
	d.widen(res.Rules)
	set := engine.Compile(res.Rules, res.Mappings...)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.set, d.rules, d.mappings, d.files = set, res.Rules, res.Mappings, files
	if kept != nil {
		d.files = kept
	}
	d.engine.Swap(set)
	if d.enricher != nil {
		d.enricher.Want(set.Fields())
	}
	d.running.Store(int64(set.Len()))
	return report, nil
}

// widen has the rules that the configuration names count over all hosts.
func (d *detector) widen(rules []*rule.Rule) {
	for _, id := range d.cfg.Fleet {
		at := slices.IndexFunc(rules, func(r *rule.Rule) bool { return r.ID == id })
		switch {
		case at < 0:
			d.log.Warn("rules.fleet names a rule that is not loaded", "rule", id)
		case rules[at].FleetCount() == 0:
			d.log.Warn("rules.fleet names a rule that cannot count over all hosts: it needs a threshold of events or values", "rule", id,
				"least", rule.MinFleetCount, "most", rule.MaxFleetCount)
		default:
			rules[at].Fleet = true
		}
	}
}

// ListRules implements sdk.RuleLister.
func (d *detector) ListRules(context.Context) ([]sdk.RuleInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	running := map[string]engine.RuleStats{}
	for _, s := range d.engine.Rules() {
		running[s.Rule.ID] = s
	}
	out := make([]sdk.RuleInfo, 0, len(d.rules))
	for _, r := range d.rules {
		info := sdk.RuleInfo{ID: r.ID, Title: r.Title, File: r.File, Severity: r.Severity, Status: r.Status, Tags: r.Tags}
		info.Filters = r.Filters
		if r.Correlation != nil {
			info.Rules = r.Correlation.Rules
		} else {
			info.LogSource = r.LogSource.String()
		}
		s := running[r.ID]
		info.Alerts, info.Suppressed, info.RateLimited, info.CostNS = s.Alerts, s.Suppressed, s.RateLimited, s.Cost
		if s.Hits > 0 {
			info.Hits, info.LastHit = s.Hits, s.LastHit.UnixNano()
		}
		out = append(out, info)
	}
	return out, nil
}
