package config

import (
	"strings"
	"testing"
)

func TestDeclarations(t *testing.T) {
	many := make([]Field, maxFields+1)
	for i := range many {
		many[i] = Field{Key: "k" + strings.Repeat("x", i%50), Type: Int}
	}
	one := func(f Field) Section { return Section{Name: "acme", Owner: "acme", Fields: []Field{f}} }
	tests := []struct {
		name    string
		section Section
		want    string // "" when it is usable
	}{
		{"no key", Section{Name: "acme", Owner: "acme"}, ""},
		{"every type", storage(), ""},
		{"dash in the name", Section{Name: "parser-acme", Owner: "acme"}, ""},
		{"name is empty", Section{Owner: "acme"}, `section name "" is not`},
		{"name with a dot", Section{Name: "a.b", Owner: "acme"}, `section name "a.b" is not`},
		{"name with upper case", Section{Name: "Acme", Owner: "acme"}, "section name Acme is not"},
		{"name too long", Section{Name: strings.Repeat("a", 65), Owner: "acme"}, "is not lower case"},
		{"no owner", Section{Name: "acme"}, "section acme has no owner"},
		{"too many keys", Section{Name: "acme", Owner: "acme", Fields: many}, "257 keys are declared, at most 256 are allowed"},
		{"key twice", Section{Name: "acme", Owner: "acme", Fields: []Field{{Key: "a", Type: Int}, {Key: "a", Type: Int}}}, "keys a and a share the variable IRONPOST_ACME_A"},
		{"keys that share a variable", Section{Name: "acme", Owner: "acme", Fields: []Field{{Key: "a.b", Type: Int}, {Key: "a_b", Type: Int}}}, "keys a.b and a_b share the variable IRONPOST_ACME_A_B"},
		{"value and table", Section{Name: "acme", Owner: "acme", Fields: []Field{{Key: "a.b", Type: Int}, {Key: "a", Type: Int}}}, "key a is a value and a table at once"},
		{"key with upper case", one(Field{Key: "Level", Type: Int}), "key Level: Level is not a lower_snake_case name"},
		{"key that begins with a digit", one(Field{Key: "2a", Type: Int}), "key 2a: 2a is not a lower_snake_case name"},
		{"empty part of a key", one(Field{Key: "a..b", Type: Int}), `key "a..b": "" is not a lower_snake_case name`},
		{"key too deep", one(Field{Key: "a.b.c.d.e", Type: Int}), "names may be 4 tables deep"},
		{"terminal escape in a key", one(Field{Key: "\x1b[2J", Type: Int}), `key "\x1b[2J"`},
		{"terminal escape in the help", one(Field{Key: "a", Type: Int, Help: "\x1b[2J"}), "key a: the help holds control characters"},
		{"unknown type", one(Field{Key: "a", Type: "number"}), "key a: unknown type number"},
		{"unknown format", one(Field{Key: "a", Type: String, Format: "mail"}), "key a: unknown format mail"},
		{"enum of numbers", one(Field{Key: "a", Type: Int, Enum: []string{"1"}}), "type int can not have a list of values"},
		{"bounds of a bool", one(Field{Key: "a", Type: Bool, Min: "0"}), "a bool has no bounds"},
		{"bound that is no number", one(Field{Key: "a", Type: Int, Min: "x"}), "key a: bound x"},
		{"min above max", one(Field{Key: "a", Type: Duration, Min: "2s", Max: "1s"}), "min 2s is above max 1s"},
		{"min above max of a float", one(Field{Key: "a", Type: Float, Min: "2", Max: "1"}), "min 2 is above max 1"},
		{"default out of range", one(Field{Key: "a", Type: Int, Max: "5", Default: "6"}), "key a: default: 6 is out of range"},
		{"default of another type", one(Field{Key: "a", Type: Int, Default: "x"}), `key a: default: "x" is not a whole number`},
		{"default not among the values", one(Field{Key: "a", Type: String, Enum: []string{"b"}, Default: "c"}), `key a: default: "c" is not known`},
		{"secret number", one(Field{Key: "a", Type: Int, Secret: true}), "only a string can be secret"},
		{"secret default that would have the host read a file", one(Field{Key: "a", Type: String, Secret: true, Default: "file:/etc/shadow"}), "a secret has neither a default"},
		{"help too long", one(Field{Key: "a", Type: Int, Help: strings.Repeat("x", maxHelp+1)}), "1024 of help"},
		{"unread, whatever it declares", Section{Name: "acme", Owner: "acme", Unread: true, Fields: many}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.section.Validate()
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	t.Run("the host's own", func(t *testing.T) {
		for _, s := range HostSections() {
			if err := s.Validate(); err != nil {
				t.Errorf("[%s]: %v", s.Name, err)
			}
			for _, f := range s.Fields {
				if f.Help == "" {
					t.Errorf("%s.%s has no help", s.Name, f.Key)
				}
			}
		}
	})
}

func TestNearest(t *testing.T) {
	candidates := []string{"batch_events", "batch_bytes", "credits", "mode", "ttl"}
	tests := []struct{ word, want string }{
		{"credit", "credits"},
		{"cerdits", "credits"},
		{"CREDITS", "credits"},
		{"batch_event", "batch_events"},
		{"mod", "mode"},
		{"tll", "ttl"},
		{"interface", ""},
		{"", ""},
		{"x", ""},
		{strings.Repeat("credits", 100), ""},
	}
	for _, tt := range tests {
		if got := nearest(tt.word, candidates); got != tt.want {
			t.Errorf("nearest(%q): got %q, want %q", tt.word, got, tt.want)
		}
	}
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q): got %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
