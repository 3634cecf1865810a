package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/image"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/packed"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/recall"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// base is what an image was found to hold. It does not change.
type base struct {
	key      key
	packages []*inventory.Package
	problems []inventory.Problem
	stats    scan.Stats
	refs     map[string]bool
}

// memo is what is known of a file of an image.
type memo struct {
	looks []string
	// lists are the folders whose names were asked for.
	lists []string
	// unsure says that not all that was looked up is known.
	unsure bool
	found  string // in the form of package recall
}

// opened is an image that is at hand.
type opened struct {
	*image.Image
	file  *os.File // nil: it is the archive
	known map[string]memo
}

func (o *opened) Close() error {
	err := o.Image.Close()
	if o.file != nil {
		err = errors.Join(err, o.file.Close())
	}
	return err
}

// Bounds of what is kept of the files of an image.
const (
	maxKept      = 64 << 20 // bytes of one file
	maxKeptImage = 192 << 20
)

// base returns what an image holds, and reads it if that is not known. how says how.
func (e *Engine) base(ctx context.Context, img *Image, how Options) (*base, error) {
	k := e.keyOf(img.ID, how)
	defer e.alone(string(k[:]))()
	e.mu.Lock()
	b, ok := e.bases.get(string(k[:]))
	e.mu.Unlock()
	if ok {
		return b, nil
	}
	im, err := e.recall(k, how)
	if err == nil {
		b, err = e.hold(ctx, k, im, how)
		if err = errors.Join(err, im.Close()); err != nil {
			return nil, err
		}
	} else {
		b, im, err = e.fresh(ctx, k, img, how)
		if err != nil {
			return nil, err
		}
		if err := im.Close(); err != nil {
			return nil, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.bases.put(string(k[:]), b)
	return b, nil
}

// open returns an image to be looked into, which the caller closes.
func (e *Engine) open(ctx context.Context, img *Image, how Options) (*opened, error) {
	k := e.keyOf(img.ID, how)
	defer e.alone(string(k[:]))()
	im, err := e.recall(k, how)
	if err == nil {
		return im, nil
	}
	_, im, err = e.fresh(ctx, k, img, how)
	return im, err
}

// keyOf tells images and ways to scan them apart.
func (e *Engine) keyOf(id string, how Options) key {
	return key(recall.Key(fmt.Sprintf("image %q %q %+v", id, how.Platform, e.config.Image), how.Scan))
}

// alone waits until nobody else reads the image.
func (e *Engine) alone(k string) (release func()) {
	e.mu.Lock()
	lock := e.reading[k]
	if lock == nil {
		lock = new(sync.Mutex)
		e.reading[k] = lock
	}
	e.mu.Unlock()
	lock.Lock()
	return func() {
		lock.Unlock()
		e.mu.Lock()
		defer e.mu.Unlock()
		if lock.TryLock() { // nobody waits
			delete(e.reading, k)
			lock.Unlock()
		}
	}
}

// recall returns an image that was read before.
func (e *Engine) recall(k key, how Options) (*opened, error) {
	if e.config.Forget {
		return nil, fs.ErrNotExist
	}
	f, head, size, err := e.stored.open(k)
	if err != nil {
		return nil, err
	}
	im, err := e.decode(k, f, head, size, how)
	if err != nil {
		_ = f.Close() // it was read only
		return nil, err
	}
	return im, nil
}

func (e *Engine) decode(k key, f *os.File, head string, size int64, how Options) (*opened, error) {
	r := &packed.Reader{In: head}
	if r.Text() != string(k[:]) {
		return nil, packed.ErrForm
	}
	im, err := image.Recall(r, f, size, e.options(how))
	if err != nil {
		return nil, err
	}
	o := &opened{Image: im, file: f, known: map[string]memo{}}
	for range r.Count() {
		name := r.Text()
		o.known[name] = memo{looks: r.Texts(), lists: r.Texts(), unsure: r.Flag(), found: r.Text()}
	}
	if r.Bad || r.In != "" {
		return nil, packed.ErrForm
	}
	return o, nil
}

func (e *Engine) options(how Options) image.Options {
	on := ParsePlatform(how.Platform)
	return image.Options{Dir: e.config.Dir, Limits: e.config.Image, OS: on.OS, Arch: on.Arch}
}

// hold makes the inventory of an image that was read before.
func (e *Engine) hold(ctx context.Context, k key, im *opened, how Options) (*base, error) {
	c := how.Scan
	c.Kept = &recaller{known: im.known}
	v, stats, err := scan.Image(ctx, im.Image, c)
	if err != nil {
		return nil, err
	}
	return newBase(k, v, stats), nil
}

func newBase(k key, v *inventory.Inventory, stats scan.Stats) *base {
	b := &base{key: k, packages: v.Packages(), problems: v.Problems(), stats: stats, refs: map[string]bool{}}
	for _, p := range b.packages {
		b.refs[p.Ref()] = true
	}
	return b
}

// fresh reads an image, and keeps what is known of it then.
func (e *Engine) fresh(ctx context.Context, k key, img *Image, how Options) (*base, *opened, error) {
	archive, err := e.receive(ctx, img, how)
	if err != nil {
		return nil, nil, err
	}
	o := &opened{Image: archive}
	learned := &recaller{learned: map[string]memo{}}
	c := how.Scan
	c.Kept = learned
	v, stats, err := scan.Image(ctx, archive, c)
	if err != nil {
		return nil, nil, errors.Join(err, o.Close())
	}
	b := newBase(k, v, stats)
	// What may be read another time is tried again then.
	whole := !slices.ContainsFunc(b.problems, func(p inventory.Problem) bool {
		return p.Code == inventory.CodeTimeout || p.Code == inventory.CodeCrashed
	})
	next, err := e.remember(k, archive, learned.learned, whole && !e.config.Forget, how)
	if err != nil {
		e.config.Log.Warn("what an image holds is not remembered, and it is read again the next time", "image", img.Name(), "error", err)
		o.known = learned.learned
		return b, o, nil
	}
	return b, next, o.Close()
}

// remember writes down what is known of an image, and returns it as it is recalled; name
// says whether it can be recalled another time.
func (e *Engine) remember(k key, im *image.Image, known map[string]memo, name bool, how Options) (*opened, error) {
	d, err := e.stored.begin()
	if err != nil {
		return nil, err
	}
	if err := d.write(k, im, known, extract.NewRoute(how.Scan.Readers)); err != nil {
		return nil, errors.Join(err, d.drop())
	}
	f := d.f
	if name {
		err = e.stored.keep(d, k)
	} else {
		err = os.Remove(f.Name())
	}
	if err != nil {
		return nil, errors.Join(err, d.drop())
	}
	head, size, err := contents(f)
	if err == nil {
		var o *opened
		if o, err = e.decode(k, f, head, size, how); err == nil {
			return o, nil
		}
	}
	return nil, errors.Join(err, f.Close())
}

func (d *draft) write(k key, im *image.Image, known map[string]memo, route *extract.Route) error {
	w := &packed.Writer{}
	w.Text(string(k[:]))
	left := int64(maxKeptImage)
	err := im.Keep(w, func(file string, size int64, body io.Reader) (int64, bool, error) {
		if size > min(maxKept, left) || !consulted(file, route) {
			return 0, false, nil
		}
		left -= size
		at, err := d.add(body)
		return at, err == nil, err
	})
	if err != nil {
		return err
	}
	w.Number(uint64(len(known)))
	for _, name := range sortedKeys(known) {
		m := known[name]
		w.Text(name)
		w.Texts(m.looks)
		w.Texts(m.lists)
		w.Flag(m.unsure)
		w.Text(m.found)
	}
	if len(w.Out) > maxHead {
		return fmt.Errorf("its names and packages take %d bytes, and may take %d", len(w.Out), maxHead)
	}
	return d.end(w.Out)
}

// consulted says whether a file is looked up when the image is at hand no more: it is read
// as a text or a database, or says which files a package has.
func consulted(file string, route *extract.Route) bool {
	var buf [4]*extract.Reader
	for _, r := range route.Find(file, func() bool { return false }, buf[:0]) {
		if !r.Programs && r.MaxBytes == 0 {
			return true
		}
	}
	dir, base := path.Split(file)
	switch {
	case strings.HasSuffix(dir, "var/lib/dpkg/"), strings.HasSuffix(dir, "var/lib/dpkg/info/"), strings.HasSuffix(dir, "lib/apk/db/"):
		return true
	case strings.Contains(dir, "var/lib/rpm/"), strings.Contains(dir, "usr/lib/sysimage/rpm/"), strings.Contains(dir, "var/lib/pacman/local/"):
		return true
	case strings.HasSuffix(dir, ".dist-info/"), strings.HasSuffix(dir, ".egg-info/"):
		return true
	}
	return base == "os-release" || base == "lsb-release" || base == "debian_version"
}

// recaller implements [scan.Kept]: it tells what is known of files, and learns.
type recaller struct {
	known map[string]memo
	// changed, when set, says what became of the image.
	changed *changed

	mu      sync.Mutex
	learned map[string]memo
}

// Recall implements scan.Kept.
func (r *recaller) Recall(file string) ([]scan.Found, bool) {
	m, ok := r.known[file]
	if !ok || r.changed.since(file, &m) {
		return nil, false
	}
	found, err := recall.DecodeFound(m.found)
	return found, err == nil
}

// Keep implements scan.Kept.
func (r *recaller) Keep(file string, reading *scan.Reading) {
	if r.learned == nil {
		return
	}
	noted, all := reading.Trace.Looks()
	m := memo{unsure: !all, found: recall.EncodeFound(reading.Found)}
	for _, l := range noted {
		m.look(l)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.learned[strings.Clone(file)] = m
}

func (m *memo) look(l tree.Look) {
	if !slices.Contains(m.looks, l.Path) {
		m.looks = append(m.looks, l.Path)
	}
	if l.Listed && !slices.Contains(m.lists, l.Path) {
		m.lists = append(m.lists, l.Path)
	}
}

// changed is what a container has otherwise than its image.
type changed struct {
	// own are the paths that are gone, or at which there is no folder of the image's.
	own map[string]bool
	// within are the folders in which names came or went.
	within map[string]bool
}

// has says whether a path, or a folder that it lies in, was changed. A nil one has nothing.
func (c *changed) has(file string) bool {
	if c == nil || len(c.own) == 0 {
		return false
	}
	for at := file; at != "." && at != "/" && at != ""; at = path.Dir(at) {
		if c.own[at] {
			return true
		}
	}
	return false
}

// since says whether what is known of a file may be otherwise now.
func (c *changed) since(file string, m *memo) bool {
	if c == nil {
		return false
	}
	return c.has(file) || m.unsure || slices.ContainsFunc(m.looks, c.has) || slices.ContainsFunc(m.lists, func(l string) bool { return c.within[l] })
}

// sortedKeys are the keys in order.
func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
