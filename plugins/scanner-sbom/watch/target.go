package watch

import (
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
	// Changes are what became of its databases of packages since its image, or since
	// the look before.
	Changes []Change
}

// Change says what happened to a database of packages.
type Change struct {
	// Path is the database's; Package is who is gone from it though its files are
	// there, "" when the database itself is gone.
	Path, Package string
	// Text is one sentence for people.
	Text string
}

// Use is one observation that a file is executed or mapped.
type Use struct {
	PID     int
	Process string
	Path    string
	// Replaced says that the file was deleted: an old version is loaded still.
	Replaced bool
	Time     time.Time
}

// Observed is what the processes of a target use.
type Observed struct {
	// Uses are by the Ref of the package that has the file.
	Uses map[string]Use
	// Unowned are programs that run and that nobody brought: no package, and no image.
	Unowned []Use
}

// state is what is known of a target.
type state struct {
	target   Target
	holding  *Holding
	findings map[string][]*match.Finding // by the Ref of the package
	uses     map[string]Use
	unowned  map[string]Use     // by path
	budgets  map[string]*budget // by rule
}
