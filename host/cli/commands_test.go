//go:build linux

package cli

import (
	"errors"
	"os/exec"
	"strconv"
	"unicode"

	"github.com/rogpeppe/go-internal/testscript"
)

// exits runs a command and wants its exit status: exits 2 ironpost frobnicate.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("run %v: %v", args[1:], err)
	}
	if got != want {
		ts.Fatalf("got exit status %d, want %d", got, want)
	}
}

// harmless wants that the output so far holds nothing that acts on a terminal.
func harmless(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: harmless stdout|stderr")
	}
	for _, r := range ts.ReadFile(args[0]) {
		if r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			ts.Fatalf("%s holds %U", args[0], r)
		}
	}
}
