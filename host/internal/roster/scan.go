package roster

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/host/internal/catalog"
)

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
func (r *Roster) Scan(ctx context.Context) error { return r.scan(ctx, "") }

// scan is Scan; a plugin or file of the name again is examined anew when it was
// refused before. It holds r.change only to decide: a candidate may take seconds
// to say nothing.
func (r *Roster) scan(ctx context.Context, again string) error {
	r.looking.Lock()
	defer r.looking.Unlock()
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
	var due []int
	for i, c := range candidates {
		info, err := os.Lstat(c.Path)
		if old := before[c.Path]; old != nil && err == nil && c.Refusal == nil && old.keeps(again) && same(old.seen, info) && r.signatureStands(old) {
			found[i] = old
			continue
		}
		found[i] = &plugin{file: c.File, path: c.Path, seen: info, refusal: c.Refusal}
		if c.Refusal == nil && (err != nil || !r.recall(found[i])) {
			due = append(due, i)
		}
	}
	for {
		r.examineAll(ctx, found, due)
		err := r.adoptFound(found)
		r.takeCopies(found)
		if err != nil {
			return err
		}
		if due = r.due(found); len(due) == 0 {
			break
		}
		for _, i := range due {
			p := found[i]
			found[i] = &plugin{file: p.file, path: p.path, seen: p.seen}
		}
	}
	if err := r.config.Memory.Save(); err != nil {
		r.log.Debug("what was found out of plugins is not remembered", "error", err)
	}
	return nil
}

// examineAll examines those of found that are due, several at a time.
func (r *Roster) examineAll(ctx context.Context, found []*plugin, due []int) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * runtime.GOMAXPROCS(0))
	for _, i := range due {
		g.Go(func() error { r.examine(ctx, found[i]); return nil })
	}
	_ = g.Wait() // examine reports in the plugin
}

// adoptFound is adopt with r.change not held.
func (r *Roster) adoptFound(found []*plugin) error {
	r.change.Lock()
	defer r.change.Unlock()
	return r.adopt(found)
}

// takeCopies keeps the copies of those that are to run, which were just verified, and closes the
// others.
func (r *Roster) takeCopies(found []*plugin) {
	for _, p := range found {
		if p.exe == nil {
			continue
		}
		if !r.mayRun(p) || !r.warmUp(p.digest, p.exe) {
			_ = p.exe.Close() // it was only read
		}
		p.exe = nil
	}
}

// keeps reports whether the examination of the same file need not be repeated.
// One that had no description to give is asked again only when again names it:
// it may take seconds to say nothing.
func (p *plugin) keeps(again string) bool {
	return p.refusal == nil || p.asked && again != p.file && again != p.name()
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
		p.grant = r.grantFrom(policy, p)
		// A file that was replaced, or moved, stands for the process of the old
		// bytes.
		if run := r.running[p.name()]; run != nil && run != p && (run.path == p.path || !here(run.path)) {
			p.supervisor, p.member, p.rate, p.log = run.supervisor, run.member, run.rate, run.log
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
