package scan

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// problem says in a code and in words what kept a file from being read.
func problem(file string, err error) inventory.Problem {
	p := inventory.Problem{Path: valid(path.Clean(file)), Code: inventory.CodeUnreadable, Reason: err.Error()}
	var large errLarge
	var late errLate
	var gone errGivenUp
	var crash errCrash
	var content errContent
	var in *fs.PathError
	switch {
	case errors.As(err, &crash):
		p.Code = inventory.CodeCrashed
	case errors.As(err, &large), errors.As(err, new(extract.LargeError)):
		p.Code = inventory.CodeTooLarge
	case errors.As(err, &late), errors.As(err, &gone):
		p.Code = inventory.CodeTimeout
	case errors.As(err, new(extract.ExpandsError)):
		p.Code = inventory.CodeExpands
	case errors.As(err, new(errNameless)):
		p.Code = inventory.CodeIncomplete
	case errors.As(err, &content):
		p.Code = inventory.CodeMalformed
	case errors.Is(err, tree.ErrDepth):
		p.Code = inventory.CodeTooDeep
	case errors.Is(err, tree.ErrFiles):
		p.Code = inventory.CodeTooMany
	case errors.As(err, &in):
		p.Reason = in.Err.Error()
	}
	const most = 300
	if len(p.Reason) > most {
		p.Reason = p.Reason[:most] + "..."
	}
	p.Reason = valid(p.Reason)
	return p
}

// valid makes names that a file system holds text.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// errSpecial is told of pipes, sockets and devices.
var errSpecial = errors.New("it is neither a file nor a folder")

type (
	errLarge   struct{ size, limit int64 }
	errLate    struct{ after time.Duration }
	errGivenUp struct{ reader string }
	// errNameless counts packages of which the file does not say what they are.
	errNameless int
	errContent  struct {
		reader string
		err    error
	}
	errCrash struct{ what string }
)

func (e errLarge) Error() string {
	return fmt.Sprintf("it has %d bytes, and a file of its kind may have %d", e.size, e.limit)
}

func (e errLate) Error() string { return fmt.Sprintf("reading it took longer than %v", e.after) }

func (e errGivenUp) Error() string {
	return "it was not read: the reader " + e.reader + " does not come to an end with other files"
}

func (e errNameless) Error() string { return fmt.Sprintf("%d of its packages have no name", int(e)) }

func (e errContent) Error() string { return e.reader + ": " + e.err.Error() }
func (e errContent) Unwrap() error { return e.err }
func (e errCrash) Error() string   { return "the reader broke off: " + e.what }
