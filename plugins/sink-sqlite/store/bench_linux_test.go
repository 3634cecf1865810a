//go:build bench

package store

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/storebench"
)

// TestStoreBench measures the store with STORE_ROWS log events, 1,000,000 without it.
func TestStoreBench(t *testing.T) {
	rows := 0
	if text := os.Getenv("STORE_ROWS"); text != "" {
		var err error
		if rows, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	end := time.Date(2025, 3, 5, 23, 0, 0, 0, time.UTC)
	s, err := Open(t.Context(), Config{Dir: dir, Now: func() time.Time { return end }})
	if err != nil {
		t.Fatal(err)
	}
	if err := storebench.Run(t.Context(), s, storebench.Config{Name: "sqlite", Logs: rows, End: end, Span: 4 * 24 * time.Hour, Out: os.Stdout}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	t.Logf("%d MiB on the disk", size>>20)
}
