package view_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/ironpost/ironpost/host/internal/view"
)

// TestAppendIndented: the form is that of encoding/json.
func TestAppendIndented(t *testing.T) {
	for _, raw := range indentSeeds {
		checkIndented(t, []byte(raw))
	}
	if got := string(view.AppendIndented([]byte("x"), []byte(`{"a":[1,2]}`), 1)); got != "x{\n    \"a\": [\n      1,\n      2\n    ]\n  }" {
		t.Errorf("one level deep: got %q", got)
	}
}

var indentSeeds = []string{
	`{}`, `[]`, ` [ ] `, `null`, `"text"`, `""`, `-1.5e+7`,
	`{"a":{},"b":[[],[{}]],"c":"d"}`,
	`["\"","\\","\\\"","\\\\","{[,:]}","\u0000"]`,
	"{\n \"a\" : [ 1 ,\t2 ] }\r\n",
	`{"":"","\\":{"\"":[true,false,null]}}`,
}

func FuzzAppendIndented(f *testing.F) {
	for _, raw := range indentSeeds {
		f.Add([]byte(raw))
	}
	f.Fuzz(checkIndented)
}

func checkIndented(t *testing.T, raw []byte) {
	got := view.AppendIndented(nil, raw, 0) // whatever the bytes
	if !json.Valid(raw) {
		return
	}
	var want bytes.Buffer
	if err := json.Indent(&want, bytes.TrimSpace(raw), "", "  "); err != nil {
		t.Fatal(err)
	}
	if string(got) != want.String() {
		t.Errorf("%q: got\n%s\nwant\n%s", raw, got, want.Bytes())
	}
}
