package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestConformance(t *testing.T) {
	tree := t.TempDir()
	lock := "version = 4\n\n[[package]]\nname = \"time\"\nversion = \"0.1.42\"\n"
	if err := os.WriteFile(filepath.Join(tree, "Cargo.lock"), []byte(lock), 0o600); err != nil {
		t.Fatal(err)
	}
	sdktest.TestScanner(t, sdktest.Value(func() sdk.Plugin {
		cfg := defaults()
		return plugin(&scanner{cfg: &cfg})
	}), sdktest.ScannerConfig{
		Host:    sdktest.HostConfig{Section: map[string]any{"database_dir": t.TempDir()}},
		Targets: []string{tree},
	})
}
