package watch

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTold: what was said survives, and a damaged file is no file.
func TestTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "told.db")
	a, err := openTold(path)
	if err != nil {
		t.Fatal(err)
	}
	a.recorded("host", "e1", 7)
	a.recorded("host", "e2", 8)
	a.removed("host", "e2")
	a.raised("container:1", RuleInUse, "pkg:x", "CVE-1")
	a.recorded("container:2", "e3", 9)
	a.forget("container:2")
	data, err := a.encode()
	if err != nil || data == nil {
		t.Fatalf("encode: %d bytes, %v", len(data), err)
	}
	if err := a.write(data); err != nil {
		t.Fatal(err)
	}
	if data, err := a.encode(); data != nil || err != nil {
		t.Errorf("nothing changed, and encode gives %d bytes, %v", len(data), err)
	}

	b, err := openTold(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.changed("host", "e1", 7) || !b.changed("host", "e1", 6) || !b.changed("host", "e2", 8) {
		t.Error("what was recorded is not what is known")
	}
	if b.fresh("container:1", RuleInUse, "pkg:x", "CVE-1") || !b.fresh("container:1", RuleInUse, "pkg:x", "CVE-2") || !b.fresh("container:1", RuleExploited, "pkg:x", "CVE-1") {
		t.Error("what was raised is not what is known")
	}
	if got, want := b.names(), []string{"container:1", "host"}; !slices.Equal(got, want) {
		t.Errorf("targets %q, want %q", got, want)
	}

	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		broken := slices.Clone(whole)
		broken[at] ^= 0x10
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := openTold(path)
		if err == nil || len(got.names()) != 0 {
			t.Fatalf("with byte %d changed: %q, error %v", at, got.names(), err)
		}
	}
}

// TestToldCannotBeWritten: what could not be written is written the next time.
func TestToldCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	a, err := openTold(filepath.Join(dir, "file", "told.db"))
	if err != nil {
		t.Fatal(err)
	}
	a.recorded("host", "e1", 7)
	data, err := a.encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.write(data); err == nil {
		t.Fatal("it was written into a file")
	}
	if again, err := a.encode(); err != nil || again == nil {
		t.Errorf("there is nothing to write any more: %d bytes, %v", len(again), err)
	}
}

func FuzzOpenTold(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("\x7f"))
	f.Fuzz(func(t *testing.T, body []byte) {
		path := filepath.Join(t.TempDir(), "told.db")
		sum := sumOf(body)
		data := append([]byte(toldMagic), byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
		if err := os.WriteFile(path, append(data, body...), 0o600); err != nil {
			t.Fatal(err)
		}
		got, _ := openTold(path) // an error leaves what is sound
		got.raised("t", "r", "s", "x")
		if got.fresh("t", "r", "s", "x") {
			t.Error("what was raised is not known")
		}
	})
}
