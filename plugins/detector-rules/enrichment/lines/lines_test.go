package lines

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAll(t *testing.T) {
	var numbers []int
	var texts []string
	for n, line := range All([]byte("\ufeffone\r\n\n \t\n  two \nthree")) {
		numbers, texts = append(numbers, n), append(texts, string(line))
	}
	if diff := cmp.Diff([]int{1, 4, 5}, numbers); diff != "" {
		t.Errorf("numbers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"one", "two", "three"}, texts); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestEntries(t *testing.T) {
	for _, tt := range []struct {
		name         string
		right, wrong int
		want         string
	}{
		{"right", 5, 0, ""},
		{"empty", 0, 0, "it holds no entry; a list that is to end is removed, or its path taken out of the configuration"},
		{"an odd line", 99, 1, ""},
		{"a short list with a wrong line", 98, 1, `line 7: "x" is no number`},
		{"an error page", 0, 12, `line 7: "x" is no number; 12 of 12 lines are wrong`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := Entries{Right: tt.right}
			for range tt.wrong {
				e.Reject(7, []byte("x"), "no number")
			}
			got := ""
			if err := e.Err(); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"a\x00":                       `"a\x00"`,
		strings.Repeat("a", 61):       `"` + strings.Repeat("a", 60) + `..."`,
		strings.Repeat("ä", 31):       `"` + strings.Repeat("ä", 30) + `..."`,
		"a" + strings.Repeat("ä", 30): `"a` + strings.Repeat("ä", 29) + `..."`,
	} {
		if got := Quote([]byte(in)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
