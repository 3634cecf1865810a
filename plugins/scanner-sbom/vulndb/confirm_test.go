package vulndb_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// TestConfirm: what is known to be current is so from then on, and nothing else changes.
func TestConfirm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vulndb")
	monday := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	one, two := source(t, "one", map[string]string{"1.json": record("A-1", "one", "1.0.0")}), source(t, "two", map[string]string{"2.json": record("A-2", "two", "1.0.0")})
	one.ETag, one.LastModified = `"v1"`, "Mon, 05 Jan 2026 00:00:00 GMT"
	load(t, path, vulndb.Options{Now: monday}, one, two)
	before := opened(t, path)
	want := *before.Meta()
	want.Sources = append([]vulndb.SourceMeta(nil), want.Sources...)
	want.Sources[0].Imported = monday.AddDate(0, 0, 1)
	if want.Sources[0].ETag != `"v1"` || want.Sources[0].LastModified != one.LastModified {
		t.Errorf("what the server said: got %+v", want.Sources[0])
	}
	if err := vulndb.Confirm(t.Context(), path, []string{"one"}, monday.AddDate(0, 0, 1)); err != nil {
		t.Fatal(err)
	}
	after := opened(t, path)
	if d := cmp.Diff(&want, after.Meta()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if err := after.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if got := ids(t, after, "npm", "two"); len(got) != 1 {
		t.Errorf("got %v, want A-2", got)
	}
	if names, err := vulndb.Diff(before, after); err != nil || len(names) > 0 {
		t.Errorf("got %v, %v, want that nothing differs", names, err)
	}
	now, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := vulndb.Confirm(t.Context(), path, []string{"one", "three"}, monday); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unknown source: got %v", err)
	}
	if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, now) {
		t.Errorf("an unknown source changed the database: %v", err)
	}
}

// TestExport: what is exported can be opened, and installed; what is damaged is not exported.
func TestExport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vulndb")
	load(t, path, vulndb.Options{}, source(t, "one", map[string]string{"1.json": record("A-1", "one", "1.0.0")}))
	db := opened(t, path)
	var out bytes.Buffer
	if err := db.Export(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	key, public := signer(t)
	keys, err := vulndb.ParseKeys([]string{public})
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "vulndb")
	signature := sign(t, key, out.Bytes(), true)
	if _, err := vulndb.Install(t.Context(), other, bytes.NewReader(out.Bytes()), signature, keys, vulndb.InstallOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := vulndb.Signed(other); got != string(signature) {
		t.Errorf("the signature: got %q", got)
	}
	if id, comment := vulndb.Signer(string(signature)); id != "0000000000030201" || comment != "built on Monday" {
		t.Errorf("signed by %s, %s", id, comment)
	}
	// It is a bundle no more once something else is in it.
	load(t, other, vulndb.Options{}, source(t, "two", map[string]string{"2.json": record("A-2", "two", "1.0.0")}))
	if got := vulndb.Signed(other); got != "" {
		t.Errorf("after an import: got the signature %q", got)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff, 0xfe}, 20); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := opened(t, path).Export(t.Context(), &out); !errors.Is(err, vulndb.ErrDamaged) {
		t.Errorf("damaged: got %v", err)
	}
}
