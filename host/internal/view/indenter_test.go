package view_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/ironpost/ironpost/host/internal/view"
)

// TestIndenter: whatever the parts are in which a value comes, it looks as if it
// had come as a whole.
func TestIndenter(t *testing.T) {
	for _, raw := range indentSeeds {
		for size := 1; size <= len(raw); size++ {
			checkIndenter(t, []byte(raw), size)
		}
	}
	for _, raw := range []string{`{"a":"é 漢","b":"\u001b"}`, "[\"\u009b31m\",\"x\u202ey\"]", "[\"\x7f\",\"\U000e0001\"]\n"} {
		for size := 1; size <= len(raw); size++ {
			checkIndenter(t, []byte(raw), size)
		}
	}
}

// TestIndenterRefuses: what would act on a terminal, and what is cut off, is an error.
func TestIndenterRefuses(t *testing.T) {
	for _, raw := range []string{"", " ", "{", "[1", `"a`, `"a\"`, "\x1b[31m", "[\u009b]", "]", "{}}", "[\"\xe6\xbc"} {
		d := view.NewIndenter(&bytes.Buffer{})
		_, err := d.Write([]byte(raw))
		if err == nil && d.Close() == nil {
			t.Errorf("%q: got no error", raw)
		}
	}
	full := errors.New("full")
	if _, err := view.NewIndenter(failing{full}).Write([]byte("{}")); !errors.Is(err, full) {
		t.Errorf("got error %v, want %v", err, full)
	}
}

type failing struct{ error }

func (f failing) Write([]byte) (int, error) { return 0, f.error }

func FuzzIndenter(f *testing.F) {
	for i, raw := range indentSeeds {
		f.Add([]byte(raw), i)
	}
	f.Add([]byte("[\"\x1b[31m\x9b\xe6\xbc\u202e\\\x07\"]"), 1)
	f.Fuzz(checkIndenter)
}

func checkIndenter(t *testing.T, raw []byte, size int) {
	var out bytes.Buffer
	d := view.NewIndenter(&out)
	size = min(max(size, 1), len(raw)+1)
	var err error
	for part := raw; len(part) > 0 && err == nil; part = part[min(size, len(part)):] {
		_, err = d.Write(part[:min(size, len(part))])
	}
	if err == nil {
		err = d.Close()
	}
	for _, r := range out.String() {
		if r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			t.Errorf("%q: %q shows %U", raw, out.Bytes(), r)
		}
	}
	if !json.Valid(raw) || !utf8.Valid(raw) {
		return
	}
	want := string(view.AppendIndented(nil, view.Shown(raw), 0)) + "\n"
	if err != nil || out.String() != want {
		t.Errorf("%q in parts of %d: error %v, got\n%s\nwant\n%s", raw, size, err, out.Bytes(), want)
	}
}
