package nesting_test

import (
	"testing"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/nesting"
)

func TestJSON(t *testing.T) {
	for _, c := range []struct {
		text string
		most int
		want int
	}{
		{``, 0, 0},
		{`1`, 0, 0},
		{`[]`, 1, 0},
		{`[[]]`, 1, 2},
		{`{"a": [{}]}`, 2, 8},
		{`{"a": [{}]}`, 3, 0},
		{`[[], [], []]`, 2, 0},           // beside one another is not in one another
		{`["[[[[", "\"[[", "\\"]`, 1, 0}, // brackets of strings are none
		{`["\\", [[]]]`, 2, 9},
		{`["unfinished [[[`, 1, 0},
	} {
		if got := nesting.JSON([]byte(c.text), c.most); got != c.want {
			t.Errorf("%s beyond %d: %d, want %d", c.text, c.most, got, c.want)
		}
	}
}
