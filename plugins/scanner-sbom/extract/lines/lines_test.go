package lines_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract/lines"
)

func TestNext(t *testing.T) {
	whole, long := strings.Repeat("w", lines.Max), strings.Repeat("l", lines.Max+1)
	text := "a\r\n\n" + whole + "\n" + long + strings.Repeat("x", 3*lines.Max) + "\nlast"
	r := lines.New(strings.NewReader(text))
	for i, want := range []struct {
		line string
		cut  bool
	}{{"a", false}, {"", false}, {whole, false}, {long[:lines.Max], true}, {"last", false}} {
		line, cut, err := r.Next()
		if string(line) != want.line || cut != want.cut || err != nil || r.Number() != i+1 {
			t.Errorf("line %d: got %d bytes, cut %t, error %v, number %d; want %d bytes, cut %t", i+1, len(line), cut, err, r.Number(), len(want.line), want.cut)
		}
	}
	if _, _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: got error %v, want %v", err, io.EOF)
	}
	broken := errors.New("broken")
	if _, _, err := lines.New(iotest.ErrReader(broken)).Next(); !errors.Is(err, broken) {
		t.Errorf("got error %v, want %v", err, broken)
	}
}
