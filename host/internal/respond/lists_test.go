package respond

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func order(p string, ttl time.Duration) control.Entry {
	return control.Entry{Prefix: netip.MustParsePrefix(p), TTL: ttl, Reason: "test"}
}

// line shows what matters of a block.
func line(b *pb.Block, now time.Time) string {
	left := "for ever"
	if b.Expires != nil {
		left = b.Expires.AsTime().Sub(now).String()
	}
	return strings.Join([]string{b.Prefix, left, b.Source, b.Reason, b.Effect}, "; ")
}

// page returns a page of the block list.
func (w *world) page(q control.Page) *pb.ListBlocksResponse {
	w.t.Helper()
	page, err := w.r.Blocks().List(w.t.Context(), q)
	if err != nil {
		w.t.Fatal(err)
	}
	return page
}

func (w *world) blocks() []string {
	w.t.Helper()
	var out []string
	for _, b := range w.page(control.Page{Limit: control.MaxPage}).Blocks {
		out = append(out, line(b, w.clock.wall))
	}
	return out
}

func (w *world) add(p string, ttl time.Duration) {
	w.t.Helper()
	if _, err := w.r.Blocks().Add(w.t.Context(), order(p, ttl)); err != nil {
		w.t.Fatal(err)
	}
}

func TestOperatorOrders(t *testing.T) {
	for _, tt := range []struct {
		prefix string
		ttl    time.Duration
		want   error
		says   string
	}{
		{"203.0.113.9/32", 0, nil, ""},
		{"203.0.0.0/8", time.Hour, nil, ""}, // bits past the length are ignored
		{"2001:db8:1::/48", 24 * time.Hour, nil, ""},
		{"::ffff:203.0.113.0/120", time.Minute, nil, ""},
		{"0.0.0.0/0", 0, control.ErrInvalid, "every address"},
		{"::/0", 0, control.ErrInvalid, "every address"},
		{"127.0.0.1/32", 0, control.ErrInvalid, "other hosts"},
		{"224.0.0.0/8", 0, control.ErrInvalid, "other hosts"},
		{"203.0.113.9/32", 25 * time.Hour, control.ErrInvalid, "max_ttl"},
		{"203.0.113.9/32", -1, control.ErrInvalid, "max_ttl"},
		{"198.51.100.1/32", 0, ErrAllowed, "198.51.100.0/28 is on the allow list ([respond] allow)"},
		{"198.51.100.64/28", 0, ErrAllowed, "[ebpf] allow"},
		{"198.51.100.129/32", 0, ErrAllowed, "a trusted proxy ([respond] trusted_proxies)"},
		{"192.0.2.1/32", 0, ErrAllowed, "a gateway of this host (/proc/net/route)"},
		{"192.0.2.10/32", 0, ErrAllowed, "an address of this host"},
		{"192.0.2.77/32", 0, ErrAllowed, "SSH session"},
	} {
		t.Run(tt.prefix, func(t *testing.T) {
			w := newWorld(t, config.Enforce)
			f := newFilter("eth0")
			if err := w.r.Attach(f); err != nil {
				t.Fatal(err)
			}
			resp, err := w.r.Blocks().Add(t.Context(), order(tt.prefix, tt.ttl))
			if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %v, want %v that says %q", err, tt.want, tt.says)
			}
			if errors.Is(tt.want, ErrAllowed) != errors.Is(err, control.ErrConflict) {
				t.Errorf("got %v, want a conflict for what is never blocked", err)
			}
			if (len(f.entries) == 1) != (tt.want == nil) || err == nil && !resp.Changed {
				t.Errorf("got %d entries in the filter and %v", len(f.entries), resp)
			}
		})
	}
}

func TestOperatorList(t *testing.T) {
	w := newWorld(t, config.Enforce)
	f := newFilter("eth0")
	if err := w.r.Attach(f); err != nil {
		t.Fatal(err)
	}
	w.add("203.0.113.9/32", time.Minute)
	w.add("192.0.2.0/24", 0) // holds the gateway and more
	w.decide(block(w.raise(bruteForce("a1", "203.0.113.10")), "203.0.113.10"))
	w.clock.pass(time.Second)
	want := []string{
		"192.0.2.0/24; 59m59s; operator; test; enforced, except 192.0.2.1 (gateway), 192.0.2.2 (gateway), 192.0.2.53 (resolver), 3 more",
		"203.0.113.9/32; 59s; operator; test; enforced",
		"203.0.113.10/32; 59m59s; enforcer-xdp; SSH Brute Force Attack.; enforced",
	}
	if diff := cmp.Diff(want, w.blocks()); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
	for addr, want := range map[string]bool{"192.0.2.99": true, "192.0.2.1": false, "192.0.2.53": false, "192.0.2.77": false, "203.0.113.9": true} {
		if got := f.drops(addr); got != want {
			t.Errorf("%s is dropped: %v, want %v", addr, got, want)
		}
	}
	page, _ := w.r.Blocks().List(t.Context(), control.Page{Skip: 1, Limit: 1})
	if page.Total != 3 || len(page.Blocks) != 1 || page.Blocks[0].Prefix != "203.0.113.9/32" {
		t.Errorf("got %v, want the second of 3", page)
	}
	if page, _ := w.r.Blocks().List(t.Context(), control.Page{Skip: 9, Limit: 9}); page.Total != 3 || len(page.Blocks) != 0 || page.Next != "" {
		t.Errorf("got %v past the end", page)
	}
	for p, want := range map[string]string{
		"203.0.113.9/32": "blocked; 203.0.113.9, by operator: test (enforced)",
		"192.0.2.1/32":   "allowed; 192.0.2.1: it is never blocked: 192.0.2.1 is a gateway of this host (/proc/net/route)",
		"192.0.2.9/32":   "blocked; 192.0.2.0/24, by operator: test (enforced, except 192.0.2.1 (gateway), 192.0.2.2 (gateway), 192.0.2.53 (resolver), 3 more)",
		"8.8.8.8/32":     "none; ",
	} {
		got, err := w.r.Check(t.Context(), netip.MustParsePrefix(p))
		if err != nil || got.Verdict+"; "+got.Reason != want {
			t.Errorf("check %s: got %v %v, want %q", p, got, err, want)
		}
	}
	again, err := w.r.Blocks().Add(t.Context(), order("203.0.113.9/32", 59*time.Second))
	if err != nil || again.Changed {
		t.Errorf("the same again: got %v %v, want unchanged", again, err)
	}
	if _, err := w.r.Blocks().Remove(t.Context(), netip.MustParsePrefix("192.0.2.9/32")); !errors.Is(err, control.ErrNotFound) || !strings.Contains(err.Error(), "192.0.2.0/24") {
		t.Errorf("got %v, want not found, and what blocks it", err)
	}
	if _, err := w.r.Blocks().Remove(t.Context(), netip.MustParsePrefix("203.0.113.10/32")); err != nil {
		t.Fatal(err)
	}
	if got := w.journal.last(); got.Outcome != pb.Outcome_OUTCOME_RELEASED || got.Id != "intent-of-a1" || f.drops("203.0.113.10") {
		t.Errorf("got %v, want the intent released", got)
	}
	w.restart()
	if got := w.blocks(); len(got) != 2 {
		t.Errorf("got %q after a restart, want two", got)
	}
}

func TestSimulatedOrders(t *testing.T) {
	w := newWorld(t, config.Simulate)
	f := newFilter("eth0")
	if err := w.r.Attach(f); err != nil {
		t.Fatal(err)
	}
	w.add("203.0.113.9/32", time.Minute)
	if got, want := w.blocks()[0], "203.0.113.9/32; 1m0s; operator; test; simulated"; got != want || f.drops("203.0.113.9") {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := w.journal.last(); got.Outcome != pb.Outcome_OUTCOME_SIMULATED {
		t.Errorf("got %v, want simulated", got)
	}
	if _, err := w.r.SetMode(t.Context(), "enforce", 0); err != nil {
		t.Fatal(err)
	}
	if !f.drops("203.0.113.9") {
		t.Error("the operator's order is not in force in enforce")
	}
}

func TestAllow(t *testing.T) {
	w := newWorld(t, config.Enforce)
	f := newFilter("eth0")
	if err := w.r.Attach(f); err != nil {
		t.Fatal(err)
	}
	w.decide(block(w.raise(bruteForce("a1", "203.0.113.10")), "203.0.113.10"))
	w.add("203.0.113.9/32", 0)
	w.add("203.0.0.0/16", 0)
	if _, err := w.r.Allows().Add(t.Context(), order("203.0.113.0/24", 0)); err != nil {
		t.Fatal(err)
	}
	want := []string{"203.0.0.0/16; 1h0m0s; operator; test; enforced, except 203.0.113.0/24 (allow_list)"}
	if diff := cmp.Diff(want, w.blocks()); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
	for addr, want := range map[string]bool{"203.0.113.9": false, "203.0.113.10": false, "203.0.114.1": true} {
		if got := f.drops(addr); got != want {
			t.Errorf("%s is dropped: %v, want %v", addr, got, want)
		}
	}
	if got := w.decide(block(w.raise(bruteForce("a2", "203.0.113.11")), "203.0.113.11")); detailCode(got) != RailAllow {
		t.Errorf("got %v, want refused by the allow list", got)
	}
	w.restart()
	var allowed []string
	page, _ := w.r.Allows().List(t.Context(), control.Page{Limit: 10})
	for _, b := range page.Blocks {
		allowed = append(allowed, line(b, w.clock.wall))
	}
	want = []string{
		"198.51.100.0/28; for ever; configuration; [respond] allow; allowed",
		"198.51.100.64/28; for ever; configuration; [ebpf] allow; allowed",
		"203.0.113.0/24; for ever; operator; test; allowed",
	}
	if diff := cmp.Diff(want, allowed); diff != "" || page.Total != 3 {
		t.Errorf("allowed, %d in all (-want +got):\n%s", page.Total, diff)
	}
	if _, err := w.r.Allows().Remove(t.Context(), netip.MustParsePrefix("198.51.100.0/28")); !errors.Is(err, control.ErrConflict) || !strings.Contains(err.Error(), "config reload") {
		t.Errorf("got %v, want a conflict with the file", err)
	}
	if _, err := w.r.Allows().Remove(t.Context(), netip.MustParsePrefix("198.51.100.1/32")); !errors.Is(err, control.ErrNotFound) {
		t.Errorf("got %v, want not found", err)
	}
	if _, err := w.r.Allows().Remove(t.Context(), netip.MustParsePrefix("203.0.113.0/24")); err != nil {
		t.Fatal(err)
	}
	w.add("203.0.113.9/32", 0)
}

// TestAllowOver: an allow with a time ends, and is no rail any more.
func TestAllowOver(t *testing.T) {
	w := newWorld(t, config.Enforce)
	if _, err := w.r.Allows().Add(t.Context(), order("203.0.113.0/24", time.Minute)); err != nil {
		t.Fatal(err)
	}
	w.clock.pass(time.Minute)
	w.r.step()
	w.add("203.0.113.9/32", 0)
}

// TestReload: what the file newly allows is not blocked any more.
func TestReload(t *testing.T) {
	w := newWorld(t, config.Enforce)
	f := newFilter("eth0")
	if err := w.r.Attach(f); err != nil {
		t.Fatal(err)
	}
	w.add("203.0.113.9/32", 0)
	p := policy(config.Enforce)
	p.Respond.Allow = append(p.Respond.Allow, netip.MustParsePrefix("203.0.113.9/32"))
	if err := w.r.Reconfigure(p); err != nil {
		t.Fatal(err)
	}
	if got := w.blocks(); len(got) != 0 || f.drops("203.0.113.9") {
		t.Errorf("got %q, want none", got)
	}
}

func TestPrefixes(t *testing.T) {
	m := make(map[netip.Prefix]bool)
	for _, s := range []string{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "10.1.255.0/24", "11.0.0.0/8", "2001:db8::/32", "2001:db8::1/128"} {
		m[netip.MustParsePrefix(s)] = true
	}
	sorted := sortedPrefixes(m)
	for p, want := range map[string]string{
		"10.1.2.3/32":     "10.1.2.3/32 [10.1.2.3/32]",
		"10.1.0.0/16":     "10.1.0.0/16 [10.1.0.0/16 10.1.2.3/32 10.1.255.0/24]",
		"10.1.0.0/17":     "10.1.0.0/16 [10.1.2.3/32]",
		"10.2.0.0/16":     "10.0.0.0/8 []",
		"10.0.0.0/7":      "invalid Prefix [10.0.0.0/8 10.1.0.0/16 10.1.2.3/32 10.1.255.0/24 11.0.0.0/8]",
		"2001:db8::/64":   "2001:db8::/32 [2001:db8::1/128]",
		"0.0.0.0/0":       "invalid Prefix [10.0.0.0/8 10.1.0.0/16 10.1.2.3/32 10.1.255.0/24 11.0.0.0/8]",
		"255.0.0.0/8":     "invalid Prefix []",
		"2001:db9::/32":   "invalid Prefix []",
		"10.1.2.2/32":     "10.1.0.0/16 []",
		"2001:db8::2/128": "2001:db8::/32 []",
	} {
		q := netip.MustParsePrefix(p)
		at, _, _ := covering(m, q)
		if got := fmt.Sprintf("%v %v", at, inside(sorted, q)); got != want {
			t.Errorf("%s: got %s, want %s", p, got, want)
		}
	}
}
