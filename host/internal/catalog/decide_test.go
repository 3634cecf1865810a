package catalog

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	digestA = strings.Repeat("a", 64)
	digestB = strings.Repeat("b", 64)
	digestC = strings.Repeat("c", 64)
)

// verdict is a Decision without its words.
type verdict struct {
	State State
	Trust Trust
	Code  Code
}

func TestDecide(t *testing.T) {
	built := Item{File: "parser-syslog", Path: "/p/parser-syslog", Name: "parser-syslog", Digest: digestA}
	builtChanged := Item{File: "parser-syslog", Path: "/q/parser-syslog", Name: "parser-syslog", Digest: digestB}
	third := Item{File: "acme", Path: "/p/acme", Name: "parser-acme", Digest: digestB}
	thirdNew := Item{File: "acme", Path: "/p/acme", Name: "parser-acme", Digest: digestC}
	thirdCopy := Item{File: "renamed", Path: "/p/renamed", Name: "parser-acme", Digest: digestB}
	sums := Sums{"parser-syslog": digestA}
	pinned := map[string]Pin{"parser-acme": {Name: "parser-acme", Digest: digestB}}
	refusal := NewRefusal(WritableFile, "o", "w", "m")

	for _, tt := range []struct {
		name   string
		items  []Item
		policy Policy
		want   []verdict
	}{
		{"built-in", []Item{built}, Policy{Sums: sums}, []verdict{{Enabled, BuiltIn, ""}}},
		{"built-in, not described yet", []Item{{File: "parser-syslog", Digest: digestA}}, Policy{Sums: sums}, []verdict{{Enabled, BuiltIn, ""}}},
		{"built-in with other bytes, first start", []Item{builtChanged}, Policy{Sums: sums}, []verdict{{Changed, NoTrust, ChangedBytes}}},
		{
			"built-in with other bytes, enabled again",
			[]Item{builtChanged},
			Policy{Sums: sums, Pins: map[string]Pin{"parser-syslog": {Digest: digestB}}},
			[]verdict{{Enabled, Pinned, ""}},
		},
		{
			"built-in upgraded, with an old pin",
			[]Item{built},
			Policy{Sums: sums, Pins: map[string]Pin{"parser-syslog": {Digest: digestC}}},
			[]verdict{{Enabled, BuiltIn, ""}},
		},
		{"built-in disabled by the file", []Item{built}, Policy{Sums: sums, Disabled: []string{"parser-syslog"}}, []verdict{{Disabled, BuiltIn, ""}}},
		{"built-in disabled by the command line", []Item{built}, Policy{Sums: sums, Off: []string{"parser-syslog"}}, []verdict{{Disabled, BuiltIn, ""}}},
		{"built-in named by enabled", []Item{built}, Policy{Sums: sums, Enabled: []string{"parser-syslog"}}, []verdict{{Enabled, BuiltIn, ""}}},
		{"built-in not named by enabled", []Item{built}, Policy{Sums: sums, Enabled: []string{"other"}}, []verdict{{Disabled, BuiltIn, ""}}},
		{"enabled names nobody", []Item{built}, Policy{Sums: sums, Enabled: []string{}}, []verdict{{Disabled, BuiltIn, ""}}},
		{
			"disabled wins over enabled",
			[]Item{built},
			Policy{Sums: sums, Enabled: []string{"parser-syslog"}, Disabled: []string{"parser-syslog"}},
			[]verdict{{Disabled, BuiltIn, ""}},
		},
		{"disabled wins over a pin", []Item{third}, Policy{Pins: pinned, Disabled: []string{"parser-acme"}}, []verdict{{Disabled, Pinned, ""}}},
		{"disabled by its file's name", []Item{third}, Policy{Pins: pinned, Disabled: []string{"acme"}}, []verdict{{Disabled, Pinned, ""}}},
		{"disabled and changed", []Item{thirdNew}, Policy{Pins: pinned, Off: []string{"parser-acme"}}, []verdict{{Disabled, NoTrust, ""}}},

		{"third party, unknown", []Item{third}, Policy{Sums: sums}, []verdict{{Discovered, NoTrust, ""}}},
		{"third party, only named by enabled", []Item{third}, Policy{Enabled: []string{"parser-acme"}}, []verdict{{Discovered, NoTrust, ""}}},
		{"third party, pinned", []Item{third}, Policy{Pins: pinned}, []verdict{{Enabled, Pinned, ""}}},
		{"third party, pinned, not named by enabled", []Item{third}, Policy{Pins: pinned, Enabled: []string{"x"}}, []verdict{{Enabled, Pinned, ""}}},
		{"third party, changed", []Item{thirdNew}, Policy{Pins: pinned}, []verdict{{Changed, NoTrust, ChangedBytes}}},
		{"third party, moved to another file", []Item{thirdCopy}, Policy{Pins: pinned}, []verdict{{Enabled, Pinned, ""}}},

		{"refused", []Item{{File: "x", Refusal: refusal}}, Policy{Sums: Sums{"x": digestA}}, []verdict{{Refused, NoTrust, WritableFile}}},
		{"no digest is never trusted", []Item{{File: "x"}}, Policy{Pins: map[string]Pin{"x": {}}, Sums: Sums{"x": ""}}, []verdict{{Discovered, NoTrust, ""}}},

		{"renamed copy of an enabled one", []Item{third, thirdCopy}, Policy{Pins: pinned}, []verdict{{Enabled, Pinned, ""}, {Refused, NoTrust, NameTaken}}},
		{
			"renamed copy of a built-in",
			[]Item{{File: "a-copy", Path: "/p/a-copy", Name: "parser-syslog", Digest: digestA}, built},
			Policy{Sums: sums},
			[]verdict{{Refused, NoTrust, NameTaken}, {Enabled, BuiltIn, ""}},
		},
		{
			"impostor before the built-in",
			[]Item{{File: "a-evil", Path: "/p/a-evil", Name: "parser-syslog", Digest: digestC}, built},
			Policy{Sums: sums},
			[]verdict{{Refused, NoTrust, NameTaken}, {Enabled, BuiltIn, ""}},
		},
		{
			"impostor before the pinned",
			[]Item{{File: "a-evil", Path: "/p/a-evil", Name: "parser-acme", Digest: digestC}, third},
			Policy{Pins: pinned},
			[]verdict{{Refused, NoTrust, NameTaken}, {Enabled, Pinned, ""}},
		},
		{
			"same built-in in two directories",
			[]Item{built, {File: "parser-syslog", Path: "/q/parser-syslog", Name: "parser-syslog", Digest: digestA}},
			Policy{Sums: sums},
			[]verdict{{Enabled, BuiltIn, ""}, {Refused, NoTrust, NameTaken}},
		},
		{
			"listed name with other bytes beside the right one",
			[]Item{builtChanged, built},
			Policy{Sums: sums},
			[]verdict{{Changed, NoTrust, ChangedBytes}, {Enabled, BuiltIn, ""}},
		},
		{
			"name of a disabled one",
			[]Item{built, {File: "evil", Path: "/p/evil", Name: "parser-syslog", Digest: digestC}},
			Policy{Sums: sums, Disabled: []string{"parser-syslog"}},
			[]verdict{{Disabled, BuiltIn, ""}, {Disabled, NoTrust, ""}},
		},
		{"nothing", nil, Policy{}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []verdict
			decisions := Decide(tt.items, tt.policy)
			for _, d := range decisions {
				v := verdict{State: d.State, Trust: d.Trust}
				if d.Refusal != nil {
					v.Code = d.Refusal.Code
				}
				got = append(got, v)
				explained := d.Refusal != nil && d.Refusal.Rule != "" || d.Reason != "" || d.State == Enabled
				if !explained {
					t.Errorf("%s has no reason", d.State)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("decisions (-want +got):\n%s", diff)
			}
			if again := Decide(tt.items, tt.policy); !cmp.Equal(decisions, again) {
				t.Error("Decide is not pure: another call gives another result")
			}
		})
	}
}

func TestTable(t *testing.T) {
	var last Code
	for _, r := range Table() {
		if r.Code <= last {
			t.Errorf("%s comes after %s", r.Code, last)
		}
		last = r.Code
		if r.Rule == "" || r.Why == "" || r.Mend == "" {
			t.Errorf("%s has an empty part: %+v", r.Code, r)
		}
	}
}

func TestParseSums(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     Sums
		line     string // of the error
	}{
		{"text and binary", digestA + "  one\n" + strings.ToUpper(digestB) + " *two\r\n\n", Sums{"one": digestA, "two": digestB}, ""},
		{"no last newline", digestA + "  one", Sums{"one": digestA}, ""},
		{"name with blanks", digestA + "  one two", Sums{"one two": digestA}, ""},
		{"empty", "", Sums{}, ""},
		{"same twice", digestA + "  one\n" + digestA + "  one\n", Sums{"one": digestA}, ""},
		{"conflict", digestA + "  one\n" + digestB + "  one\n", nil, "line 2"},
		{"short", "abc  one\n", nil, "line 1"},
		{"not hex", strings.Repeat("g", 64) + "  one\n", nil, "line 1"},
		{"no name", digestA + "  \n", nil, "line 1"},
		{"path", digestA + "  ../one\n", nil, "line 1"},
		{"dots", digestA + "  ..\n", nil, "line 1"},
		{"escaped", `\` + digestA + "  a\\\\b\n", nil, "line 1"},
		{"control character", digestA + "  a\x1bb\n", nil, "line 1"},
		{"long line", digestA + "  one\n" + strings.Repeat("x", 5000), nil, "line 2"},
		{"long name", digestA + "  " + strings.Repeat("x", maxFileName+1), nil, "line 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseSums(strings.NewReader(tt.in))
			if tt.line == "" && err != nil || tt.line != "" && (err == nil || !strings.Contains(err.Error(), tt.line)) {
				t.Errorf("error: got %v, want %q", err, tt.line)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("sums (-want +got):\n%s", diff)
			}
		})
	}
	big := strings.Repeat(digestA+"  one\n", maxSums/69+2)
	if _, err := ParseSums(strings.NewReader(big)); err == nil {
		t.Error("a file over the limit: got no error")
	}
}

func FuzzParseSums(f *testing.F) {
	f.Add([]byte(digestA + "  one\n" + digestB + " *two\r\n"))
	f.Add([]byte(`\` + digestA + "  a\\nb\n"))
	f.Add([]byte("\x00\xff\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		sums, err := ParseSums(strings.NewReader(string(data)))
		if err != nil {
			return
		}
		var lines []string
		for name, digest := range sums {
			if !ValidDigest(digest) || name == "" || strings.ContainsAny(name, "/\\\n\x00") {
				t.Errorf("got %q for %q", digest, name)
			}
			lines = append(lines, digest+"  "+name+"\n")
		}
		slices.Sort(lines)
		again, err := ParseSums(strings.NewReader(strings.Join(lines, "")))
		if err != nil || !cmp.Equal(sums, again) {
			t.Errorf("written and read again: got %v, %v, want %v", again, err, sums)
		}
	})
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"/usr/lib/x":  "/usr/lib/x",
		"":            "''",
		"a b":         "'a b'",
		"it's $(x)":   `'it'\''s $(x)'`,
		"a\nb'\x1b[2": `$'a\x0ab\'\x1b[2'`,
	} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q): got %s, want %s", in, got, want)
		}
	}
}
