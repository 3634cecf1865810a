package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"sync"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// Limits bound what an image may cost; the fields that are zero have the default.
type Limits struct {
	// Bytes bounds all layers together, as they are without compression, and with
	// them the temporary file.
	Bytes int64
	// Ratio bounds how many times larger a layer may be without compression, once it has
	// more than RatioFrom bytes.
	Ratio, RatioFrom int64
	// Entries bounds files and folders of all layers, Layers the layers, and Depth the
	// folders in one another.
	Entries, Layers, Depth int
	// Document bounds each of the image's own JSON documents, in bytes.
	Document int64
}

// Defaults are the limits that hold when nobody says otherwise.
func Defaults() Limits {
	return Limits{
		Bytes: 16 << 30, Ratio: 200, RatioFrom: 256 << 20,
		Entries: 2_000_000, Layers: 512, Depth: 128, Document: 4 << 20,
	}
}

func (l Limits) complete() Limits {
	d := Defaults()
	whole := func(field *int64, other int64) {
		if *field <= 0 {
			*field = other
		}
	}
	count := func(field *int, other int) {
		if *field <= 0 {
			*field = other
		}
	}
	whole(&l.Bytes, d.Bytes)
	whole(&l.Ratio, d.Ratio)
	whole(&l.RatioFrom, d.RatioFrom)
	whole(&l.Document, d.Document)
	count(&l.Entries, d.Entries)
	count(&l.Layers, d.Layers)
	count(&l.Depth, d.Depth)
	l.Layers = min(l.Layers, math.MaxInt32)
	return l
}

// Options say how to open an image.
type Options struct {
	// Dir is where the temporary file lies, which has a name only where the system
	// cannot do without.
	Dir    string
	Limits Limits
	// OS and Arch choose an image among those of several platforms, in Go's words.
	OS, Arch string
	// Progress is told of each layer before it is read; nil is told nothing.
	Progress func(layer, layers int)
}

// Image is an image that was opened. It is safe for concurrent use, and has to be
// closed.
type Image struct {
	// Name is the first tag of the image, "" when it has none.
	Name string
	// Digest is that of the manifest, or, of an archive that has none, of the
	// configuration, which docker calls the image's ID.
	Digest string
	// OS and Arch are what the image runs on, in Go's words; "" when it does not say.
	OS, Arch string

	limits Limits
	src    source
	spool  *spool
	layers []*layer // the lowest first
	tree   *index
	// mu guards the tree of a container, of which names are looked at while it is used,
	// and its spool.
	mu    sync.Mutex
	fetch Fetch // nil: it is no container

	problems map[inventory.Problem]struct{}
	untold   int // problems beyond maxProblems
}

// layer is one layer of the image.
type layer struct {
	name   string // in the archive
	digest string // of the blob, "" when the image does not say
	diffID string // of its content without compression; "" likewise
	data   io.ReaderAt
}

// ErrNoImage is in errors about what holds no image at all.
var ErrNoImage = errors.New("no image")

// Is says whether the file or folder at path looks like an image: an archive, or a
// folder that is an OCI layout.
func Is(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	if info.IsDir() {
		root, err := os.OpenRoot(path)
		if err != nil {
			return false
		}
		src := newFolder(root)
		defer func() { _ = src.Close() }() // it was read only
		return src.has(layoutFile) && src.has(indexFile)
	}
	f, err := openFile(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // it was read only
	if info, err = f.Stat(); err != nil {
		return false
	}
	return looksLikeArchive(io.NewSectionReader(f, 0, info.Size()))
}

// Open opens the image at path and indexes its layers. An error wraps ErrNoImage when
// there is none, and says what is wrong when there are several to choose from.
func Open(ctx context.Context, path string, o Options) (*Image, error) {
	im := New(o)
	var err error
	if im.src, err = openSource(ctx, path, im.spool, im.limits); err == nil {
		err = im.open(ctx, o)
	}
	if err != nil {
		return nil, errors.Join(err, im.Close())
	}
	return im, nil
}

// New returns an image without files, for those of a container that is read as a whole.
func New(o Options) *Image {
	im := &Image{limits: o.Limits.complete(), problems: map[inventory.Problem]struct{}{}}
	im.spool = &spool{dir: o.Dir, left: im.limits.Bytes, reserve: spoolReserve}
	im.tree = newIndex(im.limits.Entries)
	return im
}

// Receive opens the image in an archive that comes from a stream, which is written to the
// temporary file first: there may be as many bytes of it as of all layers.
func Receive(ctx context.Context, from io.Reader, o Options) (*Image, error) {
	im := New(o)
	a := &archive{parts: map[string]*io.SectionReader{}, links: map[string]string{}}
	im.src = a
	err := im.receive(ctx, from, a)
	if err == nil {
		err = im.open(ctx, o)
	}
	if err != nil {
		return nil, errors.Join(err, im.Close())
	}
	return im, nil
}

func (im *Image) receive(ctx context.Context, from io.Reader, a *archive) error {
	n, err := io.Copy(im.spool, io.LimitReader(from, im.limits.Bytes+1))
	if err != nil {
		return err
	}
	if n > im.limits.Bytes {
		return errBytes
	}
	whole, err := im.spool.section(0)
	if err != nil {
		return err
	}
	return a.list(ctx, whole, im.spool, im.limits)
}

func (im *Image) open(ctx context.Context, o Options) error {
	if err := im.describe(o); err != nil {
		return err
	}
	if n := len(im.layers); n > im.limits.Layers {
		return fmt.Errorf("the image has %d layers, and %d are read at most", n, im.limits.Layers)
	}
	for i, l := range slices.Backward(im.layers) {
		if o.Progress != nil {
			o.Progress(len(im.layers)-i, len(im.layers))
		}
		err := im.read(ctx, int32(i), l) //nolint:gosec // there are fewer, see complete
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errSpool) {
			return err
		}
		if err != nil {
			im.fail(l.name, err)
		}
		if errors.Is(err, errEntries) {
			break // what lies below could not be told from what is hidden
		}
	}
	for _, name := range im.tree.settle() {
		im.fail(name, errDangling)
	}
	return nil
}

// Close gives back what the image holds. Files of it that are open read no more.
func (im *Image) Close() error {
	var err error
	if im.src != nil {
		err = im.src.Close()
	}
	return errors.Join(err, im.spool.Close())
}

// Problems returns what of the image could not be read, in no order.
func (im *Image) Problems() []inventory.Problem {
	out := slices.Collect(maps.Keys(im.problems))
	if im.untold > 0 {
		out = append(out, inventory.Problem{
			Path: ".", Code: inventory.CodeTooMany, Reason: fmt.Sprintf("%d more problems of the image are not listed", im.untold),
		})
	}
	return out
}

// maxProblems are listed of one image.
const maxProblems = 1000

// fail notes what could not be read.
func (im *Image) fail(name string, err error) {
	p := inventory.Problem{Path: cut(name), Code: inventory.CodeMalformed, Reason: cut(err.Error())}
	var system *fs.PathError
	switch {
	case errors.Is(err, errEntries):
		p.Code = inventory.CodeTooMany
	case errors.Is(err, errDeep):
		p.Code = inventory.CodeTooDeep
	case errors.Is(err, errOutside):
		p.Code = inventory.CodeOutside
	case errors.Is(err, errBytes), errors.Is(err, errLong):
		p.Code = inventory.CodeTooLarge
	case errors.Is(err, errExpands):
		p.Code = inventory.CodeExpands
	case errors.Is(err, errSparse), errors.Is(err, fs.ErrNotExist):
		p.Code = inventory.CodeIncomplete
	case errors.As(err, &system):
		p.Code, p.Reason = inventory.CodeUnreadable, system.Err.Error()
	}
	if len(im.problems) >= maxProblems {
		im.untold++
		return
	}
	im.problems[p] = struct{}{}
}

// cut shortens what an image says to what can be shown.
func cut(text string) string {
	const most = 300
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// What keeps parts of an image from being read.
var (
	errEntries  = errors.New("the image has more files than are looked at; those below are left out")
	errDeep     = errors.New("more folders in one another than are followed")
	errOutside  = errors.New("the name leads out of the image")
	errBytes    = errors.New("the layers are larger than an image may be")
	errLong     = errors.New("the name or what it leads to is longer than 4096 bytes")
	errExpands  = errors.New("the layer expands to more than its size allows for")
	errSparse   = errors.New("a file with holes, in a form that is not read")
	errDangling = errors.New("a hard link to no file of the image")
)
