package watch

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write says that packages were recorded of a target with these sums.
func (t *told) note(target string, sums map[string]uint64) {
	p := t.page(target)
	defer p.close()
	for ref, sum := range sums {
		p.recorded(packageKey(target, ref), sum)
	}
}

// flush writes what is not written, with the names of packages.
func (t *told) flush(tt testing.TB, refs map[string][]string, memory []byte) {
	tt.Helper()
	changed, gone := t.unsaved()
	for _, target := range changed {
		names := map[key]string{}
		for _, ref := range refs[target] {
			names[packageKey(target, ref)] = ref
		}
		data, err := t.encode(target, names, memory)
		if err != nil {
			tt.Fatal(err)
		}
		if err := t.write(target, data); err != nil {
			tt.Fatal(err)
		}
	}
	for _, target := range gone {
		if err := t.unlink(target); err != nil {
			tt.Fatal(err)
		}
	}
}

// says lists what of some sums is not what was recorded.
func (t *told) differs(target string, sums map[string]uint64) (out []string) {
	p := t.page(target)
	for ref, sum := range sums {
		if p.changed(packageKey(target, ref), sum) {
			out = append(out, ref)
		}
	}
	slices.Sort(out)
	return out
}

// files are the contents of a folder.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(data)
	}
	return out
}

// TestTold: what was said survives, each target in a file of its own, and one that is damaged is
// no file.
func TestTold(t *testing.T) {
	dir, log := t.TempDir(), hclog.NewNullLogger()
	a := openTold(dir, log)
	a.note("host", map[string]uint64{"e1": 7, "e2": 8})
	p := a.page("host")
	p.removed(packageKey("host", "e2"))
	p.close()
	a.raised("container:1", "rule", "pkg:x", "CVE-1")
	a.note("container:2", map[string]uint64{"e3": 9})
	a.forget("container:2")
	a.flush(t, map[string][]string{"host": {"e1"}}, []byte("looked"))
	if changed, gone := a.unsaved(); len(changed)+len(gone) > 0 {
		t.Errorf("after it was written there is to be written %q and %q", changed, gone)
	}

	b := openTold(dir, log)
	if got, want := b.differs("host", map[string]uint64{"e1": 7, "e2": 8}), []string{"e2"}; !slices.Equal(got, want) {
		t.Errorf("what was not recorded is %q, want %q", got, want)
	}
	if got := b.differs("host", map[string]uint64{"e1": 6}); len(got) != 1 {
		t.Error("another sum is what was recorded")
	}
	if b.fresh("container:1", "rule", "pkg:x", "CVE-1") || !b.fresh("container:1", "rule", "pkg:x", "CVE-2") || !b.fresh("container:1", "other", "pkg:x", "CVE-1") {
		t.Error("what was raised is not what is known")
	}
	if got, want := b.names(), []string{"container:1", "host"}; !slices.Equal(got, want) {
		t.Errorf("targets %q, want %q", got, want)
	}
	if got := b.refs("host")[packageKey("host", "e1")]; got != "e1" {
		t.Errorf("the package is called %q", got)
	}
	if got := string(b.memory("host")); got != "looked" {
		t.Errorf("the memory is %q", got)
	}

	before := files(t, filepath.Join(dir, "told"))
	b.note("host", map[string]uint64{"e4": 1})
	b.flush(t, nil, nil)
	after := files(t, filepath.Join(dir, "told"))
	own := keyOf("host").text()
	if before[own] == after[own] {
		t.Error("the file of the target that changed is the same")
	}
	delete(before, own)
	delete(after, own)
	if !maps.Equal(before, after) || len(after) != 1 {
		t.Errorf("files of other targets were written: %d of them, want one that is the same", len(after))
	}
	c := openTold(dir, log)
	if got := c.refs("host"); got[packageKey("host", "e1")] != "e1" || string(c.memory("host")) != "looked" {
		t.Errorf("what was not named again is lost: %q, memory %q", got, c.memory("host"))
	}

	path := filepath.Join(dir, "told", own)
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
		if got, want := openTold(dir, log).names(), []string{"container:1"}; !slices.Equal(got, want) {
			t.Fatalf("with byte %d changed: %q, want %q", at, got, want)
		}
	}
}

// TestToldID: packages are remembered by the id of their events.
func TestToldID(t *testing.T) {
	if got, want := packageKey("host", "pkg:npm/p@1").text(), event.InventoryID("host", "pkg:npm/p@1"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestToldCannotBeWritten: what could not be written is written the next time.
func TestToldCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	a := openTold(filepath.Join(dir, "file"), hclog.NewNullLogger())
	a.note("host", map[string]uint64{"e1": 7})
	data, err := a.encode("host", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.write("host", data); err == nil {
		t.Fatal("it was written into a file")
	}
	if again, _ := a.unsaved(); len(again) != 1 {
		t.Errorf("there is to be written %q, want the host", again)
	}
}

// TestToldFormer: what a version before wrote into one file counts, and the file goes.
func TestToldFormer(t *testing.T) {
	type said struct {
		Inventory map[string]uint64
		Alerts    map[string]struct{}
	}
	thing := keyOf("rule", "pkg:x", "CVE-1")
	var body bytes.Buffer
	if err := gob.NewEncoder(&body).Encode(map[string]*said{
		"host":        {Inventory: map[string]uint64{"e1": 7, "e2": 8}, Alerts: map[string]struct{}{hex.EncodeToString(thing[:]): {}, "no key": {}}},
		"container:1": {Alerts: map[string]struct{}{}},
	}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	data := binary.LittleEndian.AppendUint32([]byte("ironpost told 1\n"), sumOf(body.Bytes()))
	if err := os.WriteFile(filepath.Join(dir, "told.db"), append(data, body.Bytes()...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"at first", "after a restart"} {
		a := openTold(dir, hclog.NewNullLogger())
		if got := a.differs("host", map[string]uint64{"e1": 7, "e2": 8}); len(got) > 0 {
			t.Errorf("%s: of %q it is not known that they were told", when, got)
		}
		if a.fresh("host", "rule", "pkg:x", "CVE-1") {
			t.Errorf("%s: an alert would be raised again", when)
		}
		if got := a.refs("host")[packageKey("host", "e2")]; got != "e2" {
			t.Errorf("%s: a package is called %q", when, got)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "told.db")); !os.IsNotExist(err) {
		t.Errorf("the file is there still: %v", err)
	}
}

// TestToldAlerts: of alerts beyond the bound the oldest are forgotten.
func TestToldAlerts(t *testing.T) {
	a := openTold(t.TempDir(), hclog.NewNullLogger())
	n := limits().alerts + 1
	for i := range n {
		a.raised("host", "rule", fmt.Sprint(i), "")
	}
	if a.fresh("host", "rule", fmt.Sprint(n-1), "") || a.fresh("host", "rule", fmt.Sprint(n/2+1), "") || !a.fresh("host", "rule", "0", "") {
		t.Error("it is not the older half that was forgotten")
	}
	if got, want := a.lost(), uint64(limits().alerts/2); got != want {
		t.Errorf("%d are counted as forgotten, want %d", got, want)
	}
}

// TestToldMemory: a thousand targets with five thousand packages each.
func TestToldMemory(t *testing.T) {
	const targets, packages = 1000, 5000
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	a := openTold(t.TempDir(), hclog.NewNullLogger())
	for i := range targets {
		id := fmt.Sprintf("container:%064x", i)
		p := a.page(id)
		var k key
		for j := range packages {
			binary.BigEndian.PutUint64(k[:], uint64(i*packages+j)*0x9e3779b97f4a7c15)
			p.recorded(k, uint64(j+1))
		}
		p.close()
	}
	took := float64(heap()-before) / (1 << 20)
	t.Logf("%d targets with %d packages each take %.0f MiB", targets, packages, took)
	if took > 150 { // 24 bytes each are 114 MiB
		t.Errorf("it takes %.0f MiB, want at most 150", took)
	}
	data, err := a.encode(fmt.Sprintf("container:%064x", 1), nil, nil)
	if err != nil || len(data) > 200<<10 {
		t.Errorf("a change of one target writes %d bytes, %v", len(data), err)
	}
	runtime.KeepAlive(a)
}

func FuzzDecodeTold(f *testing.F) {
	sound := &toldFile{target: "host", packages: []record{{key{1}, 2}, {key{3}, 4}}, alerts: []key{{5}}, memory: []byte("m"), refs: []string{"a", "b"}}
	data, err := sound.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[len(toldMagic)+4:])
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		data := binary.LittleEndian.AppendUint32([]byte(toldMagic), sumOf(body))
		got, err := decodeFile(append(data, body...), true)
		if err != nil {
			return
		}
		if got.refs == nil {
			got.refs = make([]string, len(got.packages))
		}
		again, err := got.encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeFile(again, true); err != nil || !slices.Equal(back.packages, got.packages) || back.target != got.target {
			t.Errorf("written again it is %+v, %v", back, err)
		}
	})
}
