package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

const exampleFile = "../../../ironpost.toml"

func TestExampleFileLoadsStrictly(t *testing.T) {
	mustLoad(t, Options{File: exampleFile, Strict: true})
}

// The example names every key of the host with its default: with the "#" in
// front of the keys removed it is still valid, every key comes from the file,
// and no value differs.
func TestExampleFileShowsTheDefaults(t *testing.T) {
	b, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	content := regexp.MustCompile(`(?m)^#([a-z_]+ = )`).ReplaceAllString(string(b), "$1")
	c := mustLoad(t, Options{File: write(t, content), Strict: true})
	defaults := mustLoad(t, Options{})
	for i, want := range defaults.Origins() {
		got := c.Origins()[i]
		if got.Key != want.Key || !reflect.DeepEqual(got.Value, want.Value) {
			t.Errorf("%s: got %v, want %v", got.Key, got.Value, want.Value)
		}
		// Unset is not the same as empty for plugins.enabled, and the routes
		// are a table of their own.
		switch got.Key {
		case "plugins.enabled":
			if !strings.Contains(content, "\n# enabled = ") {
				t.Error("plugins.enabled is not explained")
			}
		default:
			if got.Origin.Kind != FromFile {
				t.Errorf("%s is not in the file", got.Key)
			}
		}
	}
}
