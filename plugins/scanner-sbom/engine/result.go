package engine

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"hash/maphash"
	"path"
	"slices"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/image"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// Options say how to scan.
type Options struct {
	// Scan has the readers and limits.
	Scan scan.Config
	// Platform chooses among those of an image: OS/ARCH or OS/ARCH/VARIANT.
	Platform string
	// Progress may be nil. It is called by one goroutine at a time.
	Progress func(text string)
}

func (o *Options) tell(text string) {
	if o.Progress != nil {
		o.Progress(text)
	}
}

// Result is what a container or an image was found to hold. It does not change, and nor
// must who has it change it: results share what they can.
type Result struct {
	// Container is nil for an image. Image has no ID when a container's is gone.
	Container *Container
	Image     Image
	Packages  []*inventory.Package
	// Problems are what could not be read, and what was not looked at.
	Problems []inventory.Problem
	Stats    scan.Stats
	// FromImage are the packages of the container's image, or of the image itself; nil when
	// the image is gone.
	FromImage []*inventory.Package
	// Notes are sentences for the person who named the target.
	Notes []string
	// Unchanged says that the container is as it was at the last look.
	Unchanged bool

	refs map[string]bool
	own  *paths
	view func(ctx context.Context) (tree.View, func() error, error)
}

// InImage says whether the container's image has the package with this Ref: one that it
// has not was installed at run time.
func (r *Result) InImage(ref string) bool { return r.refs[ref] }

// Own says whether a path, relative to the root, is of the container's own, since it was
// added or changed there, and not in the image.
func (r *Result) Own(file string) bool { return r.own.has(file) }

// View returns the files as they are now, which may be looked into until the function it
// returns is called, and as long as ctx lasts. What is not at hand is fetched.
func (r *Result) View(ctx context.Context) (tree.View, func() error, error) { return r.view(ctx) }

// look is what the last look at a container came to.
type look struct {
	base key
	// list is of the changed paths; sum is of all that it rests on.
	list, sum [sha256.Size]byte
	// exported says that there were too many files to fetch them one by one, at last.
	exported bool
	at       time.Time
	result   *Result
}

// exportEvery is how often a container is read as a whole while the paths that it changed
// are the same ones.
const exportEvery = 10 * time.Minute

// archived is the archive of an image, which is read once somebody wants a content that was
// not kept.
type archived struct {
	engine *Engine
	image  *Image
	how    Options
	opened *image.Image
}

// fetch is an image.Fetch, and called by one goroutine at a time.
func (a *archived) fetch(ctx context.Context, file string) (image.Entry, func(), error) {
	if a.opened == nil {
		im, err := a.engine.receive(ctx, a.image, a.how)
		if err != nil {
			return image.Entry{}, nil, err
		}
		a.opened = im
	}
	f, err := a.opened.View().Open(file)
	if err != nil {
		return image.Entry{}, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return image.Entry{}, nil, errors.Join(err, f.Close())
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Mode: int64(info.Mode().Perm()), Size: info.Size()}
	return image.Entry{Header: h, Body: f}, func() { _ = f.Close() }, nil // it was read only
}

func (a *archived) close() error {
	if a.opened == nil {
		return nil
	}
	return a.opened.Close()
}

// withMounts adds what is not looked at of a container to its problems, in place of what
// was added before.
func withMounts(problems []inventory.Problem, c *Container) []inventory.Problem {
	out := slices.DeleteFunc(problems, func(p inventory.Problem) bool { return p.Code == inventory.CodeMounted })
	for _, m := range c.Mounts {
		what := "a " + m.Type + " mount"
		if m.Source != "" {
			what += " of " + m.Source
		}
		out = append(out, inventory.Problem{
			Path: m.Path, Code: inventory.CodeMounted, Reason: what + " lies there; what it holds is not looked at",
		})
	}
	return out
}

// paths is a set of paths in little memory: two of them may be taken for one, which no
// one can bring about, since nobody knows the seed.
type paths struct {
	seed maphash.Seed
	set  map[uint64]struct{}
}

func newPaths(own map[string]bool) *paths {
	if len(own) == 0 {
		return nil
	}
	p := &paths{maphash.MakeSeed(), make(map[uint64]struct{}, len(own))}
	for file := range own {
		p.set[maphash.String(p.seed, file)] = struct{}{}
	}
	return p
}

func (p *paths) has(file string) bool {
	if p == nil {
		return false
	}
	for at := relative(file); at != "" && at != "."; at = folderOf(at) {
		if _, ok := p.set[maphash.String(p.seed, at)]; ok {
			return true
		}
	}
	return false
}

// folderOf is the folder that a path lies in, "" for the root.
func folderOf(file string) string {
	if dir := path.Dir(file); dir != "." {
		return dir
	}
	return ""
}
