package stored

import (
	"strings"
	"testing"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/search"
)

// TestContains looks at what the server may have forgotten of a long text.
func TestContains(t *testing.T) {
	r := sdk.Record{Log: &event.LogEvent{Message: strings.Repeat("x y ", 20_000) + "Failed password for root"}}
	for text, want := range map[string]bool{
		`"failed password"`: true, `"password failed"`: false, `"for ro*"`: true, "root failed": true, "roo": false, `"y x y"`: true, "for root x*": true,
	} {
		terms, err := search.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := Contains(r, terms); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}
