package event

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestInventoryID holds the id to what sha256sum says: stores know packages by it.
func TestInventoryID(t *testing.T) {
	// printf 'host\0pkg:npm/p@1' | sha256sum
	if got, want := InventoryID("host", "pkg:npm/p@1"), "f64e79143b055386d7408e27dcd20fba"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCloneOfInventorySharesNothing(t *testing.T) {
	stream := &Stream{ID: 1}
	made := func() *InventoryEvent {
		return &InventoryEvent{
			Stream: stream, Target: "host", Licenses: []string{"MIT"}, Locations: []string{"/a"},
			Findings: []Finding{{ID: "GHSA-1", Aliases: []string{"CVE-1"}}},
		}
	}
	e := made()
	c := e.Clone()
	e.Licenses[0], e.Locations[0], e.Findings[0].ID, e.Findings[0].Aliases[0] = "x", "x", "x", "x"
	if diff := cmp.Diff(made(), c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
