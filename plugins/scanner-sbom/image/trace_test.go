package image_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/image"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// What is looked up in an image is noted, with the links on the way, also in a folder of it
// that is taken for a tree of its own.
func TestTraced(t *testing.T) {
	layer := bundle(regular("a/usr/lib/os-release", "ID=x"), symlink("a/etc", "usr/lib"), regular("a/usr/lib/b", "b"))
	im := open(t, onDisk(t, pack(savedParts([][]byte{layer}, as))), image.Options{})
	var trace tree.Trace
	sub, done, err := tree.Traced(im.View(), &trace).Sub("a")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	f, err := sub.Open("etc/os-release")
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if _, err := sub.Stat("none"); err == nil {
		t.Error("there is what is not there")
	}
	if _, err := sub.ReadDir("etc"); err != nil {
		t.Error(err)
	}
	looks, all := trace.Looks()
	got := map[string]bool{}
	for _, l := range looks {
		if l.Info == nil && l.Path != "a/none" {
			t.Errorf("%s is said to be absent", l.Path)
		}
		got[l.Path] = got[l.Path] || l.Listed
	}
	if diff := cmp.Diff(map[string]bool{"a": false, "a/etc": false, "a/usr": false, "a/usr/lib": true, "a/usr/lib/os-release": false, "a/none": false}, got); diff != "" || !all {
		t.Errorf("all %v, looks (-want +got):\n%s", all, diff)
	}
}
