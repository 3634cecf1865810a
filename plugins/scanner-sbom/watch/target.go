package watch

import (
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
)

// Target is what is looked at.
type Target struct {
	// ID is [Host], or ContainerPrefix or ImagePrefix with the engine's id.
	ID string
	// Name is what people call it; Image is the reference of a container's image.
	Name, Image string
}

// The ids of targets.
const (
	Host            = "host"
	ContainerPrefix = "container:"
	ImagePrefix     = "image:"
)

// Container returns the id of the container that the target is, "" when it is none.
func (t Target) Container() string {
	id, ok := strings.CutPrefix(t.ID, ContainerPrefix)
	if !ok {
		return ""
	}
	return id
}

// runs says whether the target may have processes.
func (t Target) runs() bool { return t.ID == Host || t.Container() != "" }

// Holding is what a target was found to hold. It does not change.
type Holding struct {
	Packages []*inventory.Package
	// Added are the Refs of the packages that a container's image does not have.
	Added map[string]bool
	// Former are packages that are gone from it and of which processes may have files still;
	// as those of a container's image that the container does not have.
	Former []*inventory.Package
	// Changes are what became of its databases of packages since its image, or since
	// the look before.
	Changes []Change
	// Problems are what could not be read of it.
	Problems []inventory.Problem
	// Unchanged says that its programs are those of the look before.
	Unchanged bool
	// Memory is what the Looker is to be given at the first look of the next process, once what
	// this look came to was told; nil is that it needs none.
	Memory []byte
}

// Change says what happened to a database of packages.
type Change struct {
	// Path is the database's; Package is who is gone from it though its files are
	// there, "" when the database itself is gone.
	Path, Package string
	// Text is one sentence for people.
	Text string
}

// User is a process with a file that it has.
type User struct {
	PID     int
	Process string
	Path    string
}

// Use is one observation that a file is executed or mapped.
type Use struct {
	User
	// Users are of all files of a package that processes use, one of each; More says that there
	// are others.
	Users []User
	More  bool
	// Replaced says that the file was deleted: an old version is loaded still.
	Replaced bool
	Time     time.Time
}

// Observed is what the processes of a target use.
type Observed struct {
	// Uses are by the Ref of the package that has the file.
	Uses map[string]Use
	// Former are by the Ref of a package that is gone: files that were deleted and that are
	// used still.
	Former map[string]Use
	// Unowned are programs that run and that nobody brought: no package, and no image.
	Unowned []Use
}

// state is what is known of a target.
type state struct {
	target   Target
	holding  *Holding
	findings map[string][]*match.Finding // by the Ref of the package
	uses     map[string]Use
	// former are packages that are gone, by their Ref, and old is who uses them.
	former   map[string]departed
	old      map[string]Use
	unowned  map[string]Use // by path
	verdicts map[question]verdict
	// examined says that somebody looks for verdicts.
	examined bool
	// memory is the Looker's of the last look of which all was told.
	memory  []byte
	budgets map[string]*budget // by rule
	records bucket
	// problems are hashes of those that were told.
	problems map[key]bool
}

// departed is a package that is gone since a time.
type departed struct {
	*inventory.Package
	since time.Time
}

// maxDeparted is how many packages that are gone are remembered of a target.
const maxDeparted = 4096

// departures are the packages that a look does not find any more. They are kept as long as a
// process may have their files: their uses say how long.
func (s *state) departures(h *Holding, at time.Time) map[string]departed {
	here := make(map[string]bool, len(h.Packages))
	for _, p := range h.Packages {
		here[p.Ref()] = true
	}
	next := map[string]departed{}
	keep := func(p *inventory.Package, since time.Time) {
		ref := p.Ref()
		if _, known := next[ref]; !known && !here[ref] && len(next) < maxDeparted {
			next[ref] = departed{p, since}
		}
	}
	for ref, p := range s.former {
		if _, used := s.old[ref]; used || at.Sub(p.since) < useLasts {
			keep(p.Package, p.since)
		}
	}
	if s.holding != nil && s.holding != h {
		for _, p := range s.holding.Packages {
			keep(p, at)
		}
	}
	for _, p := range h.Former {
		keep(p, at)
	}
	return next
}

// maxChanges is how many changes of databases may wait to be told.
const maxChanges = 1024

// becomes takes over what a look found. waits says of a change whether it was not told yet.
func (s *state) becomes(t Target, h *Holding, former map[string]departed, found map[string][]*match.Finding, waits func(Change) bool) {
	if !h.Unchanged {
		s.doubt()
	}
	if s.holding != nil {
		var left []Change
		for _, c := range s.holding.Changes {
			if len(left) < maxChanges && waits(c) && !slices.ContainsFunc(h.Changes, func(o Change) bool { return o.Path == c.Path && o.Package == c.Package }) {
				left = append(left, c)
			}
		}
		if len(left) > 0 {
			with := *h
			with.Changes = slices.Concat(h.Changes, left)
			h = &with
		}
	}
	s.target, s.holding, s.former, s.findings = t, h, former, found
}

// matched are the packages that are held against the advisories: those that are there, and those
// that are gone.
func matched(h *Holding, former map[string]departed) []*inventory.Package {
	if h == nil {
		return nil
	}
	out := h.Packages
	if len(former) > 0 {
		out = slices.Clone(out)
		for _, ref := range sortedKeys(former) {
			out = append(out, former[ref].Package)
		}
	}
	return out
}
