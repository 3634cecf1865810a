//go:build linux

package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzMemory reads files of any content, with the sum that they should have. What is taken is
// written as it was read, and a file that is not taken leaves a memory that is empty and works.
func FuzzMemory(f *testing.F) {
	const entry = `{"device":1,"inode":2,"size":3,"mode":33261,"uid":0,"gid":0,"modified":4,"changed":5,"sha256":"aa","used":"2026-01-02T03:04:05Z"}`
	for _, text := range []string{
		`{"files":{},"descriptions":{}}`,
		`{"files":{"/p":` + entry + `},"descriptions":{"aa":{"host":"1","description":"AAE=","used":"2026-01-02T03:04:05Z"}}}`,
		`{"files":null,"descriptions":{}}`, `{"files":{"/p":{"sha256":7}}}`, `[`, ``,
	} {
		f.Add([]byte(text))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, "memory")
		sum := sha256.Sum256(text)
		if err := os.WriteFile(path, append([]byte(hex.EncodeToString(sum[:])+"\n"), text...), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := OpenMemory(path, later)
		if err != nil && !m.kept.empty() {
			t.Fatalf("of a file with %v something is remembered", err)
		}
		read := memories{maps.Clone(m.kept.Files), maps.Clone(m.kept.Descriptions)}
		m.Describe("bb", "1", []byte("x"))
		if err := m.Save(); err != nil {
			t.Fatal(err)
		}
		again, err := OpenMemory(path, later)
		if err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		if b, ok := again.Description("bb", "1"); !ok || string(b) != "x" {
			t.Errorf("got %q, %v, want what was just remembered", b, ok)
		}
		delete(read.Descriptions, "bb")
		delete(again.kept.Descriptions, "bb")
		if len(read.Files) < maxRemembered && len(read.Descriptions) < maxRemembered-1 {
			if diff := cmp.Diff(read, again.kept, cmp.AllowUnexported(memories{}, fileMemory{}, descriptionMemory{}, stamp{})); diff != "" {
				t.Errorf("read, and read again after it was written:\n%s", diff)
			}
		}
	})
}
