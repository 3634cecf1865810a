//go:build amd64 || arm64

package shim

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOutermost(t *testing.T) {
	got := outermost([]string{"/var/log/audit", "/srv/a", "/var/log", "/srv/ab", "/var/log", "/srv/a/c"})
	if diff := cmp.Diff([]string{"/srv/a", "/srv/ab", "/var/log"}, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}
