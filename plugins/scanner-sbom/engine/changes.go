package engine

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/image"
)

// maxChangeBytes bounds the list of a container's changes as well.
const maxChangeBytes = 64 << 20

// errManyChanges says that there are more changes than are listed.
var errManyChanges = errors.New("the container changed more files than are listed")

// listing is what a container changed.
type listing struct {
	changes []image.Change
	// sum is the same as long as no other path was changed.
	sum [sha256.Size]byte
	// wanted are the paths that a reader may want, if a file lies there.
	wanted []string
	most   int
	// nameless says that one of these has a name that Docker cannot tell, as it is not UTF-8.
	nameless bool
}

// changes lists what a container changed. The error is errManyChanges past the bounds.
func (e *Engine) changes(ctx context.Context, c *Container, route *extract.Route) (*listing, error) {
	what := "list the changes of the container " + c.Name
	s, err := e.stream(ctx, "/containers/"+c.ID+"/changes", nil, nil)
	if err != nil {
		return nil, wrap(what, err)
	}
	defer func() { _ = s.Close() }() // it was read only
	limited := &io.LimitedReader{R: s, N: maxChangeBytes}
	out := &listing{most: e.config.Changes}
	err = out.read(json.NewDecoder(bufio.NewReaderSize(limited, 64<<10)), route)
	if errors.Is(err, errManyChanges) || (err != nil && limited.N <= 0) {
		return nil, errManyChanges
	}
	if err != nil {
		return nil, wrap(what, err)
	}
	// Docker's order may be another each time.
	slices.SortFunc(out.changes, func(a, b image.Change) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), btoi(b.Gone)-btoi(a.Gone))
	})
	slices.Sort(out.wanted)
	sum := sha256.New()
	for _, c := range out.changes {
		_, _ = fmt.Fprintf(sum, "%s\x00%v\x00", c.Path, c.Gone) // a hash takes everything
	}
	out.sum = [sha256.Size]byte(sum.Sum(nil))
	return out, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// read reads the answer: an array, or null when nothing was changed.
func (l *listing) read(d *json.Decoder, route *extract.Route) error {
	begin, err := d.Token()
	if err != nil || begin == nil {
		return err
	}
	if begin != json.Delim('[') {
		return fmt.Errorf("it begins with %v, and not with a list", begin)
	}
	const removed = 2 // Docker's ChangeType: 0 is modified, 1 added
	var buf [4]*extract.Reader
	for d.More() {
		var one struct {
			Path string
			Kind int
		}
		if err := d.Decode(&one); err != nil {
			return err
		}
		if len(l.changes) == l.most {
			return errManyChanges
		}
		change := image.Change{Path: relative(one.Path), Gone: one.Kind == removed}
		l.changes = append(l.changes, change)
		if !change.Gone && len(route.Find(change.Path, func() bool { return true }, buf[:0])) > 0 {
			l.wanted = append(l.wanted, change.Path)
			l.nameless = l.nameless || strings.ContainsRune(change.Path, utf8.RuneError)
		}
	}
	_, err = d.Token()
	return err
}
