package view

import (
	"testing"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestWriterLeavesOutWhatIsEmpty(t *testing.T) {
	w := NewWriter([]byte("x"))
	w.Open("")
	w.Text("none", "")
	w.Open("empty")
	w.OpenList("list")
	w.Open("")
	w.Close()
	w.CloseList()
	w.Close()
	w.Text("a", "1\n\u202e")
	w.Open("o")
	w.Int("zero", 0)
	w.Count("many", 1<<63)
	w.Hex("hex", []byte{1, 255})
	w.Time("time", 0)
	w.Time("then", 1e9)
	w.Close()
	w.Open("gone")
	w.Close()
	w.Texts("texts", []string{"", "b", "c"})
	w.Fields("fields", []*ironpostv1.Field{{Key: "k", Value: "1"}, {Key: "", Value: "2"}, {Key: "k", Value: "3"}})
	w.Fields("nameless", []*ironpostv1.Field{{Value: "2"}})
	w.Bool("yes", true)
	w.Close()
	want := `x{"a":"1\n\u202e","o":{"zero":0,"many":9223372036854775807,"hex":"01ff","then":"1970-01-01T00:00:01Z"},` +
		`"texts":["b","c"],"fields":{"k":"1"},"yes":true}`
	if got := string(w.Bytes()); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

// TestFingerprints tells alerts about the same thing from others.
func TestFingerprints(t *testing.T) {
	entities := func(pairs ...string) (out []*ironpostv1.Field) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, &ironpostv1.Field{Key: pairs[i], Value: pairs[i+1]})
		}
		return out
	}
	one := &ironpostv1.AlertEvent{RuleId: "r", Group: "g", Entities: entities("a", "1"), Id: "x", Count: 1}
	for _, test := range []struct {
		name  string
		a, b  *ironpostv1.AlertEvent
		alike bool
	}{
		{"another alert of the group", one, &ironpostv1.AlertEvent{RuleId: "r", Group: "g", Entities: entities("a", "2"), Id: "y", Count: 5}, true},
		{"another group", one, &ironpostv1.AlertEvent{RuleId: "r", Group: "h", Entities: entities("a", "1")}, false},
		{"another rule", one, &ironpostv1.AlertEvent{RuleId: "s", Group: "g", Entities: entities("a", "1")}, false},
		{"rule and group shifted", &ironpostv1.AlertEvent{RuleId: "rg"}, &ironpostv1.AlertEvent{RuleId: "r", Group: "g"}, false},
		{"no group, other entities", &ironpostv1.AlertEvent{RuleId: "r", Entities: entities("a", "1")}, &ironpostv1.AlertEvent{RuleId: "r", Entities: entities("a", "2")}, false},
		{"no group, the same in another order", &ironpostv1.AlertEvent{RuleId: "r", Entities: entities("a", "1", "b", "2")}, &ironpostv1.AlertEvent{RuleId: "r", Entities: entities("b", "2", "a", "1")}, true},
	} {
		if a, b := Fingerprint(test.a), Fingerprint(test.b); (a == b) != test.alike || len(a) != 12 {
			t.Errorf("%s: got %s and %s, alike: want %v", test.name, a, b, test.alike)
		}
	}
}
