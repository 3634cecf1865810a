package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"io"
	"path"
	"slices"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
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
	// sum is of all that it rests on.
	sum [sha256.Size]byte
	// fetched says that sum has files in it, which have to be fetched to be compared.
	fetched bool
	result  *Result
}

// Scan finds what a target holds: a container or an image, by its name or id, with
// "container:" or "image:" before it or without.
func (e *Engine) Scan(ctx context.Context, target string, how Options) (*Result, error) {
	found, err := e.find(ctx, target)
	if err != nil {
		return nil, err
	}
	var r *Result
	if found.container != nil {
		r, err = e.scanContainer(ctx, found.container, how)
	} else {
		r, err = e.scanImage(ctx, found.image, how)
	}
	if err != nil {
		return nil, err
	}
	r.Notes = found.notes
	return r, nil
}

func (e *Engine) scanImage(ctx context.Context, img *Image, how Options) (*Result, error) {
	b, err := e.base(ctx, img, how)
	if err != nil {
		return nil, err
	}
	return &Result{
		Image: *img, Packages: b.packages, Problems: b.problems, Stats: b.stats, FromImage: b.packages, refs: b.refs,
		view: func(ctx context.Context) (tree.View, func() error, error) {
			im, err := e.open(ctx, img, how)
			if err != nil {
				return nil, nil, err
			}
			return im.View(), im.Close, nil
		},
	}, nil
}

func (e *Engine) scanContainer(ctx context.Context, c *Container, how Options) (*Result, error) {
	if how.Platform != "" {
		return nil, fmt.Errorf("scan the container %s: it has the platform that it has; a platform is for images", c.Name)
	}
	img, err := e.imageOf(ctx, c)
	if err != nil {
		return nil, err
	}
	var b *base
	if img != nil {
		if b, err = e.base(ctx, img, how); errors.Is(err, ErrNotFound) {
			img, err = nil, nil // it was removed, and lives on in its containers
		}
		if err != nil {
			return nil, err
		}
	}
	route := extract.NewRoute(how.Scan.Readers)
	l, err := e.changes(ctx, c, route)
	switch {
	case errors.Is(err, errManyChanges), err == nil && img == nil:
		return e.whole(ctx, c, img, b, how)
	case err != nil:
		return nil, err
	}
	e.mu.Lock()
	before, ok := e.looked.get(c.ID)
	e.mu.Unlock()
	if ok && before.base == b.key && !before.fetched && before.sum == l.sum {
		return before.again(c), nil
	}
	im, err := e.open(ctx, img, how)
	if err != nil {
		return nil, err
	}
	defer func() { _ = im.Close() }() // it was read only
	f := newFetcher(c, how)
	own, sum, err := e.settle(ctx, f, im, l, how)
	if err != nil {
		return nil, err
	}
	if ok && before.base == b.key && before.sum == sum {
		return before.again(c), nil
	}
	config := how.Scan
	config.Kept = &recaller{known: im.known, changed: own}
	v, stats, err := scan.Image(ctx, im.Image, config)
	if err = errors.Join(err, f.err()); err != nil {
		return nil, err
	}
	r := &Result{
		Container: c, Image: *img, Packages: v.Packages(), Problems: withMounts(v.Problems(), c), Stats: stats,
		FromImage: b.packages, refs: b.refs, own: newPaths(own.own),
		view: func(ctx context.Context) (tree.View, func() error, error) { return e.look(ctx, c, img, how) },
	}
	e.keep(c.ID, &look{base: b.key, sum: sum, fetched: sum != l.sum, result: r})
	return r, nil
}

// imageOf returns the image of a container, nil when there is none any more.
func (e *Engine) imageOf(ctx context.Context, c *Container) (*Image, error) {
	if c.ImageID == "" {
		return nil, nil
	}
	img, err := e.InspectImage(ctx, c.ImageID)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &img, nil
}

// again is the same result of a later look.
func (l *look) again(c *Container) *Result {
	r := *l.result
	r.Container, r.Problems, r.Unchanged = c, withMounts(slices.Clone(l.result.Problems), c), true
	return &r
}

func (e *Engine) keep(id string, l *look) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.looked.put(id, l)
}

// settle makes an image the container's, and fetches what of it a reader wants. It returns
// what is otherwise than in the image, and the sum of that.
func (e *Engine) settle(ctx context.Context, f *fetcher, im *opened, l *listing, how Options) (*changed, [sha256.Size]byte, error) {
	files, doubtful := im.Become(l.changes, f.from(ctx, e))
	own := newChanged(l, files)
	asked := slices.DeleteFunc(slices.Concat(l.wanted, doubtful), f.mounted)
	asked = slices.DeleteFunc(asked, func(file string) bool { return !own.own[file] && !slices.Contains(doubtful, file) })
	if len(asked) == 0 {
		return own, l.sum, nil
	}
	sum := sha256.New()
	_, _ = sum.Write(l.sum[:]) // a hash takes everything
	if err := e.obtain(ctx, f, im.Image, asked, l.nameless, how, sum); err != nil {
		return nil, l.sum, err
	}
	for _, file := range doubtful {
		if info, err := im.View().Stat(file); err != nil || !info.IsDir() {
			own.own[file] = true
		}
	}
	return own, [sha256.Size]byte(sum.Sum(nil)), nil
}

// obtain fetches files, one by one or all at once.
func (e *Engine) obtain(ctx context.Context, f *fetcher, im *image.Image, files []string, nameless bool, how Options, sum hash.Hash) error {
	if nameless || len(files) > maxFetched {
		only := make(map[string]bool, len(files))
		for _, file := range files {
			only[file] = true
		}
		if nameless {
			only = nil // which they are cannot be told
		}
		whole, err := e.export(ctx, f, im, only, how, sum)
		if err == nil && !whole {
			im.Fail(".", inventory.CodeTooLarge, "the container's files are more than are read; those that come last are left out")
		}
		return err
	}
	for i, file := range files {
		how.tell(fmt.Sprintf("reading the container %s: changed file %d of %d", f.container.Name, i+1, len(files)))
		digest, err := im.Settle(file)
		if f.err() != nil {
			return f.err()
		}
		if err != nil {
			digest = err.Error() // it is a problem of the image
		}
		_, _ = io.WriteString(sum, file+"\x00"+digest) // a hash takes everything
	}
	return ctx.Err()
}

// newChanged says what a container has otherwise: what is gone, and files.
func newChanged(l *listing, files []string) *changed {
	out := &changed{own: make(map[string]bool, len(files)), within: map[string]bool{}}
	for _, file := range files {
		out.own[file] = true
	}
	for _, c := range l.changes {
		if c.Gone {
			out.own[c.Path] = true
		}
		out.within[path.Dir(c.Path)] = true
	}
	return out
}

// whole finds what a container holds out of an export of all its files, without its image.
func (e *Engine) whole(ctx context.Context, c *Container, img *Image, b *base, how Options) (*Result, error) {
	f := newFetcher(c, how)
	im := image.New(e.options(how))
	defer func() { _ = im.Close() }() // it was read only
	im.Become(nil, f.from(ctx, e))
	full, err := e.export(ctx, f, im, nil, how, io.Discard)
	if err != nil {
		return nil, err
	}
	if !full {
		im.Fail(".", inventory.CodeTooLarge, "the container's files are more than are read; those that come last are left out")
	}
	v, stats, err := scan.Image(ctx, im, how.Scan)
	if err = errors.Join(err, f.err()); err != nil {
		return nil, err
	}
	r := &Result{Container: c, Packages: v.Packages(), Problems: withMounts(v.Problems(), c), Stats: stats}
	if img != nil {
		r.Image, r.FromImage, r.refs = *img, b.packages, b.refs
	}
	r.view = func(ctx context.Context) (tree.View, func() error, error) {
		im := image.New(e.options(how))
		f := newFetcher(c, how)
		im.Become(nil, f.from(ctx, e))
		if _, err := e.export(ctx, f, im, nil, how, io.Discard); err != nil {
			return nil, nil, errors.Join(err, im.Close())
		}
		return im.View(), im.Close, nil
	}
	return r, nil
}

// look opens a container's files as they are now.
func (e *Engine) look(ctx context.Context, c *Container, img *Image, how Options) (tree.View, func() error, error) {
	l, err := e.changes(ctx, c, extract.NewRoute(how.Scan.Readers))
	if err != nil {
		return nil, nil, err
	}
	im, err := e.open(ctx, img, how)
	if err != nil {
		return nil, nil, err
	}
	f := newFetcher(c, how)
	if _, _, err := e.settle(ctx, f, im, l, how); err != nil {
		return nil, nil, errors.Join(err, im.Close())
	}
	return im.View(), im.Close, nil
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
