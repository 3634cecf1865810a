//go:build amd64 || arm64

package xdp

import (
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/nettest"
)

// stage is an interface in a namespace, and a directory for pins.
type stage struct {
	*nettest.Pair
	t    *testing.T
	pins string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	return &stage{Pair: nettest.NewPair(t), t: t, pins: nettest.PinDir(t)}
}

// open opens the filter on the victim's interface; it is closed, not detached,
// when the test ends.
func (s *stage) open(config Config) *Filter {
	s.t.Helper()
	f, err := s.tryOpen(config)
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

func (s *stage) tryOpen(config Config) (f *Filter, err error) {
	s.t.Helper()
	if config.Interface == "" {
		config.Interface = s.Victim.Interface
	}
	if config.PinDir == "" {
		config.PinDir = s.pins
	}
	if config.MaxEntries == 0 {
		config.MaxEntries = 1024
	}
	s.in(func() error {
		f, err = Open(config)
		return nil
	})
	if f != nil {
		s.t.Cleanup(func() {
			if err := f.Close(); err != nil {
				s.t.Error(err)
			}
		})
	}
	return f, err
}

// in calls fn in the victim's namespace.
func (s *stage) in(fn func() error) {
	s.t.Helper()
	if err := s.Victim.Do(fn); err != nil {
		s.t.Fatal(err)
	}
}

// pinsOf is where an owner pins the filter of the victim's interface.
func (s *stage) pinsOf(owner string) (p Pins) {
	s.t.Helper()
	s.in(func() error {
		namespace, err := networkNamespace()
		p = Pins{Interface: s.Victim.Interface, Owner: owner, Dir: filepath.Join(s.pins, homeName(s.Victim.Interface, namespace, owner))}
		return err
	})
	return p
}

// attached returns the program on the victim's interface, 0 for none.
func (s *stage) attached() (id uint32, mode Mode) {
	s.t.Helper()
	s.in(func() (err error) {
		id, mode, err = attachedProgram(InterfaceIndex(s.Victim.Interface))
		return err
	})
	return id, mode
}

// sets returns the names of the directories of pins, by what they hold.
func (s *stage) sets() []string {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(s.pins, "*", "*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	return found
}

var someEntries = []Entry{
	{Prefix: netip.MustParsePrefix("192.0.2.7/32"), Action: ActionDrop, TTL: time.Hour, Rule: 7},
	{Prefix: netip.MustParsePrefix("198.18.0.0/15"), Action: ActionLimit, Limit: 100, Burst: 7},
	{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Action: ActionDrop, Rule: 8},
	{Prefix: netip.MustParsePrefix("203.0.112.0/20"), Action: ActionMonitor, TTL: 2 * time.Hour},
	{Prefix: netip.MustParsePrefix("2001:db8::7/128"), Action: ActionDrop, DryRun: true},
	{Prefix: netip.MustParsePrefix("2001:db8:1:2::/64"), Action: ActionDrop, TTL: time.Hour},
	{Prefix: netip.MustParsePrefix("2001:db9::/32"), Action: ActionDrop},
	{Prefix: netip.MustParsePrefix("2400::/12"), Action: ActionDrop},
}

var someAllowed = []netip.Prefix{netip.MustParsePrefix("198.51.100.9/32"), netip.MustParsePrefix("2400:1::/48")}

// someRules are in the order of decision. No source of someEntries matches.
var someRules = []Rule{
	{
		ID: 3, From: []netip.Prefix{netip.MustParsePrefix("10.7.0.0/16"), netip.MustParsePrefix("2001:dbb::/32")},
		To: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:ffff::/48")}, Protocol: ProtocolTCPSYN,
		Ports: []PortRange{{First: 22, Last: 22}, {First: 8000, Last: 8100}}, SourcePorts: []PortRange{{First: 1024, Last: 65535}},
		Action: ActionDrop, TTL: time.Hour,
	},
	{ID: 4, From: []netip.Prefix{netip.MustParsePrefix("10.7.0.0/16")}, Protocol: ProtocolUDP, Action: ActionLimit, Limit: 1000, Burst: 2000},
	{ID: 5, From: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/16")}, Action: ActionDrop, DryRun: true},
	{ID: 6, From: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}, Action: ActionMonitor, TTL: 2 * time.Hour},
}

// someSources match someRules, as SYNs to port 22.
var someSources = map[uint32]string{3: "10.7.1.1", 5: "10.8.1.1", 6: "10.9.1.1"}

// fillSome gives a filter lists of every kind, and rules, and has each decide once.
func fillSome(t *testing.T, f *Filter) {
	t.Helper()
	for _, e := range someEntries {
		if err := f.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range someAllowed {
		if err := f.SetAllow(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.SetRules(someRules); err != nil {
		t.Fatal(err)
	}
	for _, e := range someEntries {
		drops(t, f, e.Prefix.Addr().Next())
		drops(t, f, e.Prefix.Addr())
	}
	for _, src := range someSources {
		drops(t, f, netip.MustParseAddr(src))
	}
}

// checkSome compares lists, expiries and verdicts with those of fillSome.
func checkSome(t *testing.T, f *Filter) {
	t.Helper()
	got, err := f.Entries()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b Entry) int { return a.Prefix.Compare(b.Prefix) })
	for i := range got {
		if got[i].Hits == 0 {
			t.Errorf("%v: got no hits, want those from before", got[i].Prefix)
		}
		if want := someEntries[i].TTL; got[i].TTL > want || got[i].TTL < want-time.Minute {
			t.Errorf("%v: got %v left, want little less than %v", got[i].Prefix, got[i].TTL, want)
		}
		got[i].Hits, got[i].Drops, got[i].WouldDrops, got[i].TTL = 0, 0, 0, someEntries[i].TTL
	}
	if diff := cmp.Diff(someEntries, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("block list, -want +got:\n%s", diff)
	}
	rules, err := f.Rules()
	if err != nil {
		t.Fatal(err)
	}
	for i := range rules {
		r := &rules[i]
		if _, matched := someSources[r.ID]; (r.Hits > 0) != matched {
			t.Errorf("rule %d: got %d hits, want some of before: %v", r.ID, r.Hits, matched)
		}
		want := someRules[min(i, len(someRules)-1)].TTL
		if r.TTL > want || r.TTL < want-time.Minute {
			t.Errorf("rule %d: got %v left, want little less than %v", r.ID, r.TTL, want)
		}
		r.Hits, r.Drops, r.WouldDrops, r.TTL = 0, 0, 0, want
	}
	if diff := cmp.Diff(someRules, rules, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("rules, -want +got:\n%s", diff)
	}
	allowed, err := f.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(allowed, netip.Prefix.Compare)
	if !slices.Equal(allowed, someAllowed) {
		t.Errorf("got allow list %v, want %v", allowed, someAllowed)
	}
	for src, want := range map[string]bool{
		"192.0.2.7": true, "192.0.2.8": false, "198.51.100.1": true, "198.51.100.9": false, "203.0.112.1": false,
		"2001:db8::7": false, "2001:db8:1:2::9": true, "2001:db8:1:3::9": false, "2001:db9::1": true, "2400::1": true,
		"2400:1::1": false, "2001:dba::1": false,
		"10.7.1.1": true, "10.8.1.1": false, "10.9.1.1": false, "2001:dbb::1": true, "2001:dbc::1": false, "198.18.0.1": false,
	} {
		if got := drops(t, f, netip.MustParseAddr(src)); got != want {
			t.Errorf("%s: got dropped %v, want %v", src, got, want)
		}
	}
}
