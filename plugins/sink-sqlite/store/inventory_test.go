package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

const aContainer = "container:aaaaaaaaaaaa0000000000000000000000000000000000000000000000000000"

// aPackage is the package with a number: of the host when that is even, else of a
// container.
func aPackage(n int) *event.InventoryEvent {
	e := &event.InventoryEvent{
		Stream: stream, Sequence: uint64(n), Time: noon.Add(time.Duration(n) * time.Second), Target: "host",
		Name: fmt.Sprintf("p%d", n%5), Version: fmt.Sprintf("1.%d", n), Ecosystem: []string{"npm", "Debian"}[n%2],
		PURL: fmt.Sprintf("pkg:x/p%d@1.%d", n%5, n), Arch: "amd64", State: "half-installed", Licenses: []string{"MIT"},
		Locations: []string{"/a", "/b"}, InUse: n%3 == 0, Omitted: uint32(n),
	}
	if n%2 == 1 {
		e.Target, e.TargetName, e.Image = aContainer, "web1", "sha256:00"
	}
	for i := range n % 3 {
		e.Findings = append(e.Findings, event.Finding{
			ID: fmt.Sprintf("GHSA-%d", i), Aliases: []string{fmt.Sprintf("CVE-2026-%d", n)}, Severity: event.Severity(2 + i), Score: 7.5, Fixed: "2",
			KEV: true, EPSS: 0.5, Status: "affected",
		})
	}
	e.ID = event.InventoryID(e.Target, e.PURL)
	return e
}

func TestInventoryComesBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	if got := query(t, s, sdk.Query{Kind: event.KindInventory}); len(got) != 0 {
		t.Errorf("got %d packages of none", len(got))
	}
	if _, err := os.Stat(filepath.Join(dir, inventoryName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a file for no package: %v", err)
	}
	bare := &event.InventoryEvent{ID: "0000000000000000000000000000000f", Target: "host", Time: noon}
	s.PutInventory(bare)
	for n := range 3 {
		s.PutInventory(aPackage(n + 1))
	}
	flushed(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir})
	var want []sdk.Record
	for _, e := range []*event.InventoryEvent{aPackage(3), aPackage(2), aPackage(1), bare} {
		want = append(want, sdk.Record{Inventory: e})
	}
	if diff := cmp.Diff(want, query(t, s, sdk.Query{Kind: event.KindInventory}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheLastWordAboutAPackageCounts(t *testing.T) {
	s := open(t, Config{})
	gone := func(e *event.InventoryEvent) *event.InventoryEvent {
		return &event.InventoryEvent{ID: e.ID, Target: e.Target, PURL: e.PURL, Removed: true}
	}
	all := func() (versions []string) {
		for _, r := range query(t, s, sdk.Query{Kind: event.KindInventory}) {
			versions = append(versions, r.Inventory.Version)
		}
		slices.Sort(versions)
		return versions
	}
	expect := func(what string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, all()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	for range 2 { // as after a restart
		for n := range 6 {
			s.PutInventory(aPackage(n))
		}
	}
	expect("each once", "1.0", "1.1", "1.2", "1.3", "1.4", "1.5")
	s.PutInventory(gone(aPackage(2)))
	expect("one is gone", "1.0", "1.1", "1.3", "1.4", "1.5")
	later := aPackage(4)
	later.Findings = nil
	s.PutInventory(later)
	if got := query(t, s, sdk.Query{Kind: event.KindInventory, Equal: []event.Field{{Key: "cve", Value: "CVE-2026-4"}}}); len(got) != 0 {
		t.Errorf("an advisory is found that does not hold any more: %+v", got)
	}
	s.PutInventory(&event.InventoryEvent{ID: event.InventoryID(aContainer, ""), Target: aContainer, Removed: true})
	expect("a container is gone", "1.0", "1.4")
	s.PutInventory(aPackage(3))
	expect("one of its packages is back", "1.0", "1.3", "1.4")
	n := 0
	if err := s.inventory.conn.QueryRowContext(t.Context(), "SELECT count(*) FROM advisories").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d names of advisories are left, %v; none of these packages has any", n, err)
	}
}

func TestInventoryQueries(t *testing.T) {
	s := open(t, Config{})
	for n := range 12 {
		s.PutInventory(aPackage(n))
	}
	flushed(t, s)
	equal := func(pairs ...string) (fields []event.Field) {
		for i := 0; i < len(pairs); i += 2 {
			fields = append(fields, event.Field{Key: pairs[i], Value: pairs[i+1]})
		}
		return fields
	}
	for _, tt := range []struct {
		name string
		q    sdk.Query
		want []uint64
	}{
		{"newest first, limited", sdk.Query{Limit: 3}, []uint64{11, 10, 9}},
		{"package", sdk.Query{Equal: equal("package", "p3")}, []uint64{8, 3}},
		{"version", sdk.Query{Equal: equal("package", "p3", "version", "1.8")}, []uint64{8}},
		{"ecosystem", sdk.Query{Equal: equal("ecosystem", "npm"), Limit: 2}, []uint64{10, 8}},
		{"purl", sdk.Query{Equal: equal("purl", "pkg:x/p1@1.6")}, []uint64{6}},
		{"cve", sdk.Query{Equal: equal("cve", "CVE-2026-7")}, []uint64{7}},
		{"another name of it", sdk.Query{Equal: equal("cve", "GHSA-1")}, []uint64{11, 8, 5, 2}},
		{"target", sdk.Query{Equal: equal("target", "host", "cve", "GHSA-1")}, []uint64{8, 2}},
		{"target by its name", sdk.Query{Equal: equal("target", "web1", "cve", "GHSA-1")}, []uint64{11, 5}},
		{"target by the beginning of its id", sdk.Query{Equal: equal("target", "aaaaaaaaaaaa", "cve", "GHSA-1")}, []uint64{11, 5}},
		{"target, whole", sdk.Query{Equal: equal("target", aContainer, "cve", "GHSA-1")}, []uint64{11, 5}},
		{"target, too short to be an id", sdk.Query{Equal: equal("target", "aaaa")}, []uint64{}},
		{"in use", sdk.Query{Equal: equal("in_use", "true")}, []uint64{9, 6, 3, 0}},
		{"not in use", sdk.Query{Equal: equal("in_use", "false", "target", "host")}, []uint64{10, 8, 4, 2}},
		{"severity", sdk.Query{MinSeverity: event.SeverityMedium}, []uint64{11, 8, 5, 2}},
		{"id", sdk.Query{ID: aPackage(4).ID[:12]}, []uint64{4}},
		{"time", sdk.Query{Since: noon.Add(10 * time.Second).UnixNano()}, []uint64{11, 10}},
		{"no SQL in a value", sdk.Query{Equal: equal("cve", "x' OR 1=1 --")}, []uint64{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.q.Kind = event.KindInventory
			got := []uint64{}
			for _, r := range query(t, s, tt.q) {
				got = append(got, r.Inventory.Sequence)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, q := range []sdk.Query{
		{ID: "abc"}, {Equal: equal("in_use", "perhaps")}, {Equal: equal("src_ip", "192.0.2.1")}, {Equal: equal("t.name; DROP TABLE packages", "x")},
	} {
		q.Kind = event.KindInventory
		if err := s.Query(t.Context(), q, nil); !errors.Is(err, ErrQuery) {
			t.Errorf("%+v: got %v, want ErrQuery", q, err)
		}
	}
}

func TestInventoryIsBounded(t *testing.T) {
	now := noon
	s := open(t, Config{Now: func() time.Time { return now }})
	s.maxInventory = 4 << 20
	for n := range 1000 {
		e := aPackage(n)
		e.Locations = []string{strings.Repeat("l", 16<<10)}
		s.PutInventory(e)
		if n%100 == 99 {
			now = now.Add(sweepInterval)
			flushed(t, s)
		}
	}
	got := query(t, s, sdk.Query{Kind: event.KindInventory})
	if n := len(got); n < 100 || n > 400 || uint64(n)+s.Stats().Forgotten != 1000 {
		t.Errorf("%d packages are kept of 1000 of 16 KiB, %d forgotten; want about as many as 4 MiB hold", n, s.Stats().Forgotten)
	}
	if first := got[0].Inventory.Sequence; first != 999 {
		t.Errorf("the newest is %d, want 999", first)
	}
}

func TestADamagedInventoryIsMovedAside(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, inventoryName), []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(context.Background(), Config{Dir: dir, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	s.PutAlert(alert(1))
	s.PutInventory(aPackage(1))
	flushed(t, s)
	if n := len(query(t, s, sdk.Query{Kind: event.KindInventory})); n != 1 || s.Stats().Corrupt != 1 {
		t.Errorf("got %d packages and %d corrupt databases, want 1 and 1", n, s.Stats().Corrupt)
	}
	if err := s.Health(); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), inventoryName) {
		t.Errorf("health says %v", err)
	}
}

// TestAStoreOfTheVersionBefore is a directory that has no inventory.
func TestAStoreOfTheVersionBefore(t *testing.T) {
	dir := t.TempDir()
	from, err := os.ReadFile(filepath.Join("testdata", "v1-alerts.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, alertsName), from, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, Config{Dir: dir})
	s.PutInventory(aPackage(1))
	s.PutAlert(alert(7))
	flushed(t, s)
	var got []string
	for _, r := range query(t, s, sdk.Query{Kind: event.KindAlert}) {
		got = append(got, r.Alert.RuleID+" "+r.State)
	}
	if diff := cmp.Diff([]string{"ssh_brute_force open", "kept_from_before acknowledged"}, got); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
	if n := len(query(t, s, sdk.Query{Kind: event.KindInventory})); n != 1 {
		t.Errorf("got %d packages, want 1", n)
	}
}
