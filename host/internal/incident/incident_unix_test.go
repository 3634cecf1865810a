//go:build unix

package incident_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ironpost/ironpost/host/internal/incident"
)

// TestPipe: a pipe in the place of a file holds nobody up.
func TestPipe(t *testing.T) {
	for _, name := range []string{"inspect.json", "incident.json", "SHA256SUMS"} {
		dir, recorded := write(t, id)
		path := filepath.Join(dir, id, name)
		remove(t, path)
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := incident.Verify(t.Context(), dir, id, recorded)
		if err != nil || got.State != incident.Changed || !strings.Contains(strings.Join(got.Faults, " "), "no plain file") {
			t.Errorf("%s: got %s, %q, %v", name, got.GetState(), got.GetFaults(), err)
		}
	}
}
