package extract

import (
	"context"
	"errors"
	"io"

	"github.com/tidwall/gjson"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract/npm"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// maxNesting is how deep values stand in one another. The parsers of these forms call
// themselves for each level, and Go ends a process whose stack grows past a bound,
// which nothing can catch.
const maxNesting = 500

var errNested = errors.New("its values stand too deep in one another")

// shallow has the Reader r read files only in which values do not stand too deep in
// one another. deeper says where they go deeper than most, or 0.
func shallow(r *Reader, deeper func(text string, most int) int) *Reader {
	read := r.Read
	r.Read = func(ctx context.Context, in Input) ([]*inventory.Package, error) {
		text, err := all(in)
		if err != nil {
			return nil, err
		}
		if deeper(text, maxNesting) > 0 {
			return nil, errNested
		}
		if _, err := in.Body.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		return read(ctx, in)
	}
	return r
}

// wellFormed has the Reader r, which takes what is no JSON for something else, read
// only what is.
func wellFormed(r *Reader) *Reader {
	return first(r, func(text string) ([]*inventory.Package, bool, error) {
		if !gjson.Valid(text) {
			return nil, false, npm.ErrSyntax
		}
		return nil, false, nil
	})
}
