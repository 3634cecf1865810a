package pipeline

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

func TestReadDocument(t *testing.T) {
	long := `{"a": "` + strings.Repeat("x", event.MaxRecord) + `"}`
	for _, c := range []struct {
		name, text string
		want       []string
		cut        int
	}{
		{"several lines", "{\n  \"a\": [1, {\"b\": \"} {\"}]\r\n}\n", []string{`{"a":[1,{"b":"} {"}]}`}, 0},
		{"one after the other", "{\"a\":1}{\"b\":2}\n\n{\"c\":3}", []string{`{"a":1}`, `{"b":2}`, `{"c":3}`}, 0},
		{"a list", "[{\"a\":1},\n {\"b\":2}]\n", []string{`{"a":1}`, `{"b":2}`}, 0},
		{"a byte order mark", "\ufeff{\"a\":1}", []string{`{"a":1}`}, 0},
		{"quotes and backslashes", `{"a": "\" \\", "b": "c:\\"}`, []string{`{"a":"\" \\","b":"c:\\"}`}, 0},
		{"half of one", "{\"a\":1}\n{\"b\": ", []string{`{"a":1}`, `{"b":`}, 0},
		{"no document", "hello {}\n{\"a\":1}", []string{"hello {}", `{"a":1}`}, 0},
		{"nothing", " \n", nil, 0},
		{"a long one", long + `{"b":2}`, []string{strings.Replace(long, " ", "", 1)[:event.MaxRecord], `{"b":2}`}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := bufio.NewReader(strings.NewReader(c.text))
			var got []string
			cuts := 0
			for {
				document, cut, err := readDocument(r)
				if len(document) > 0 {
					got = append(got, string(document))
				}
				if cut {
					cuts++
				}
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(c.want, got); d != "" || cuts != c.cut {
				t.Errorf("%d cut, documents differ (-want +got):\n%s", cuts, d)
			}
		})
	}
}

func FuzzReadDocument(f *testing.F) {
	f.Add([]byte(`[{"a": "\\"}, {"b": [}] x`))
	f.Add([]byte("\xef\xbb\xbf{}{\"\"\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReaderSize(strings.NewReader(string(data)), 64)
		read := 0
		for range len(data) + 2 {
			document, _, err := readDocument(r)
			if read += len(document); read > len(data) || len(document) > event.MaxRecord {
				t.Fatalf("got %d bytes of %d", read, len(data))
			}
			if err != nil {
				return
			}
		}
		t.Error("it does not end")
	})
}
