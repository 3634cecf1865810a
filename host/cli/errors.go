package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
)

// usageError is a call that the command line does not understand.
type usageError struct {
	message string
	path    string // of the command, "" when it does not matter
}

func (e *usageError) Error() string { return e.message }

func usage(cmd *cobra.Command, format string, args ...any) error {
	e := &usageError{message: fmt.Sprintf(format, args...)}
	if cmd != nil {
		e.path = cmd.CommandPath()
	}
	return e
}

// exitError ends with a status after everything was said.
type exitError struct{ status int }

func (e *exitError) Error() string { return fmt.Sprint("exit status ", e.status) }

// invalid is an error about what the user gave: it exits with status 2.
func invalid(format string, args ...any) error {
	return &invalidError{fmt.Errorf(format, args...)}
}

// invalidError matches control.ErrInvalid without its words.
type invalidError struct{ error }

func (e *invalidError) Unwrap() error        { return e.error }
func (e *invalidError) Is(target error) bool { return target == control.ErrInvalid }

// notBuilt answers for a function that App lacks.
func notBuilt(verb string) error {
	return fmt.Errorf("%w: this build of ironpost cannot %s", control.ErrNotSupported, verb)
}

// report is the one place where errors become words and an exit status.
func (c *cli) report(err error) int {
	var exit *exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		return exit.status
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(c.stderr, "ironpost: interrupted before it was done")
		return exitFailed
	}
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	for i, line := range lines {
		if i == 0 {
			line = "ironpost: " + line
		}
		fmt.Fprintln(c.stderr, view.Printable(strings.TrimRight(line, "\r")))
	}
	if hint := mend(err); hint != "" {
		fmt.Fprintln(c.stderr, "  "+hint)
	}
	return statusOf(err)
}

func statusOf(err error) int {
	var wrong *usageError
	switch {
	case errors.As(err, &wrong), errors.Is(err, control.ErrInvalid):
		return exitUsage
	case errors.Is(err, control.ErrNotRunning):
		return exitNotRunning
	}
	return exitFailed
}

// mend says how to get over an error, "" when its own words do.
func mend(err error) string {
	var wrong *usageError
	switch {
	case errors.As(err, &wrong):
		if wrong.path == "" {
			return ""
		}
		return "see: " + wrong.path + " --help"
	case errors.Is(err, control.ErrNotRunning):
		return "start it with: ironpost run; or name its socket with --socket PATH or $" + control.SocketEnv
	case errors.Is(err, control.ErrDenied):
		return "run it with sudo, as the user of the host, or as a member of the control group"
	case errors.Is(err, context.DeadlineExceeded):
		return "the host is there but did not answer in time; its log says what keeps it"
	}
	return ""
}

// between returns a check of the number of arguments; most < 0 is any number.
func between(least, most int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least && names != "":
			return usage(cmd, "%s: %s is missing", cmd.CommandPath(), names)
		case most >= 0 && len(args) > most:
			return usage(cmd, "%s: unexpected argument %q", cmd.CommandPath(), args[most])
		}
		return nil
	}
}
