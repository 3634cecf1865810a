//go:build amd64 || arm64

package xdp

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRemoveMany stores entries of every kind as new ones, reads their hits, and
// removes them together with some that are not there.
func TestRemoveMany(t *testing.T) {
	f := newFilter(t, Config{MaxEntries: 1 << 10})
	var (
		prefixes []netip.Prefix
		entries  []Entry
	)
	for _, s := range []string{
		"203.0.113.7/32", "203.0.113.0/24", "198.51.100.0/25", "2001:db8::7/128", "2001:db8:0:1::/64", "2001:db8:1::/48",
	} {
		prefixes = append(prefixes, netip.MustParsePrefix(s))
		entries = append(entries, Entry{Prefix: netip.MustParsePrefix(s), TTL: time.Hour})
	}
	if err := f.PutNew(entries); err != nil {
		t.Fatal(err)
	}
	for _, p := range prefixes {
		if p.Addr().Is4() && !drops(t, f, p.Addr()) {
			t.Errorf("%v is not dropped", p)
		}
	}
	// A network within one of the list is none of the list.
	asked := append([]netip.Prefix{netip.MustParsePrefix("198.51.100.0/26"), netip.MustParsePrefix("192.0.2.1/32")}, prefixes...)
	hits, err := f.Hits(asked)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint64{0, 0, 1, 1, 1, 0, 0, 0}, hits); diff != "" {
		t.Errorf("hits (-want +got):\n%s", diff)
	}
	gone := []netip.Prefix{
		netip.MustParsePrefix("192.0.2.1/32"), prefixes[0], netip.MustParsePrefix("192.0.2.2/32"), netip.MustParsePrefix("198.51.100.0/26"),
		prefixes[2], prefixes[4], netip.MustParsePrefix("2001:db8::8/128"), prefixes[3], prefixes[5], netip.MustParsePrefix("2001:db8:2::/48"),
	}
	if err := errors.Join(f.RemoveMany(gone), f.RemoveMany(gone), f.RemoveMany(nil)); err != nil {
		t.Fatal(err)
	}
	left, err := f.Entries()
	if err != nil || len(left) != 1 || left[0].Prefix != prefixes[1] {
		t.Errorf("got %v, %v, want %v alone", left, err, prefixes[1])
	}
	if drops(t, f, netip.MustParseAddr("198.51.100.1")) || !drops(t, f, netip.MustParseAddr("203.0.113.7")) {
		t.Error("what was removed is dropped, or what was left is not")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, hitsErr := f.Hits(prefixes)
	for _, err := range []error{hitsErr, f.RemoveMany(gone), f.PutNew(entries)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want %v", err, ErrClosed)
		}
	}
	if err := f.RemoveMany([]netip.Prefix{{}}); err == nil {
		t.Error("got no error for what is no prefix")
	}
}
