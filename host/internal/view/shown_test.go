package view_test

import (
	"encoding/json"
	"testing"

	"github.com/ironpost/ironpost/host/internal/view"
)

func TestShown(t *testing.T) {
	for raw, want := range map[string]string{
		``:                                ``,
		`{"a":"é 漢","b":"\u001b"}`:        `{"a":"é 漢","b":"\u001b"}`,
		"[\"\u009b31m\",\"x\u202ey\"]":    `["\u009b31m","x\u202ey"]`,
		"[\"\x7f\",\"\U000e0001\"]\n":     "[\"\\u007f\",\"\\udb40\\udc01\"]\n",
		"{\"\u2028\":\"\\\\\u2029\\\"\"}": `{"\u2028":"\\\u2029\""}`,
	} {
		got := view.Shown([]byte(raw))
		if string(got) != want {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
		var before, after any
		if raw != "" && (json.Unmarshal([]byte(raw), &before) != nil || json.Unmarshal(got, &after) != nil) {
			t.Errorf("%q: %q is no JSON", raw, got)
		}
	}
}
