package machine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

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
	// Examine looks whether programs have what findings are about, as match.Observe does.
	Examine func(ctx context.Context, findings []*match.Finding, open match.Opener) error
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
	// answers are what programs of images were found to have.
	answers map[asked]answer
	// listed are targets that Targets returned and that no event was about since.
	listed map[string]listed
}

// listed is a target that was listed: as what, and when at the earliest.
type listed struct {
	name string
	at   time.Time
}

// sighted is what is known of a target, to tell what its processes use. It does not
// change.
type sighted struct {
	index *owner.Index
	// former is that of the packages that there were before, or of a container's image; nil is
	// that there were no others. problems are of reading index.
	former   *owner.Index
	problems []inventory.Problem
	// image is a container's; view opens its files.
	image string
	view  func(ctx context.Context) (tree.View, func() error, error)
	// own says of a path of a container whether the image did not bring it; nil for the host.
	own func(path string) bool
	// memory are folders of a container that lie in memory alone.
	memory []string
}

// maxBases bounds the images whose owners of files are remembered.
const maxBases = 64

// New returns a Machine. It looks at nothing yet.
func New(c Config) *Machine {
	return &Machine{Config: c, seen: map[string]*sighted{}, bases: map[string]*owner.Index{}, listed: map[string]listed{}, answers: map[asked]answer{}}
}

var _ watch.Looker = (*Machine)(nil)

// Targets implements [watch.Looker].
func (m *Machine) Targets(ctx context.Context) (out []watch.Target, err error) {
	at := time.Now()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		clear(m.listed)
		for _, t := range out {
			m.listed[t.ID] = listed{t.Name, at}
		}
	}()
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
func (m *Machine) Look(ctx context.Context, t watch.Target, memory []byte) (watch.Target, *watch.Holding, error) {
	if t.ID == watch.Host {
		h, err := m.lookAtHost(ctx, memory)
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
	h := &watch.Holding{Packages: r.Packages, Added: map[string]bool{}, Problems: r.Problems, Unchanged: r.Unchanged}
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
		h.Former = lost(r)
	}
	return t, h, m.own(ctx, t.ID, r, h, memory)
}

// lost are the packages of a container's image that the container has not.
func lost(r *engine.Result) (out []*inventory.Package) {
	here := make(map[string]bool, len(r.Packages))
	for _, p := range r.Packages {
		here[p.Ref()] = true
	}
	for _, p := range r.FromImage {
		if !here[p.Ref()] {
			out = append(out, p)
		}
	}
	return out
}

func (m *Machine) wanted(t watch.Target) bool {
	if t.Container() != "" {
		return m.Containers
	}
	return m.Images
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
