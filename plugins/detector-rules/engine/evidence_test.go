package engine

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// An alert names what of its rule's condition held, by the names that the author gave.
func TestPartsThatHold(t *testing.T) {
	tests := map[string]*sigma.Test{}
	leaf := func(label string) *sigma.Expr {
		if tests[label] == nil {
			tests[label] = &sigma.Test{Field: label}
		}
		return &sigma.Expr{Op: sigma.Leaf, Label: label, Test: tests[label]}
	}
	join := func(op sigma.Op, label string, subs ...*sigma.Expr) *sigma.Expr {
		return &sigma.Expr{Op: op, Label: label, Subs: subs}
	}
	selection := join(sigma.And, "s", leaf("a"), leaf("b"))
	values := join(sigma.Or, "v", &sigma.Expr{Op: sigma.Leaf, Test: leaf("c").Test}, &sigma.Expr{Op: sigma.Leaf, Test: leaf("d").Test})
	for _, c := range []struct {
		name string
		x    *sigma.Expr
		hold string
		want []string
	}{
		{"all", selection, "ab", []string{"s.a", "s.b"}},
		{"a part does not hold", selection, "a", nil},
		{"one of two", join(sigma.Or, "", selection, leaf("e")), "ae", []string{"e"}},
		{"both of two", join(sigma.Or, "", selection, leaf("e")), "abe", []string{"s.a", "s.b", "e"}},
		{"one of several values", values, "d", []string{"v"}},
		{"no value", values, "a", nil},
		{"what is absent is not named", join(sigma.And, "", leaf("e"), join(sigma.Not, "n", leaf("f"))), "e", []string{"e"}},
		{"what should be absent is there", join(sigma.And, "", leaf("e"), join(sigma.Not, "n", leaf("f"))), "ef", nil},
		{"the same twice", join(sigma.Or, "", leaf("e"), join(sigma.And, "", leaf("e"), leaf("f"))), "ef", []string{"e", "f"}},
		{"without names", join(sigma.Or, "", &sigma.Expr{Op: sigma.Leaf, Test: leaf("c").Test}, leaf("e")), "ce", []string{"e"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			holding := map[*sigma.Test]bool{}
			for _, label := range c.hold {
				holding[leaf(string(label)).Test] = true
			}
			holds := func(test *sigma.Test) bool { return holding[test] }
			var w evidence
			got := w.collect(c.x, "", holds)
			if want := decide(c.x, holds); got != want {
				t.Errorf("got %t, want %t", got, want)
			}
			if len(w.names) == 0 {
				w.names = nil
			}
			if diff := cmp.Diff(c.want, w.names); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
