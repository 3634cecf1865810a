package recall

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// fill gives every field of a value another content.
func fill(t *testing.T, v reflect.Value, name string) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString("of " + name)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(int64(300 + len(name)))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(t, v.Index(0), name+"0")
		fill(t, v.Index(1), name+"1")
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), name+"."+v.Type().Field(i).Name)
		}
	default:
		t.Fatalf("%s is a %s: the encoding does not know it", name, v.Kind())
	}
}

// All that a package has is kept, also what somebody adds to the type.
func TestFound(t *testing.T) {
	var p inventory.Package
	fill(t, reflect.ValueOf(&p).Elem(), "p")
	want := []scan.Found{
		{Packages: []*inventory.Package{&p, {}, {Licenses: []string{}, Locations: []inventory.Location{}}}},
		{Packages: []*inventory.Package{}, Problem: inventory.Problem{Path: "a", Code: inventory.CodeMalformed, Reason: "b"}},
	}
	text := EncodeFound(want)
	got, err := DecodeFound(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for n := range text {
		if _, err := DecodeFound(text[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are read", n, len(text))
		}
	}
}

// example is what is known of a target.
func example() *known {
	k := newKnown()
	k.addFolder(&folder{"", state{1, 2, tree.KindFolder | 0o755, 4096, -5, 6}, tree.Listing{Entries: 3, Folders: []string{"a"}, Files: []string{"f", "g"}}})
	k.addFolder(&folder{path: "a", at: state{Device: 1 << 63, Inode: 1<<64 - 1}})
	k.addFile(&file{path: "f", at: state{Size: 1 << 40, Changed: 1 << 62}, digest: "digest", found: EncodeFound(nil), looks: []look{
		{path: "etc", kind: isFolder}, {path: "etc/x", kind: absent}, {path: "etc/y", kind: exact, at: state{Inode: 7}},
	}})
	return k
}

// whole compares all that is kept.
func whole() cmp.Option {
	return cmp.Options{cmp.AllowUnexported(known{}, part[folder]{}, part[file]{}, folder{}, file{}, look{}), cmpopts.IgnoreFields(file{}, "decoded")}
}

func TestKnown(t *testing.T) {
	want := example()
	got, err := decodeKnown(encodeKnown(want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, whole()); diff != "" {
		t.Error(diff)
	}
}

// A change a moment before a file was read may be followed by one at what is the same
// time to the file system.
func TestSettled(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	for name, test := range map[string]struct {
		changed time.Time
		want    bool
	}{
		"at once":                 {at, false},
		"within a tick":           {at.Add(-10 * time.Millisecond), false},
		"earlier":                 {at.Add(-60 * time.Millisecond), true},
		"of whole seconds":        {at.Truncate(time.Second).Add(-time.Second), false},
		"of whole seconds, early": {at.Truncate(time.Second).Add(-2 * time.Second), true},
		"in the future":           {at.Add(time.Hour), false},
	} {
		if got := (state{Changed: test.changed.UnixNano()}).settled(at); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// Bytes that nobody wrote are an error, and what they say is bounded by their number.
func FuzzKnown(f *testing.F) {
	f.Add(encodeKnown(example()))
	f.Add(encodeKnown(newKnown()))
	f.Add("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
	f.Fuzz(func(t *testing.T, in string) {
		_, _ = DecodeFound(in)
		k, err := decodeKnown(in)
		if err != nil {
			return
		}
		again, err := decodeKnown(encodeKnown(k))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(k.files, again.files, whole()); diff != "" {
			t.Error(diff)
		}
	})
}

// What a process that was killed left is removed, and what one is writing now stays.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for file, age := range map[string]time.Duration{name + ".new-1": 2 * time.Hour, name + ".new-2": 0, "other.new-3": 2 * time.Hour} {
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := save(dir, nil); err != nil {
		t.Fatal(err)
	}
	var got []string
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff([]string{"other.new-3", name, name + ".new-2"}, got); diff != "" {
		t.Error(diff)
	}
}
