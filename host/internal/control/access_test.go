package control

import (
	"testing"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// TestEveryCallIsClassified keeps a new call from being forgotten: unclassified
// ones are refused.
func TestEveryCallIsClassified(t *testing.T) {
	change, read := actions(), readers()
	var all []string
	for _, m := range ironpostv1.Control_ServiceDesc.Methods {
		all = append(all, m.MethodName)
	}
	for _, m := range ironpostv1.Control_ServiceDesc.Streams {
		all = append(all, m.StreamName)
	}
	for _, name := range all {
		if _, changes := change[name]; changes == read[name] {
			t.Errorf("%s: it must either read or change", name)
		}
	}
	if got := len(change) + len(read); got != len(all) {
		t.Errorf("got %d calls classified, want the %d that exist", got, len(all))
	}
}
