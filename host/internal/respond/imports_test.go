package respond

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// listed is an import of networks.
func listed(list string, ttl time.Duration, networks ...string) control.Import {
	in := control.Import{List: list, TTL: ttl, Reason: "test"}
	for _, p := range networks {
		in.Networks.Add(netip.MustParsePrefix(p))
	}
	return in
}

// put imports and shows what came of it: added, unchanged, removed, refused.
func (w *world) put(in control.Import) string {
	w.t.Helper()
	resp, err := w.r.Blocks().Import(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("%d added, %d unchanged, %d removed, %d refused, %d on %s",
		resp.Added, resp.Unchanged, resp.Removed, resp.Refused, resp.List.GetNetworks(), resp.List.GetName())
}

// attach attaches a filter that lives as long as the test.
func (w *world) attach() *filter {
	w.t.Helper()
	f := newFilter("eth0")
	if err := w.r.Attach(f); err != nil {
		w.t.Fatal(err)
	}
	return f
}

// networks returns what a filter blocks, sorted, with about the time left.
func (f *filter) networks() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, p := range sortedPrefixes(f.entries) {
		out = append(out, fmt.Sprintf("%s %v", p, f.entries[p].TTL.Round(10*time.Second)))
	}
	return strings.Join(out, ", ")
}

// blobs returns how many files of networks there are.
func (w *world) blobs() int {
	w.t.Helper()
	files, err := os.ReadDir(filepath.Join(w.dir, "lists"))
	if err != nil {
		w.t.Fatal(err)
	}
	return len(files)
}

func TestImport(t *testing.T) {
	w := newWorld(t, config.Enforce)
	f := w.attach()
	for _, tt := range []struct {
		in         control.Import
		want, have string
	}{
		{
			listed("", time.Hour, "203.0.113.0/24", "203.0.113.9/32", "203.0.113.0/24", "2001:db8:1::/48", "::ffff:203.0.114.7/128"),
			"4 added, 0 unchanged, 0 removed, 0 refused, 4 on import",
			"203.0.113.0/24 1h0m0s, 203.0.113.9/32 1h0m0s, 203.0.114.7/32 1h0m0s, 2001:db8:1::/48 1h0m0s",
		},
		{ // the same again
			listed("", time.Hour, "203.0.113.9/32", "203.0.113.0/24"),
			"0 added, 2 unchanged, 0 removed, 0 refused, 4 on import",
			"203.0.113.0/24 1h0m0s, 203.0.113.9/32 1h0m0s, 203.0.114.7/32 1h0m0s, 2001:db8:1::/48 1h0m0s",
		},
		{ // the later word counts
			listed("", time.Minute, "203.0.113.9/32"),
			"0 added, 1 unchanged, 0 removed, 0 refused, 4 on import",
			"203.0.113.0/24 1h0m0s, 203.0.113.9/32 1m0s, 203.0.114.7/32 1h0m0s, 2001:db8:1::/48 1h0m0s",
		},
		{ // what lasts longest counts, of two lists
			listed("drop", 2*time.Hour, "203.0.113.9/32", "203.0.114.0/24"),
			"2 added, 0 unchanged, 0 removed, 0 refused, 2 on drop",
			"203.0.113.0/24 1h0m0s, 203.0.113.9/32 2h0m0s, 203.0.114.0/24 2h0m0s, 203.0.114.7/32 1h0m0s, 2001:db8:1::/48 1h0m0s",
		},
		{ // a list that is named is replaced
			listed("drop", 2*time.Hour, "203.0.114.0/24", "203.0.115.0/24"),
			"1 added, 1 unchanged, 1 removed, 0 refused, 2 on drop",
			"203.0.113.0/24 1h0m0s, 203.0.113.9/32 1m0s, 203.0.114.0/24 2h0m0s, 203.0.114.7/32 1h0m0s, 203.0.115.0/24 2h0m0s, 2001:db8:1::/48 1h0m0s",
		},
		{ // rails
			listed("drop", 2*time.Hour, "203.0.114.0/24", "192.0.2.1/32", "198.51.100.3/32", "198.51.100.0/24", "0.0.0.0/0", "127.0.0.1/32", "224.0.0.0/8", "::/0", "::1/128", "2001:db8:2::/48", "128.0.0.0/2", "10.0.0.0/7", "fe80::/10"),
			"2 added, 1 unchanged, 1 removed, 10 refused, 3 on drop",
			"198.51.100.0/24 2h0m0s, 203.0.113.0/24 1h0m0s, 203.0.113.9/32 1m0s, 203.0.114.0/24 2h0m0s, 203.0.114.7/32 1h0m0s, 2001:db8:1::/48 1h0m0s, 2001:db8:2::/48 2h0m0s",
		},
		{ // nothing is left of a list
			listed("drop", 0),
			"0 added, 0 unchanged, 3 removed, 0 refused, 0 on drop",
			"203.0.113.0/24 1h0m0s, 203.0.113.9/32 1m0s, 203.0.114.7/32 1h0m0s, 2001:db8:1::/48 1h0m0s",
		},
	} {
		dry := tt.in
		dry.DryRun = true
		before := f.networks()
		if got := w.put(dry); got != tt.want || f.networks() != before {
			t.Errorf("dry run: got %s, want %s and nothing done", got, tt.want)
		}
		if got := w.put(tt.in); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
		if diff := cmp.Diff(tt.have, f.networks()); diff != "" {
			t.Fatalf("the filter (-want +got):\n%s", diff)
		}
	}
	if lists, _ := w.r.Blocks().Lists(t.Context()); len(lists) != 1 || lists[0].Networks != 4 || w.blobs() != 1 {
		t.Errorf("got lists %v, %d files, want one", lists, w.blobs())
	}
	w.restart()
	again := w.attach()
	if diff := cmp.Diff(f.networks(), again.networks()); diff != "" {
		t.Errorf("after a restart (-before +after):\n%s", diff)
	}
}

func TestImportNamesWhatItRefuses(t *testing.T) {
	w := newWorld(t, config.Enforce)
	in := listed("", 0, "192.0.2.1/32", "203.0.113.0/24")
	for i := range 300 {
		in.Networks.Add(netip.MustParsePrefix(fmt.Sprintf("127.0.%d.0/24", i%250)))
	}
	in.Networks.V4 = append(in.Networks.V4, 1, 2, 3, 4, 33)
	in.Networks.V6 = append(in.Networks.V6, slices.Repeat([]byte{1}, 16)...)
	in.Networks.V6 = append(in.Networks.V6, 129)
	resp, err := w.r.Blocks().Import(t.Context(), in)
	if err != nil || resp.Added != 1 || resp.Refused != 253 || len(resp.Problems) != control.MaxProblems {
		t.Fatalf("got %d added, %d refused, %d problems, %v; want 1, 253, %d", resp.GetAdded(), resp.GetRefused(), len(resp.GetProblems()), err, control.MaxProblems)
	}
	if got := resp.Problems[0]; got.Prefix != "01020304/33" || got.Reason != "it is no network" {
		t.Errorf("got %v first", got)
	}
	for _, tt := range []struct {
		in   control.Import
		want error
		says string
	}{
		{listed("", 25*time.Hour, "203.0.113.0/24"), control.ErrInvalid, "max_ttl"},
		{listed("", -1, "203.0.113.0/24"), control.ErrInvalid, "max_ttl"},
	} {
		if _, err := w.r.Blocks().Import(t.Context(), tt.in); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("got %v, want %v that says %q", err, tt.want, tt.says)
		}
	}
	for i := range MaxLists - 1 {
		w.put(listed(fmt.Sprint("l", i), 0, "203.0.113.9/32"))
	}
	if _, err := w.r.Blocks().Import(t.Context(), listed("more", 0, "203.0.113.9/32")); !errors.Is(err, control.ErrConflict) || !strings.Contains(err.Error(), "64 lists") {
		t.Errorf("got %v, want that there are enough lists", err)
	}
	if err := w.r.Blocks().removeList(t, "nosuch"); !errors.Is(err, control.ErrNotFound) {
		t.Errorf("got %v, want not found", err)
	}
}

func (b Blocks) removeList(t *testing.T, name string) error {
	_, err := b.RemoveList(t.Context(), name)
	return err
}

// TestImportsAreBounded imports into a list that is from as many imports as may be.
func TestImportsAreBounded(t *testing.T) {
	w := newWorld(t, config.Simulate)
	full := &blockList{name: control.DefaultList}
	for i := range maxOrigins {
		made, _ := unpack(listed("", 0, fmt.Sprintf("203.%d.%d.0/24", i>>8, i&255)).Networks, uint32(i))
		full.origins = append(full.origins, w.r.newEntry("", time.Duration(i+1)*time.Second))
		full.nets = full.nets.over(made)
	}
	if err := w.r.change(nil, full); err != nil {
		t.Fatal(err)
	}
	more := listed("", time.Hour, "204.0.0.0/24")
	if _, err := w.r.Blocks().Import(t.Context(), more); !errors.Is(err, control.ErrConflict) || !strings.Contains(err.Error(), "1024 imports") {
		t.Errorf("got %v, want that there are too many", err)
	}
	w.clock.pass(time.Second)
	if got := w.put(more); got != "1 added, 0 unchanged, 0 removed, 0 refused, 1024 on import" {
		t.Errorf("got %s after one is over", got)
	}
}

// TestImportAllOrNothing: a filter without room, or that fails, and a disk that
// fails leave everything as it was.
func TestImportAllOrNothing(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*world, *filter)
		want  error
	}{
		{"no room", func(_ *world, f *filter) { f.room = 3 }, control.ErrConflict},
		{"a filter that fails", func(_ *world, f *filter) { f.fail["put many"] = errBroken }, errBroken},
		{"no disk for networks", func(w *world, _ *filter) {
			if err := os.RemoveAll(filepath.Join(w.dir, "lists")); err != nil {
				w.t.Fatal(err)
			}
		}, os.ErrNotExist},
		{"no disk for the list", func(w *world, _ *filter) {
			if err := w.store.Close(); err != nil {
				w.t.Fatal(err)
			}
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, config.Enforce)
			f := w.attach()
			w.add("203.0.113.1/32", time.Hour)
			w.put(listed("drop", time.Minute, "203.0.113.2/32", "203.0.113.3/32"))
			before, blocks := f.networks(), w.blocks()
			tt.spoil(w, f)
			_, err := w.r.Blocks().Import(t.Context(), listed("drop", time.Hour, "203.0.113.1/32", "203.0.113.3/32", "203.0.113.4/32", "203.0.113.5/32"))
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			f.room, f.fail["put many"] = 0, nil
			w.clock.pass(mendInterval)
			w.r.step()
			w.clock.pass(-mendInterval)
			if diff := cmp.Diff(before, f.networks()); diff != "" {
				t.Errorf("the filter (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(blocks, w.blocks()); diff != "" {
				t.Errorf("the list (-before +after):\n%s", diff)
			}
		})
	}
}

var errBroken = errors.New("broken")

// TestListsEnd: lists end with their time, also while nothing runs, or when they
// are removed, and what else blocks a network goes on.
func TestListsEnd(t *testing.T) {
	w := newWorld(t, config.Enforce)
	f := w.attach()
	w.add("203.0.113.9/32", 2*time.Hour)
	w.put(listed("drop", time.Hour, "203.0.113.9/32", "203.0.113.10/32"))
	w.put(listed("", time.Minute, "203.0.113.10/32", "203.0.113.11/32"))
	w.put(listed("", 3*time.Minute, "203.0.113.12/32"))
	steps := func(d time.Duration, want string) {
		t.Helper()
		w.clock.pass(d)
		w.r.step()
		var got []string
		for _, b := range w.page(control.Page{Limit: 10}).Blocks {
			got = append(got, fmt.Sprintf("%s %s", netip.MustParsePrefix(b.Prefix).Addr(), b.List))
		}
		if diff := cmp.Diff(want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("after %v (-want +got):\n%s", d, diff)
		}
		if len(f.entries) != len(got) {
			t.Errorf("after %v: got %d blocks in the filter, want %d", d, len(f.entries), len(got))
		}
	}
	steps(0, "203.0.113.9 , 203.0.113.10 drop, 203.0.113.11 import, 203.0.113.12 import")
	steps(time.Minute, "203.0.113.9 , 203.0.113.10 drop, 203.0.113.12 import")
	if got := w.journal.last(); got.Outcome != pb.Outcome_OUTCOME_EXPIRED || !strings.Contains(got.Reason, "2 networks of the list import") {
		t.Errorf("got %v", got)
	}
	w.stop()
	w.clock.pass(5 * time.Minute)
	w.start()
	f = w.attach()
	steps(0, "203.0.113.9 , 203.0.113.10 drop")
	if got := w.blobs(); got != 1 {
		t.Errorf("got %d files of networks, want one", got)
	}
	if err := w.r.Blocks().removeList(t, "drop"); err != nil {
		t.Fatal(err)
	}
	steps(0, "203.0.113.9 ")
	if got := w.journal.last(); got.Outcome != pb.Outcome_OUTCOME_RELEASED || w.blobs() != 0 {
		t.Errorf("got %v, %d files", got, w.blobs())
	}
}

// TestListsAndBoots: a boot, and a clock that jumps, make no list last longer.
func TestListsAndBoots(t *testing.T) {
	w := newWorld(t, config.Enforce)
	w.put(listed("drop", time.Hour, "203.0.113.9/32"))
	w.clock.pass(10 * time.Minute)
	w.r.step()
	w.stop()
	w.clock.wall = w.clock.wall.Add(-5 * time.Hour)
	w.clock.id, w.clock.boot = "boot-2", time.Minute
	w.start()
	for range 2 { // what the first start made of it is kept
		if got := w.blocks()[0]; !strings.Contains(got, "; 49m30s;") { // 30 s for a stop without warning
			t.Errorf("after a boot: got %s, want 49m30s", got)
		}
		w.restart()
	}
	w.clock.wall = w.clock.wall.Add(time.Hour)
	w.r.step()
	if got := w.blocks(); len(got) != 0 {
		t.Errorf("after the clock went ahead: got %q, want none", got)
	}
}

func TestRemoveFromLists(t *testing.T) {
	w := newWorld(t, config.Enforce)
	f := w.attach()
	w.add("203.0.113.9/32", time.Hour)
	w.put(listed("a", time.Hour, "203.0.113.9/32", "203.0.113.10/32"))
	w.put(listed("b", time.Hour, "203.0.113.9/32"))
	if _, err := w.r.Blocks().Remove(t.Context(), netip.MustParsePrefix("203.0.113.9/32")); err != nil {
		t.Fatal(err)
	}
	if lists, _ := w.r.Blocks().Lists(t.Context()); len(lists) != 1 || lists[0].Name != "a" || f.networks() != "203.0.113.10/32 1h0m0s" {
		t.Errorf("got lists %v and %s", lists, f.networks())
	}
	check, err := w.r.Check(t.Context(), netip.MustParsePrefix("203.0.113.10/32"))
	if err != nil || check.Reason != "203.0.113.10, by the list a: test (enforced)" {
		t.Errorf("got %v %v", check, err)
	}
	// What is allowed leaves the lists.
	if _, err := w.r.Allows().Add(t.Context(), order("203.0.113.0/28", 0)); err != nil {
		t.Fatal(err)
	}
	if lists, _ := w.r.Blocks().Lists(t.Context()); len(lists) != 0 || f.networks() != "" || w.blobs() != 0 {
		t.Errorf("got lists %v and %s", lists, f.networks())
	}
}

// TestAlertOfMany: of the sources that an alert names as many are looked up as are
// kept of it, while others wait.
func TestAlertOfMany(t *testing.T) {
	w := newWorld(t, config.Enforce)
	about := bruteForce("a1", "203.0.113.1")
	about.Entities = nil
	for i := range 2 * maxSources {
		s := fmt.Sprintf("203.0.113.%d", i+1)
		if _, err := w.r.Blocks().Add(t.Context(), control.Entry{Prefix: netip.MustParsePrefix(s + "/32"), TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		about.Entities = append(about.Entities, &pb.Field{Key: "src_ip", Value: s})
	}
	w.clock.pass(time.Minute)
	about.Time = uint64(w.clock.wall.UnixNano())
	w.r.Remember(about)
	counted := uint64(0)
	for _, e := range w.r.blocks {
		counted += e.alerts
	}
	if counted != maxSources {
		t.Errorf("got %d looked up, want %d", counted, maxSources)
	}
}

// TestDamagedDocuments: what nothing wrote is left out, and does not keep filters
// from taking the rest.
func TestDamagedDocuments(t *testing.T) {
	w := newWorld(t, config.Enforce)
	w.put(listed("a", time.Hour, "203.0.113.9/32"))
	if _, err := w.r.Blocks().Add(t.Context(), control.Entry{Prefix: netip.MustParsePrefix("203.0.114.0/24"), TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	bad := *w.r.blocks[netip.MustParsePrefix("203.0.114.0/24")]
	bad.Limit = xdp.MaxLimit + 1
	doc := w.r.lists["a"].doc()
	doc.Origins[0].deed = bad.deed
	empty, err := w.r.blobs.Put(nets{}.write)
	if err := errors.Join(
		err, w.r.blockTable.Put("203.0.115.0/24", bad), w.r.listTable.Put("b", doc), w.r.listTable.Put("c", listDoc{Blob: empty}),
	); err != nil {
		t.Fatal(err)
	}
	w.restart()
	if got := len(w.r.Warnings()); got != 3 {
		t.Errorf("got %q, want a warning of each", w.r.Warnings())
	}
	if got, want := w.attach().networks(), "203.0.113.9/32 1h0m0s, 203.0.114.0/24 1h0m0s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if lists, err := w.r.Blocks().Lists(t.Context()); err != nil || len(lists) != 1 {
		t.Errorf("got %v, %v, want the list that is whole", lists, err)
	}
}

// TestDamagedList: a list that cannot be read is left out, and said; the rest
// goes on.
func TestDamagedList(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"a bit":  func(b []byte) []byte { b[40] ^= 1; return b },
		"cut":    func(b []byte) []byte { return b[:len(b)-9] },
		"empty":  func([]byte) []byte { return nil },
		"longer": func(b []byte) []byte { return append(b, b...) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, config.Enforce)
			w.put(listed("a", time.Hour, "203.0.113.9/32", "203.0.113.10/32"))
			w.put(listed("b", time.Hour, "203.0.113.11/32"))
			w.stop()
			path := filepath.Join(w.dir, "lists", "1.blob")
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(raw), 0o600); err != nil {
				t.Fatal(err)
			}
			w.start()
			if got := w.blocks(); len(got) != 1 || !strings.HasPrefix(got[0], "203.0.113.11/32") {
				t.Errorf("got %q, want the list that is whole", got)
			}
			if got := strings.Join(w.r.Warnings(), " "); !strings.Contains(got, "the list a cannot be read") {
				t.Errorf("got warnings %q", got)
			}
			if got := w.put(listed("a", time.Hour, "203.0.113.9/32")); got != "1 added, 0 unchanged, 0 removed, 0 refused, 1 on a" {
				t.Errorf("imported anew: got %s", got)
			}
		})
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t, config.Enforce)
	w.add("203.0.113.64/26", time.Hour)
	w.decide(block(w.raise(bruteForce("a1", "203.0.113.70")), "203.0.113.70"))
	in := listed("drop", 30*time.Minute, "203.0.113.64/26", "2001:db8::/32", "203.0.0.0/16")
	for i := range 100 {
		in.Networks.Add(netip.MustParsePrefix(fmt.Sprintf("203.0.113.%d/32", i)))
	}
	w.put(in)
	w.put(listed("other", 2*time.Hour, "203.0.113.1/32"))
	all := w.page(control.Page{Limit: 1000})
	if all.Total != 103 || len(all.Blocks) != 103 || all.Next != "" {
		t.Fatalf("got %d of %d, next %q, want 103", len(all.Blocks), all.Total, all.Next)
	}
	if !slices.IsSortedFunc(all.Blocks, func(a, b *pb.Block) int {
		return comparePrefixes(netip.MustParsePrefix(a.Prefix), netip.MustParsePrefix(b.Prefix))
	}) {
		t.Error("the list is not sorted")
	}
	for _, size := range []int{1, 7, 102, 103} {
		var got []*pb.Block
		q := control.Page{Limit: size}
		for {
			p := w.page(q)
			got = append(got, p.Blocks...)
			if (p.Total == 103) == q.After.IsValid() {
				t.Fatalf("got the total %d of a page after %v", p.Total, q.After)
			}
			if p.Next == "" {
				break
			}
			q.After = netip.MustParsePrefix(p.Next)
		}
		if len(got) != 103 {
			t.Errorf("pages of %d: got %d, want 103", size, len(got))
		}
		for i := range min(len(got), len(all.Blocks)) {
			if got[i].Prefix != all.Blocks[i].Prefix {
				t.Fatalf("pages of %d: got %s, want %s", size, got[i].Prefix, all.Blocks[i].Prefix)
			}
		}
	}
	within := netip.MustParsePrefix("203.0.113.70/31")
	for name, tt := range map[string]struct {
		q    control.Page
		want string
	}{
		"within":      {control.Page{Within: within}, "203.0.0.0/16 drop, 203.0.113.64/26 , 203.0.113.70/32 , 203.0.113.71/32 drop"},
		"source":      {control.Page{Source: enforcer}, "203.0.113.70/32 "},
		"list":        {control.Page{List: "drop", Within: within}, "203.0.0.0/16 drop, 203.0.113.64/26 drop, 203.0.113.70/32 drop, 203.0.113.71/32 drop"},
		"other list":  {control.Page{List: "other"}, "203.0.113.1/32 other"},
		"no list":     {control.Page{List: "nosuch"}, ""},
		"last":        {control.Page{After: netip.MustParsePrefix("203.255.0.0/16")}, "2001:db8::/32 drop"},
		"past all":    {control.Page{After: netip.MustParsePrefix("ff00::/8")}, ""},
		"no such one": {control.Page{After: netip.MustParsePrefix("203.0.113.98/31")}, "203.0.113.98/32 drop, 203.0.113.99/32 drop, 2001:db8::/32 drop"},
	} {
		tt.q.Limit = 1000
		var got []string
		for _, b := range w.page(tt.q).Blocks {
			got = append(got, b.Prefix+" "+b.List)
		}
		if diff := cmp.Diff(tt.want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got := w.page(control.Page{}); got.Total != 103 || len(got.Blocks) != 0 || got.Next != "" {
		t.Errorf("got %v, want the total alone", got)
	}
}

// TestListsFollow: whatever is imported, ordered, removed and over, in whatever
// order, the filter has what a plain account of it says, and so it does after a
// restart.
func TestListsFollow(t *testing.T) {
	seeds, acts := uint64(6), 80
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			w := newWorld(t, config.Enforce)
			f := w.attach()
			m := model{"": {}, "import": {}, "a": {}, "b": {}}
			network := func() netip.Prefix {
				p, _ := canonical(netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(rng.IntN(3)), byte(rng.IntN(8))}), 22+rng.IntN(11)))
				return p
			}
			for range acts {
				ttl := time.Duration(1+rng.IntN(600)) * time.Minute
				end := w.clock.wall.Add(ttl)
				switch rng.IntN(9) {
				case 0, 1, 2:
					in := control.Import{List: []string{"", "a", "b"}[rng.IntN(3)], TTL: ttl}
					name := in.List
					if name == "" {
						name = control.DefaultList
					} else {
						clear(m[name])
					}
					for range rng.IntN(20) {
						p := network()
						in.Networks.Add(p)
						m[name][p] = end
					}
					w.put(in)
				case 3, 4:
					p := network()
					w.add(p.String(), ttl)
					m[""][p] = end
				case 5:
					p := network()
					_, err := w.r.Blocks().Remove(t.Context(), p)
					if m.has(p) != (err == nil) {
						t.Fatalf("remove %s: got %v, want it there: %v", p, err, m.has(p))
					}
					for _, list := range m {
						delete(list, p)
					}
				case 6:
					name := []string{"a", "b", "import"}[rng.IntN(3)]
					if err := w.r.Blocks().removeList(t, name); (err == nil) != (len(m[name]) > 0) {
						t.Fatalf("remove list %s: got %v with %d networks", name, err, len(m[name]))
					}
					clear(m[name])
				case 7:
					w.clock.pass(time.Duration(rng.IntN(300)) * time.Minute)
				case 8:
					w.restart()
					f = w.attach()
				}
				w.r.step()
				m.expire(w.clock.wall)
				f.age(w.clock.wall, m)
				if diff := cmp.Diff(m.blocked(), f.prefixes()); diff != "" {
					t.Fatalf("the filter (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// model is a plain account of lists: when each network of each ends.
type model map[string]map[netip.Prefix]time.Time

func (m model) has(p netip.Prefix) bool {
	for _, list := range m {
		if _, ok := list[p]; ok {
			return true
		}
	}
	return false
}

func (m model) expire(now time.Time) {
	for _, list := range m {
		for p, end := range list {
			if !end.After(now) {
				delete(list, p)
			}
		}
	}
}

func (m model) blocked() []string {
	all := make(map[netip.Prefix]time.Time)
	for _, list := range m {
		for p, end := range list {
			if end.After(all[p]) {
				all[p] = end
			}
		}
	}
	var out []string
	for _, p := range sortedPrefixes(all) {
		out = append(out, fmt.Sprint(p, " until ", all[p].Format(time.TimeOnly)))
	}
	return out
}

// age notes when entries end that were stored since the last call.
func (f *filter) age(now time.Time, _ model) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ends == nil {
		f.ends = make(map[netip.Prefix]time.Time)
	}
	for p, e := range f.entries {
		if e.TTL > 0 {
			f.ends[p] = now.Add(e.TTL)
			e.TTL = 0
			f.entries[p] = e
		}
	}
}

func (f *filter) prefixes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, p := range sortedPrefixes(f.entries) {
		out = append(out, fmt.Sprint(p, " until ", f.ends[p].Format(time.TimeOnly)))
	}
	return out
}

// TestImportBesideOthers imports while blocks are added and removed, and lists
// shown; the filter has what the list says in the end.
func TestImportBesideOthers(t *testing.T) {
	w := newWorld(t, config.Enforce)
	f := w.attach()
	var many control.Import
	many.TTL = time.Hour
	for i := range 3 * stride {
		many.Networks.Add(netip.PrefixFrom(netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)}), 32))
	}
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			for i := range 40 {
				p := netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(i), byte(n)}), 32)
				if _, err := w.r.Blocks().Add(t.Context(), control.Entry{Prefix: p, TTL: time.Minute}); err != nil {
					t.Error(err)
				}
				if i%5 == 0 {
					if _, err := w.r.Blocks().List(t.Context(), control.Page{Limit: 10}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for i := range 4 {
		in := many
		in.List = []string{"a", "b", "", "a"}[i]
		if _, err := w.r.Blocks().Import(t.Context(), in); err != nil {
			t.Error(err)
		}
		if i == 1 {
			if err := w.r.Blocks().removeList(t, "a"); err != nil {
				t.Error(err)
			}
		}
	}
	wg.Wait()
	if got := w.page(control.Page{}).Total; got != uint64(len(f.entries)) || got != 3*stride {
		t.Errorf("got %d on the list, %d in the filter, want %d", got, len(f.entries), 3*stride)
	}
	for p, e := range f.entries {
		if e.TTL != time.Hour {
			t.Fatalf("%s: got %v left, want an hour", p, e.TTL)
		}
	}
}

// TestListsEndInStrides: whatever many networks come or end at one moment, filters
// are told about so many of them at most while the lock is held.
func TestListsEndInStrides(t *testing.T) {
	w := newWorld(t, config.Enforce)
	f := w.attach()
	in := control.Import{List: "drop", TTL: time.Minute}
	const n = 2*stride + 17
	for i := range n {
		in.Networks.Add(netip.PrefixFrom(netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)}), 32))
	}
	w.put(in)
	if len(f.entries) != n || f.largest != stride {
		t.Errorf("got %d blocks in the filter, %d at a time, want %d, %d", len(f.entries), f.largest, n, stride)
	}
	f.largest = 0
	w.clock.pass(time.Minute)
	w.r.step()
	if len(f.entries) != 0 || f.largest != stride {
		t.Errorf("got %d blocks in the filter after their time, %d at a time, want none, %d", len(f.entries), f.largest, stride)
	}
}

// TestBlocksEndInPortions: blocks that were asked for by themselves end some
// thousands at a time, without a pause.
func TestBlocksEndInPortions(t *testing.T) {
	w := newWorld(t, config.Enforce)
	const n = maxEnded + 9
	docs := make(map[string]entry, n)
	for i := range n {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		docs[p.String()] = *w.r.newEntry("", time.Minute)
	}
	if err := w.r.blockTable.PutAll(docs); err != nil {
		t.Fatal(err)
	}
	w.restart()
	f := w.attach()
	w.clock.pass(time.Minute)
	if wait := w.r.step(); len(f.entries) != n-maxEnded || wait > time.Millisecond {
		t.Errorf("got %d blocks after one step, and a wait of %v, want %d", len(f.entries), wait, n-maxEnded)
	}
	w.r.step()
	if len(f.entries) != 0 {
		t.Errorf("got %d blocks after two steps, want none", len(f.entries))
	}
}
