package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Errors to branch on.
var (
	// ErrNewer: the schema was made by a newer version.
	ErrNewer = errors.New("a newer version made the schema of the database; install that version here too")
	// ErrDenied: the role may not do it.
	ErrDenied = errors.New("the role may not do that; see the roles in docs/postgresql.md")
	// ErrFull: there is no room on the disk of the server.
	ErrFull = errors.New("the server has no room on its disk; free some, or lower retention")
	// ErrLogin: the server does not let the role in.
	ErrLogin = errors.New("the server refuses the login; check user, password, certificate and pg_hba.conf")
	// ErrSpoolFull: the spool has no room.
	ErrSpoolFull = errors.New("the spool is full; bring the server back, or raise spool_bytes")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the store is closed")
	// errRows says that the server will never take some of the rows.
	errRows = errors.New("the server refuses a row")
)

// Codes of PostgreSQL's documentation, appendix A.
const (
	codeCheck  = "23514"
	codeDenied = "42501"
	codeFull   = "53100"
)

// named adds the sentinel of an error of PostgreSQL.
func named(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return err
	}
	var sentinel error
	switch {
	case e.Code == codeDenied:
		sentinel = ErrDenied
	case e.Code == codeFull:
		sentinel = ErrFull
	case strings.HasPrefix(e.Code, "28"), e.Code == "3D000":
		sentinel = ErrLogin
	case strings.HasPrefix(e.Code, "22"), strings.HasPrefix(e.Code, "54"), e.Code == "23502":
		sentinel = errRows
	default:
		return err
	}
	if errors.Is(err, sentinel) {
		return err
	}
	return fmt.Errorf("%w (%w)", sentinel, err)
}

// refused reports whether trying again would give the same error, because of the rows.
// A statement that took too long is none of that.
func refused(err error) bool {
	return errors.Is(err, errRows) && !errors.Is(err, context.DeadlineExceeded)
}
