package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/sdk"
)

// Documents with the time that they are told to have are equal byte by byte, and a
// document that is read is bounded as every file is.
func TestEpoch(t *testing.T) {
	s, tree := made(t)
	var before string
	for range 2 {
		var out bytes.Buffer
		if _, err := s.Scan(t.Context(), sdk.ScanRequest{Target: tree, Document: "cyclonedx", Epoch: "1700000000", Progress: func(string) {}}, &out); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if !strings.Contains(text, "2023-11-14T22:13:20Z") || before != "" && text != before {
			t.Errorf("got\n%s\nwant the time 2023-11-14T22:13:20Z, and what was written before:\n%s", text, before)
		}
		before = text
	}
	if _, err := s.Scan(t.Context(), sdk.ScanRequest{Target: tree, Document: "cyclonedx", Epoch: "yesterday", Progress: func(string) {}}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
		t.Errorf("a time that is none: error %v", err)
	}
	path := tree + ".cdx.json"
	write(t, path, before+strings.Repeat(" ", 4096))
	for bytes, read := range map[sdk.Size]bool{4096: false, 1 << 20: true} {
		s.cfg.FileBytes = bytes
		var out strings.Builder
		_, err := s.Scan(t.Context(), sdk.ScanRequest{Target: path, Progress: func(string) {}}, &out)
		if (err == nil) != read || !read && !strings.Contains(err.Error(), "larger than allowed") {
			t.Errorf("with file_bytes %d: error %v, want it read: %t", bytes, err, read)
		}
	}
}
