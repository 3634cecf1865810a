package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	sdktest.TestSource(t, sdktest.Value(plugin), sdktest.SourceConfig{
		Host:       sdktest.HostConfig{Section: map[string]any{"paths": []string{path}, "start": "beginning"}},
		Replayable: true,
		Feed: func(t testing.TB, lines ...string) {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range lines {
				if _, err := fmt.Fprintln(f, line); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		},
	})
}
