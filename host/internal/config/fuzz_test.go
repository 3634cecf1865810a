package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzLoad feeds files and variables: whatever they hold, Load returns, its
// problems are readable, and what it accepts can be handed on.
func FuzzLoad(f *testing.F) {
	example, err := os.ReadFile(exampleFile)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(example), "", "[bus]\ncredits = 5", "bus.credits = 5", "bus = {credits = 5}", "[[bus]]", "[bus\n",
		"[storage]\nhosts = ['a', \"b\"]\ntls.verify = false\n[storage.labels]\n'a.b' = 'c'",
		"[a]\n[[a.b]]\nc = [{d = [1, 2.5, inf, nan, 1979-05-27, 07:32:00]}]\n[[a.b]]\nc = 1",
		"x = '''\n'''\ny = \"\"\"\\u0000\"\"\"", "[storage]\nratio = nan", "\xef\xbb\xbf[bus]", "[bus]\n\"\\u001b\" = 1",
		"a." + strings.Repeat("a.", 50) + "a = 1", "x = " + strings.Repeat("[", 100), "[log_pipeline.routes]\n'' = ''",
		"[storage]\ntimeout = '9223372036854775807d'\ncache = '99999999TiB'\npassword = 'env:IRONPOST_X'",
	} {
		f.Add([]byte(seed), "IRONPOST_BUS_CREDITS=5")
	}
	f.Add([]byte(""), "IRONPOST_STORAGE_LABELS=a=b,c=d,=")
	f.Add([]byte(""), "IRONPOST_\x1b[31m=\xff")
	path := filepath.Join(f.TempDir(), "ironpost.toml")
	f.Fuzz(func(t *testing.T, content []byte, variable string) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		o := Options{File: path, Env: []string{variable}, Known: []Section{storage()}}
		c, err := Load(o)
		var ps Problems
		if err != nil && !errors.As(err, &ps) {
			t.Fatalf("the error is no Problems but %T: %v", err, err)
		}
		if (c == nil) == (err == nil) {
			t.Fatalf("got configuration %v and error %v", c, err)
		}
		lines := strings.Count(string(content), "\n") + 1
		if c != nil {
			ps = c.Problems()
		}
		for _, p := range ps {
			if p.Line < 0 || p.Line > lines || p.Kind == FromFile && p.Line == 0 {
				t.Errorf("line %d of %d: %v", p.Line, lines, p)
			}
			if s := p.Error(); !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
				t.Errorf("not plain text: %q", s)
			}
		}
		if c == nil {
			return
		}
		if b, err := c.SectionJSON("storage"); err == nil && !json.Valid(b) {
			t.Errorf("not JSON: %s", b)
		}
		if _, err := json.Marshal(c.Origins()); err != nil {
			t.Errorf("encode origins: %v", err)
		}
		again := mustLoad(t, o)
		if changes := Diff(c, again); changes != nil {
			t.Errorf("loaded twice, it differs: %v", changes)
		}
	})
}
