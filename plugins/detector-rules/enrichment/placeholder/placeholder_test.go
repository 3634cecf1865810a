package placeholder

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got, err := ParseLines("admins", []byte("\ufeff# who may\r\nroot\r\n\n  svc_*  \nwith blanks\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Values{"admins": {"root", "svc_*", "with blanks"}}, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	got, err = ParseYAML([]byte("admins: [root, '#x', 7]\none: value\n---\nmore: ['']\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Values{"admins": {"root", "#x", "7"}, "one": {"value"}, "more": {""}}, got); diff != "" {
		t.Errorf("YAML (-want +got):\n%s", diff)
	}
	if got.Bytes() <= 0 {
		t.Error("values take no memory")
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name, file, in, want string
	}{
		{"a name", "my-users", "a\n", `"my-users" is no name of a placeholder, which is letters, digits and underlines`},
		{"no value", "users", "# x\n", "it holds no value; a rule with %users% would be rejected"},
		{"a long value", "users", "a\n" + strings.Repeat("x", 4097), "line 2: the value has 4097 bytes, at most 4096 are read"},
		{"many values", "users", strings.Repeat("a\n", MaxValues+1), "line 20001: it has more than 20000 values"},
		{"YAML: wrong", "", "a: [\n", "line 1: it is no YAML: did not find expected node content"},
		{"YAML: a list", "", "- a\n", "line 1: it is a list; write a mapping from names to lists of values"},
		{"YAML: a name", "", "a: b\nmy-users: c\n", `line 2: "my-users" is no name of a placeholder, which is letters, digits and underlines`},
		{"YAML: twice", "", "a: b\na: c\n", "line 2: the placeholder a stands twice; join its values"},
		{"YAML: a mapping", "", "a: {b: c}\n", "line 1: the value of a is a mapping; write a list"},
		{"YAML: a list of lists", "", "a:\n- b\n- [c]\n", "line 3: a value of a is a list; write a text"},
		{"YAML: null", "", "a:\n", "line 1: a value of a is empty; write a text"},
		{"YAML: no values", "", "a: []\n", "line 1: a has no value; a rule with %a% would be rejected"},
		{"YAML: nothing", "", "# x\n", "it holds no placeholder"},
		{"YAML: an alias", "", "a: &x b\nc: *x\n", `line 2: the value of c is "x"; write a list`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var err error
			if tt.file != "" {
				_, err = ParseLines(tt.file, []byte(tt.in))
			} else {
				_, err = ParseYAML([]byte(tt.in))
			}
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a\nb\n", "a: [b, c]", "a: &x b\nc: *x", "\xff\x00", "? [a]\n: b", "a: !!binary b", "#\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		lines, err := ParseLines("name", b)
		if err == nil && len(lines["name"]) == 0 {
			t.Errorf("%q: no values were taken", b)
		}
		values, err := ParseYAML(b)
		if err != nil && len(err.Error()) > 600 {
			t.Errorf("the error takes %d bytes", len(err.Error()))
		}
		for name, v := range values {
			if CheckName(name) != nil || len(v) == 0 {
				t.Errorf("%q: %q with %d values was taken", b, name, len(v))
			}
		}
	})
}
