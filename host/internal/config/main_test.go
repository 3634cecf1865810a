package config

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write makes a file ironpost.toml and returns its path.
func write(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ironpost.toml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// mustLoad loads and fails the test on an error.
func mustLoad(t testing.TB, o Options) *Config {
	t.Helper()
	c, err := Load(o)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

// storage is a plugin's section with one field of every type.
func storage() Section {
	return Section{Name: "storage", Owner: "sink-acme", Fields: []Field{
		{Key: "url", Type: String, Default: "sqlite"},
		{Key: "level", Type: String, Enum: []string{"low", "high"}, Default: "low"},
		{Key: "password", Type: String, Secret: true},
		{Key: "workers", Type: Int, Min: "1", Max: "8", Default: "2"},
		{Key: "ratio", Type: Float, Min: "0", Max: "1", Default: "0.5"},
		{Key: "compress", Type: Bool, Default: "true"},
		{Key: "timeout", Type: Duration, Min: "1s", Max: "7d", Default: "5s"},
		{Key: "cache", Type: Size, Min: "4KiB", Default: "1MiB"},
		{Key: "hosts", Type: Strings, Max: "3", Default: "a,b"},
		{Key: "labels", Type: Map, Default: "env=test"},
		{Key: "tls.cert", Type: String},
		{Key: "tls.verify", Type: Bool, Default: "true"},
	}}
}
