package control

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The errors that cross the wire. A Backend wraps them with words for a person
// (what, why, how to mend); the Client returns errors that wrap them again.
var (
	// ErrNotFound: what the request names does not exist.
	ErrNotFound = errors.New("not found")
	// ErrInvalid: the request itself is wrong.
	ErrInvalid = errors.New("invalid request")
	// ErrNotSupported: this host cannot do it.
	ErrNotSupported = errors.New("not supported")
	// ErrConflict: the state of things does not allow it now.
	ErrConflict = errors.New("conflict")
	// ErrDenied: the caller may not do it.
	ErrDenied = errors.New("permission denied")
	// ErrBusy: a limit of the API is reached; later it may work.
	ErrBusy = errors.New("busy")
	// ErrNotRunning: no host answers on the socket, or it went away.
	ErrNotRunning = errors.New("the host is not running")
)

// coded pairs every sentinel with its status code.
type coded struct {
	sentinel error
	code     codes.Code
}

func codeTable() []coded {
	return []coded{
		{ErrNotFound, codes.NotFound},
		{ErrInvalid, codes.InvalidArgument},
		{ErrNotSupported, codes.Unimplemented},
		{ErrConflict, codes.FailedPrecondition},
		{ErrDenied, codes.PermissionDenied},
		{ErrBusy, codes.ResourceExhausted},
		{ErrNotRunning, codes.Unavailable},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
		{context.Canceled, codes.Canceled},
	}
}

// toStatus is what a handler returns for an error of the Backend.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	for _, c := range codeTable() {
		if errors.Is(err, c.sentinel) {
			return status.Error(c.code, err.Error())
		}
	}
	if s, ok := status.FromError(err); ok && s.Code() != codes.Unknown {
		return status.Error(s.Code(), s.Message())
	}
	return status.Error(codes.Unknown, err.Error())
}

// remoteError is an error that came over the wire.
type remoteError struct {
	message  string
	sentinel error // nil when the code has none
}

func (e *remoteError) Error() string { return e.message }
func (e *remoteError) Unwrap() error { return e.sentinel }

// fromStatus is what a Client returns for an error of a call.
func fromStatus(err error) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	for _, c := range codeTable() {
		if s.Code() == c.code {
			return &remoteError{message: s.Message(), sentinel: c.sentinel}
		}
	}
	return &remoteError{message: s.Message()}
}
