package nesting_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/nesting"
)

// levels returns how deep a text goes, as one of the functions says.
func levels(t *testing.T, text string, beyond func(text string, most int) int) int {
	t.Helper()
	for most := 0; ; most++ {
		at := beyond(text, most)
		if at < 0 || at > len(text) {
			t.Fatalf("%q goes beyond %d at %d, which is outside", text, most, at)
		}
		if at == 0 {
			return most
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, seed := range []string{``, `[[]]`, `{"a":[{"]":"\"]"}]}`, `["\\",[[]]]`, `]]]][[[[`, "\"\n[[[", `{"\u005d":[1,2,{}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := levels(t, string(text), nesting.JSON[string])
		if !json.Valid(text) {
			return
		}
		depth, want := 0, 0
		for d := json.NewDecoder(bytes.NewReader(text)); ; {
			token, err := d.Token()
			if err != nil {
				break
			}
			switch token {
			case json.Delim('['), json.Delim('{'):
				depth++
				want = max(want, depth)
			case json.Delim(']'), json.Delim('}'):
				depth--
			}
		}
		if got != want {
			t.Errorf("%q: %d levels, and the decoder has %d", text, got, want)
		}
	})
}

// What the decoder opens before it finds a mistake is counted, so that it can go no
// deeper than is said.
func FuzzXML(f *testing.F) {
	for _, seed := range []string{
		``, `<a><b/></a>`, `<a b='>'/><c>`, `<!-- <a> --><a><![CDATA[<b>]]></a>`, `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "<c>">]><a>&b;</a>`,
		`</a></a><a><a>`, `<a b="/>"><c d='"'/></a>`, `<a/ ><b></b>`, "<a\n/>", `<a:b xmlns:a="<"/>`, `<a><!-></a>`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := levels(t, string(text), nesting.XML)
		d := xml.NewDecoder(bytes.NewReader(text))
		depth, want := 0, 0
		for {
			token, err := d.RawToken()
			if err != nil {
				break
			}
			switch token.(type) {
			case xml.StartElement:
				depth++
				want = max(want, depth)
			case xml.EndElement:
				depth = max(0, depth-1)
			}
		}
		if got < want {
			t.Errorf("%q: %d levels, and the decoder has %d", text, got, want)
		}
	})
}

// The table of a line, its key and its value have levels of their own, and a decoder
// goes into one at a time.
func FuzzTOML(f *testing.F) {
	for _, seed := range []string{
		``, "a = [[1], ['[']]", "[a.b.c]\nd.e = {f = [1]}\n", "[[a]]\nb = \"\"\"\n[[[\\\"\"\"\"\"\n[c]\n", "a = '''\n]]]'''\n# [[[\nb = [ # ]\n[ ] ]", "\"a.b\".'c.d' = 1.5e3\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := levels(t, string(text), nesting.TOML)
		if strings.Count(string(text), "[")+strings.Count(string(text), "{") > 1000 {
			return // the decoder calls itself for each
		}
		var root map[string]any
		if _, err := toml.Decode(string(text), &root); err != nil {
			return
		}
		if want := depth(root) - 1; want > 4*got {
			t.Errorf("%q: %d levels, and the decoder makes %d", text, got, want)
		}
	})
}

func depth(v any) (deepest int) {
	switch v := v.(type) {
	case map[string]any:
		for _, one := range v {
			deepest = max(deepest, depth(one))
		}
	case []map[string]any:
		for _, one := range v {
			deepest = max(deepest, depth(one))
		}
	case []any:
		for _, one := range v {
			deepest = max(deepest, depth(one))
		}
	default:
		return 0
	}
	return deepest + 1
}
