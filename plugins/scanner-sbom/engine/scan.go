package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"slices"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/image"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

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
	out := *r // it may be another's too
	out.Notes = found.notes
	return &out, nil
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
			whole := &archived{engine: e, image: img, how: how}
			im.From(func(file string) (image.Entry, func(), error) { return whole.fetch(ctx, file) })
			return im.View(), func() error { return errors.Join(im.Close(), whole.close()) }, nil
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
	ok = ok && before.base == b.key
	if ok && before.list == l.sum && (before.sum == l.sum || before.exported && time.Since(before.at) < exportEvery) {
		return before.again(c), nil
	}
	im, err := e.open(ctx, img, how)
	if err != nil {
		return nil, err
	}
	defer func() { _ = im.Close() }() // it was read only
	f := newFetcher(c, how)
	own, sum, exported, err := e.settle(ctx, f, im, img, l, how)
	if err != nil {
		return nil, err
	}
	if ok && before.sum == sum {
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
	e.keep(c.ID, &look{base: b.key, list: l.sum, sum: sum, exported: exported, at: time.Now(), result: r})
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
// what is otherwise than in the image, the sum of that, and whether there was an export.
func (e *Engine) settle(ctx context.Context, f *fetcher, im *opened, img *Image, l *listing, how Options) (own *changed, all [sha256.Size]byte, exported bool, err error) {
	files, doubtful := im.Become(l.changes, f.from(ctx, e))
	own = newChanged(l, files)
	asked := slices.DeleteFunc(slices.Concat(l.wanted, doubtful), f.mounted)
	asked = slices.DeleteFunc(asked, func(file string) bool { return !own.own[file] && !slices.Contains(doubtful, file) })
	if len(asked) == 0 {
		return own, l.sum, false, nil
	}
	sum := sha256.New()
	_, _ = sum.Write(l.sum[:]) // a hash takes everything
	if exported, err = e.obtain(ctx, f, im.Image, img, asked, l.nameless, how, sum); err != nil {
		return nil, l.sum, exported, err
	}
	for _, file := range doubtful {
		if !im.IsFolder(file) {
			own.own[file] = true
		}
	}
	return own, [sha256.Size]byte(sum.Sum(nil)), exported, nil
}

// obtain fetches files, one by one or all at once in an export.
func (e *Engine) obtain(ctx context.Context, f *fetcher, im *image.Image, img *Image, files []string, nameless bool, how Options, sum hash.Hash) (exported bool, err error) {
	if nameless || len(files) > fetched(img.Size) {
		only := make(map[string]bool, len(files))
		for _, file := range files {
			only[file] = true
		}
		if nameless {
			only = nil // which they are cannot be told
		}
		return true, e.exportInto(ctx, f, im, img.Size, only, how, sum)
	}
	for i, file := range files {
		how.tell(fmt.Sprintf("reading the container %s: changed file %d of %d", f.container.Name, i+1, len(files)))
		digest, err := im.Settle(file)
		if f.err() != nil {
			return false, f.err()
		}
		if err != nil {
			digest = err.Error() // it is a problem of the image
		}
		_, _ = io.WriteString(sum, file+"\x00"+digest) // a hash takes everything
	}
	return false, ctx.Err()
}

// exportInto is export, with a problem where it is cut short.
func (e *Engine) exportInto(ctx context.Context, f *fetcher, im *image.Image, imageBytes int64, only map[string]bool, how Options, sum io.Writer) error {
	whole, err := e.export(ctx, f, im, imageBytes, only, how, sum)
	if err == nil && !whole {
		im.Fail(".", inventory.CodeTooLarge, fmt.Sprintf("the container's own files take more than %s; those that come last are left out", megabytes(e.config.Own)))
	}
	return err
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
	size := int64(0)
	if img != nil {
		size = img.Size
	}
	if err := e.exportInto(ctx, f, im, size, nil, how, io.Discard); err != nil {
		return nil, err
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
		if err := e.exportInto(ctx, f, im, size, nil, how, io.Discard); err != nil {
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
	if _, _, _, err := e.settle(ctx, f, im, img, l, how); err != nil {
		return nil, nil, errors.Join(err, im.Close())
	}
	return im.View(), im.Close, nil
}
