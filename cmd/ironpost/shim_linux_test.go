package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// TestTheShimIsAheadOfTheHost starts the program as the shim of a plugin, without
// a plan, and looks at what was initialised before it found out: nothing that takes
// a plugin's start time. It fails when the shim imports a package that comes later.
func TestTheShimIsAheadOfTheHost(t *testing.T) {
	cmd := exec.Command(filepath.Join(hosttest.Build(), "ironpost"))
	cmd.Args = []string{"ironpost-sandbox", "99"}
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "set up the plugin sandbox") {
		t.Fatalf("got %v and %s, want that it misses its plan", err, out)
	}
	// The lines of the trace, one for each package (runtime package, GODEBUG).
	early := regexp.MustCompile(`(?m)^init (\S+) @`).FindAllStringSubmatch(string(out), -1)
	if len(early) == 0 {
		t.Fatalf("no trace in %s", out)
	}
	heavy := regexp.MustCompile(`^(net|net/.*|github\.com/(ironpost|prometheus|hashicorp|cilium)/.*|google\.golang\.org/(grpc|protobuf/(types|reflect))(/.*)?)$`)
	for _, e := range early {
		if heavy.MatchString(e[1]) && e[1] != "google.golang.org/grpc/internal/backoff" {
			t.Errorf("%s is initialised before the shim", e[1])
		}
	}
}
