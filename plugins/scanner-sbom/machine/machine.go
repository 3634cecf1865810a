package machine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/engine"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/owner"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/watch"
	"github.com/ironpost/ironpost/sdk"
)

// Config says what to look at, and how.
type Config struct {
	// Engine is nil when Docker is not watched; Containers and Images say what of it is.
	Engine             *engine.Engine
	Containers, Images bool
	// Away is told why Docker cannot be asked, and nil when it can again; it may be nil.
	Away func(error)
	// Host are folders of this machine; without any, the machine itself is not watched.
	Host []string
	// Root is the root of this machine, "/" when empty.
	Root string
	// Name is what this machine is called.
	Name string
	// Scan says how trees are scanned; Folder scans one, and may remember it.
	Scan   scan.Config
	Folder func(ctx context.Context, root tree.Root, c scan.Config) (*inventory.Inventory, scan.Stats, error)
	// Processes looks at the machine's; nil is that nobody may.
	Processes sdk.Processes
	// Match returns the findings about packages; Rematch is that of [watch.Looker].
	Match   func(ctx context.Context, packages []*inventory.Package) ([]*match.Finding, error)
	Rematch func(ctx context.Context, packages func() []*inventory.Package) (map[*inventory.Package][]*match.Finding, bool, error)
	Log     hclog.Logger
}

// Machine implements [watch.Looker].
type Machine struct {
	Config

	mu sync.Mutex
	// seen are the targets that were looked at, by id; bases what was found of
	// images, by theirs.
	seen  map[string]*sighted
	bases map[string]*owner.Index
}

// sighted is what is known of a target, to tell what its processes use. It does not
// change.
type sighted struct {
	index *owner.Index
	// former is that of the look before, of the host.
	former *owner.Index
	// own says of a path of a container whether the image did not bring it; nil for the host.
	own func(path string) bool
	// memory are folders of a container that lie in memory alone.
	memory []string
}

// maxBases bounds the images whose owners of files are remembered.
const maxBases = 64

// New returns a Machine. It looks at nothing yet.
func New(c Config) *Machine {
	return &Machine{Config: c, seen: map[string]*sighted{}, bases: map[string]*owner.Index{}}
}

var _ watch.Looker = (*Machine)(nil)

// Targets implements [watch.Looker].
func (m *Machine) Targets(ctx context.Context) (out []watch.Target, err error) {
	if len(m.Host) > 0 {
		out = append(out, watch.Target{ID: watch.Host, Name: m.Name})
	}
	if m.Engine == nil {
		return out, nil
	}
	if m.Containers {
		list, err := m.Engine.Containers(ctx)
		if err != nil {
			return out, err
		}
		for i := range list {
			out = append(out, containerTarget(&list[i]))
		}
	}
	if m.Images {
		list, err := m.Engine.Images(ctx)
		if err != nil {
			return out, err
		}
		for i := range list {
			out = append(out, watch.Target{ID: watch.ImagePrefix + list[i].ID, Name: list[i].Name(), Image: list[i].Name()})
		}
	}
	return out, nil
}

func containerTarget(c *engine.Container) watch.Target {
	return watch.Target{ID: watch.ContainerPrefix + c.ID, Name: c.Name, Image: c.Image}
}

// Look implements [watch.Looker].
func (m *Machine) Look(ctx context.Context, t watch.Target) (watch.Target, *watch.Holding, error) {
	if t.ID == watch.Host {
		h, err := m.lookAtHost(ctx)
		return watch.Target{ID: watch.Host, Name: m.Name}, h, err
	}
	if m.Engine == nil || !m.wanted(t) {
		return t, nil, fmt.Errorf("%s: %w: it is not watched", t.ID, watch.ErrGone)
	}
	r, err := m.Engine.Scan(ctx, t.ID, engine.Options{Scan: m.Scan})
	if errors.Is(err, engine.ErrNotFound) {
		m.mu.Lock()
		delete(m.seen, t.ID)
		m.mu.Unlock()
		return t, nil, fmt.Errorf("%w: %w", watch.ErrGone, err)
	}
	if err != nil {
		return t, nil, err
	}
	h := &watch.Holding{Packages: r.Packages, Added: map[string]bool{}}
	if r.Container == nil {
		return watch.Target{ID: t.ID, Name: r.Image.Name(), Image: r.Image.Name()}, h, nil
	}
	t = containerTarget(r.Container)
	if r.FromImage != nil {
		for _, p := range r.Packages {
			if !r.InImage(p.Ref()) {
				h.Added[p.Ref()] = true
			}
		}
	}
	h.Changes, err = m.own(ctx, t.ID, r)
	return t, h, err
}

func (m *Machine) wanted(t watch.Target) bool {
	if t.Container() != "" {
		return m.Containers
	}
	return m.Images
}

// own finds out who owns the files of a container, and what became of its databases of
// packages since its image.
func (m *Machine) own(ctx context.Context, id string, r *engine.Result) ([]watch.Change, error) {
	m.mu.Lock()
	before := m.seen[id]
	m.mu.Unlock()
	s := &sighted{own: r.Own}
	for _, mount := range r.Container.Mounts {
		if mount.Type == "tmpfs" {
			s.memory = append(s.memory, mount.Path)
		}
	}
	base, err := m.base(ctx, r)
	if err != nil {
		return nil, err
	}
	var former *owner.Look
	if base != nil {
		former = base.Look()
	}
	if r.Unchanged && before != nil {
		s.index = before.index
	} else if s.index, err = m.index(ctx, r, former); err != nil {
		return nil, err
	}
	changes := tampered(former, s.index.Look())
	if base != nil && len(changes) == 0 && sameRefs(r) {
		s.index = base // the containers of an image share it
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[id] = s
	return changes, nil
}

// sameRefs says whether a container has the packages of its image, and no others.
func sameRefs(r *engine.Result) bool {
	return len(r.Packages) == len(r.FromImage) &&
		!slices.ContainsFunc(r.Packages, func(p *inventory.Package) bool { return !r.InImage(p.Ref()) })
}

// index reads who owns the files of what was scanned.
func (m *Machine) index(ctx context.Context, r *engine.Result, before *owner.Look) (*owner.Index, error) {
	var written func(file string) bool
	if r.Container != nil {
		written = r.Own
	}
	view, done, err := r.View(ctx)
	if err != nil {
		return nil, err
	}
	x, problems := owner.Read(ctx, view, r.Packages, owner.Options{Before: before, Written: written})
	for _, p := range problems {
		m.Log.Debug("who owns a file is not known", "path", p.Path, "code", p.Code, "reason", p.Reason)
	}
	return x, errors.Join(ctx.Err(), done())
}

// base returns who owns the files of a container's image, nil when it is gone.
func (m *Machine) base(ctx context.Context, r *engine.Result) (*owner.Index, error) {
	if r.FromImage == nil || r.Image.ID == "" {
		return nil, nil
	}
	m.mu.Lock()
	x := m.bases[r.Image.ID]
	m.mu.Unlock()
	if x != nil {
		return x, nil
	}
	image, err := m.Engine.Scan(ctx, watch.ImagePrefix+r.Image.ID, engine.Options{Scan: m.Scan})
	if errors.Is(err, engine.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if x, err = m.index(ctx, image, nil); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.bases) >= maxBases {
		clear(m.bases)
	}
	m.bases[r.Image.ID] = x
	return x, nil
}

// tampered says which databases of packages no package manager left as they are.
func tampered(before, after *owner.Look) (out []watch.Change) {
	for _, c := range owner.Compare(before, after) {
		if c.Kind == owner.DatabaseEdited || c.Kind == owner.DatabaseRemoved {
			out = append(out, watch.Change{Path: "/" + c.Database, Package: c.Package, Text: sentence(c.Text)})
		}
	}
	return out
}

// sentence makes one of a text that begins small.
func sentence(text string) string {
	if text == "" {
		return text
	}
	if c := text[0]; 'a' <= c && c <= 'z' {
		text = string(c-'a'+'A') + text[1:]
	}
	return text + "."
}

// lookAtHost scans the machine's own folders.
func (m *Machine) lookAtHost(ctx context.Context) (*watch.Holding, error) {
	if len(m.Host) == 0 {
		return nil, fmt.Errorf("%w: the host is not watched", watch.ErrGone)
	}
	root, err := tree.OpenParts(cmp.Or(m.Root, "/"), m.Host)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // it was read only
	v, _, err := m.Folder(ctx, root, m.Scan)
	if err != nil {
		return nil, err
	}
	h := &watch.Holding{Packages: v.Packages()}
	m.mu.Lock()
	before := m.seen[watch.Host]
	m.mu.Unlock()
	var former *owner.Look
	if before != nil {
		former = before.index.Look()
	}
	x, _ := owner.Read(ctx, tree.NewView(root), h.Packages, owner.Options{Before: former})
	h.Changes = tampered(former, x.Look())
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &sighted{index: x}
	if before != nil {
		s.former = before.index
	}
	m.seen[watch.Host] = s
	return h, ctx.Err()
}

// Rematch implements [watch.Looker].
func (m *Machine) Rematch(ctx context.Context, packages func() []*inventory.Package) (map[*inventory.Package][]*match.Finding, bool, error) {
	return m.Config.Rematch(ctx, packages)
}

// Match implements [watch.Looker].
func (m *Machine) Match(ctx context.Context, packages []*inventory.Package) (map[string][]*match.Finding, error) {
	list, err := m.Config.Match(ctx, packages)
	if err != nil {
		return nil, err
	}
	out := map[string][]*match.Finding{}
	for _, f := range list {
		out[f.Ref] = append(out[f.Ref], f)
	}
	return out, nil
}
