package pattern

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// compiled returns the first pattern of a file that begins with a letter.
func compiled(t testing.TB, file *File) *pattern {
	t.Helper()
	set, problem := Compile(file)
	if problem != nil {
		t.Fatal(problem)
	}
	section := &set.programs["p"].sections[0]
	return section.groups[section.first[file.entries[0].texts[0].value[0]]][0].pattern
}

func TestAnchors(t *testing.T) {
	for _, tc := range []struct {
		name, pattern, more string
		want                []string
		none                bool
	}{
		{name: "address after text", pattern: "by <u> from <src_ip>[: <_>]", want: []string{" from "}},
		{name: "port after the address", pattern: "by <u> from <src_ip> port <src_port>[: <_>]", want: []string{" from ", " port "}},
		{name: "from the start on", pattern: "by <a:int>:<src_ip> <_> x", want: []string{":"}},
		{name: "text to the end", pattern: "by <u> : [A=<a> ; ][B=<b> ; ]C=<c>", more: "    guard: c\n", want: []string{"C="}},
		{name: "text between texts", pattern: "by <a> to <b> of <c>", more: "    guard: [b]\n", want: []string{" to ", " of "}},
		{name: "word", pattern: "by <u> as <a:word> to <b>", more: "    guard: [a]\n", want: []string{" as "}},
		{name: "nothing guarded", pattern: "by <a> to <b>"},
		{name: "in an optional part", pattern: "by <a>[ from <src_ip>] to <b>", none: true},
		{name: "before an optional part", pattern: "by <a>[ to <b>]", more: "    guard: [a]\n", none: true},
		{name: "after an optional part", pattern: "by [x]<src_ip> <_> to <b>", none: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := compiled(t, fileOf(t, tc.pattern, tc.more))
			got, ok := p.anchorsOf(p.guard)
			if diff := cmp.Diff(tc.want, got); diff != "" || ok == tc.none {
				t.Errorf("%q: got %v, anchors (-want +got):\n%s", tc.pattern, ok, diff)
			}
		})
	}
}

// FuzzAnchors holds messages whose anchors say that what is guarded has one place
// to the search for a second reading.
func FuzzAnchors(f *testing.F) {
	patterns := []struct{ text, more string }{
		{"by <u> from <src_ip> port <src_port>[ ssh2][: <v>]", ""},
		{"by <u:word> : [A=<a> ; ][B=<b> ; ]C=<c>", "    guard: c\n"},
		{"by <a> to <b> of <c>", "    guard: [b]\n"},
		{"by <u> as <src:host> to <b>[, <_>]", ""},
		{"by <u?> <src_ip>:<src_port> <_>", ""},
	}
	for i := range patterns {
		for _, message := range []string{
			"x from 192.0.2.7 port 22 ssh2: y from 198.51.100.8 port 22", "u : A=1 ; B=2 ; C=3 ; C=4", "u : A=1 ; B=2 ; B=3 ; C=4", "x to y of z of a to b",
			"x as 192.0.2.7 to y, as ::1 to z", " 192.0.2.7:80 x 192.0.2.8:80 ", "x 192.0.2.7:80 1.2.3.4:5 x",
		} {
			f.Add(uint8(i), message)
		}
	}
	var all []*pattern
	for _, p := range patterns {
		all = append(all, compiled(f, fileOf(f, p.text, p.more)))
	}
	f.Fuzz(func(t *testing.T, which uint8, message string) {
		p := all[int(which)%len(all)]
		message = "by " + message
		var quick, full matcher
		quick.begin(p, message, false)
		other := *p
		other.anchored = false
		full.begin(&other, message, false)
		a, b := quick.match(), full.match()
		if full.steps > MaxSteps {
			return // which the anchors spare
		}
		if a != b || a && *quick.reading() != *full.reading() || quick.unclear&p.guard != full.unclear&p.guard {
			t.Fatalf("%q over %q: got %v, %+v, without anchors %v, %+v", patterns[int(which)%len(all)].text, message, a, quick.reading(), b, full.reading())
		}
	})
}
