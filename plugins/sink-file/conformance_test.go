package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestConformance(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.ndjson")
	target := sdktest.Value(func() sdk.Plugin {
		p := plugin()
		t.Cleanup(func() { // as the end of the process does
			if file := p.Sink.(*sink).file; file != nil {
				if err := file.Close(); err != nil {
					t.Error(err)
				}
			}
		})
		return p
	})
	sdktest.TestSink(t, target, sdktest.SinkConfig{
		Host: sdktest.HostConfig{Section: map[string]any{"path": path, "kinds": []string{"alert", "action", "log", "packet"}}},
		Contents: func(t testing.TB) []string {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
		},
	})
}
