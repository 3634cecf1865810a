package document

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzAppendString holds strings to those of encoding/json.
func FuzzAppendString(f *testing.F) {
	for c := range rune(0x100) {
		f.Add(strings.Repeat("a", int(c)%9) + string(c) + "0123456789")
		f.Add(string([]byte{byte(c), 'x'}))
	}
	f.Add("\u2028\u2029\u2027\ufffd\U0010ffff")
	f.Fuzz(func(t *testing.T, s string) {
		var want bytes.Buffer
		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(s); err != nil {
			t.Fatal(err)
		}
		for _, got := range [][]byte{appendString(nil, s), appendString(nil, []byte(s))} {
			if string(got)+"\n" != want.String() {
				t.Errorf("got %s, want %s", got, want.String())
			}
		}
		if !utf8.Valid(appendString(nil, s)) {
			t.Errorf("got no UTF-8 for %q", s)
		}
	})
}
