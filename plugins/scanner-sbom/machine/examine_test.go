package machine

import (
	"context"
	"slices"
	"testing"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/symbol"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/watch"
)

// TestExamineShared: a program of an image is read once for all of its containers, and one of a
// container's own by itself.
func TestExamineShared(t *testing.T) {
	var read []string
	m := New(Config{Examine: func(_ context.Context, findings []*match.Finding, _ match.Opener) error {
		for _, f := range findings {
			at := f.Package.Locations[0]
			read = append(read, at.Path)
			f.SymbolState = symbol.NotObserved
			if at.Path == "bin/unreadable" {
				f.SymbolState = symbol.Unknown
			}
		}
		return nil
	}})
	for _, id := range []string{"container:a", "container:b"} {
		m.seen[id] = &sighted{
			image: "image", own: func(path string) bool { return path == "bin/own" },
			view: func(context.Context) (tree.View, func() error, error) {
				return none{}, func() error { return nil }, nil
			},
		}
	}
	examine := func(id string) (out []symbol.State) {
		t.Helper()
		var findings []*match.Finding
		for _, path := range []string{"bin/shared", "bin/own", "bin/unreadable"} {
			findings = append(findings, &match.Finding{ID: "GO-1", Ref: "lib", Package: &inventory.Package{Locations: []inventory.Location{{Path: path}}}})
		}
		if err := m.Examine(t.Context(), watch.Target{ID: id}, findings); err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			out = append(out, f.SymbolState)
		}
		return out
	}
	for _, id := range []string{"container:a", "container:b"} {
		if got, want := examine(id), []symbol.State{symbol.NotObserved, symbol.NotObserved, symbol.Unknown}; !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
	}
	if want := []string{"bin/shared", "bin/own", "bin/unreadable", "bin/own", "bin/unreadable"}; !slices.Equal(read, want) {
		t.Errorf("read were %q, want %q", read, want)
	}
	if err := m.Examine(t.Context(), watch.Target{ID: "container:gone"}, nil); err == nil {
		t.Error("a container that was not looked at was examined")
	}
}
