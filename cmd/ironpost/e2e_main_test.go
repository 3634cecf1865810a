package main_test

import (
	"flag"
	"os"
	"strconv"
	"testing"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// atOnce is how many tests run at once where there are fewer processors: they wait
// for processes, for times to live and for Docker, more than they compute.
const atOnce = 4

// TestMain builds the host and every plugin once for all end-to-end tests.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f != nil && f.Value.String() == f.DefValue {
		if n, err := strconv.Atoi(f.DefValue); err == nil && n < atOnce {
			_ = flag.Set("test.parallel", strconv.Itoa(atOnce)) // it is there, and takes numbers
		}
	}
	os.Exit(hosttest.Main(m))
}
