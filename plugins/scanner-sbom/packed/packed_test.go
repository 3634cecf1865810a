package packed_test

import (
	"slices"
	"testing"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/packed"
)

// What is read can be written, and is read the same again; nothing makes more of the
// bytes than there are.
func FuzzReader(f *testing.F) {
	var w packed.Writer
	w.Number(1 << 40)
	w.Signed(-7)
	w.Text("text")
	w.Texts([]string{"a", "", "b"})
	w.Flag(true)
	w.Texts(nil)
	f.Add(string(w.Out))
	f.Add("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
	f.Add("\x80\x00\x80\x80\x00\x02\x00")
	type all struct {
		number uint64
		signed int64
		text   string
		texts  []string
		flag   bool
		bad    bool
	}
	read := func(s string) all {
		r := packed.Reader{In: s}
		out := all{r.Number(), r.Signed(), r.Text(), r.Texts(), r.Flag(), false}
		out.bad = r.Bad
		return out
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := read(s)
		if len(got.text) > len(s) || len(got.texts) > len(s) {
			t.Fatalf("%q gives a text of %d bytes and %d texts", s, len(got.text), len(got.texts))
		}
		if got.bad {
			return
		}
		var w packed.Writer
		w.Number(got.number)
		w.Signed(got.signed)
		w.Text(got.text)
		w.Texts(got.texts)
		w.Flag(got.flag)
		again := read(string(w.Out))
		if again.number != got.number || again.signed != got.signed || again.text != got.text || !slices.Equal(again.texts, got.texts) || (again.texts == nil) != (got.texts == nil) || again.flag != got.flag || again.bad {
			t.Errorf("%q is read as %+v, and what is written of it as %+v", s, got, again)
		}
	})
}
