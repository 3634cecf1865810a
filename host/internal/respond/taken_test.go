package respond

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// elsewhere is a decision of another host.
func elsewhere(id, prefix string, left time.Duration, change ...func(*pb.Decision)) *pb.Decision {
	d := &pb.Decision{
		Id: id, Kind: pb.Decision_KIND_BLOCK, Prefix: prefix, Host: "web2", Source: "enforcer-xdp", Reason: "SSH brute force.",
		Created: uint64(newHand().wall.UnixNano()), RemainingMs: uint64(left.Milliseconds()), //nolint:gosec // a test's times
	}
	for _, c := range change {
		c(d)
	}
	return d
}

func limited(d *pb.Decision)  { d.Kind, d.Limit, d.Burst = pb.Decision_KIND_LIMIT, 10, 20 }
func approved(d *pb.Decision) { d.Kind = pb.Decision_KIND_ALLOW }

func newMember(t *testing.T) (*world, *filter) {
	t.Helper()
	w := newWorld(t, config.Enforce)
	w.config.HostID, w.config.HostName = "0123456789abcdef", "web1"
	w.restart()
	f := newFilter("eth0")
	if err := w.r.Attach(f); err != nil {
		t.Fatal(err)
	}
	return w, f
}

func (w *world) take(decisions ...*pb.Decision) {
	w.t.Helper()
	if err := w.r.Fleet().Take(decisions); err != nil {
		w.t.Fatal(err)
	}
}

// ids of decisions, sorted as they are given.
func ids(decisions []*pb.Decision) []string {
	var out []string
	for _, d := range decisions {
		out = append(out, d.Id)
	}
	return out
}

func TestTakeOver(t *testing.T) {
	w, f := newMember(t)
	w.take(elsewhere("d1", "203.0.113.9/32", time.Hour), elsewhere("d2", "203.0.113.0/24", 2*time.Hour, limited))
	want := []string{
		"203.0.113.0/24; 2h0m0s; enforcer-xdp@web2; SSH brute force.; enforced",
		"203.0.113.9/32; 1h0m0s; enforcer-xdp@web2; SSH brute force.; enforced",
	}
	if diff := cmp.Diff(want, w.blocks()); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
	if e := f.entries[netip.MustParsePrefix("203.0.113.0/24")]; e.Action != xdp.ActionLimit || e.Limit != 10 || e.TTL != 2*time.Hour {
		t.Errorf("the filter has %+v, want a limit of 10 for 2h", e)
	}
	// Time goes on; whatever is said of the same decision, it has no more left.
	w.clock.pass(30 * time.Minute)
	w.take(elsewhere("d1", "203.0.113.9/32", time.Hour))
	w.restart()
	w.take(elsewhere("d1", "203.0.113.9/32", time.Hour))
	if diff := cmp.Diff("203.0.113.9/32; 30m0s; enforcer-xdp@web2; SSH brute force.; none: no interface is watched", w.blocks()[1]); diff != "" {
		t.Errorf("after half an hour and a restart (-want +got):\n%s", diff)
	}
	// It may have less.
	w.take(elsewhere("d1", "203.0.113.9/32", time.Minute))
	w.clock.pass(61 * time.Second)
	w.r.step()
	if got := len(w.blocks()); got != 1 {
		t.Errorf("%d blocks after the end of the shorter one, want 1", got)
	}
	w.clock.pass(2 * time.Hour)
	w.r.step()
	if got := w.blocks(); len(got) != 0 || w.r.Fleet().Taken() != 0 {
		t.Errorf("blocks after all has ended: %q", got)
	}
}

func TestTakeOverRefused(t *testing.T) {
	w, f := newMember(t)
	for _, tt := range []struct {
		name string
		d    *pb.Decision
		code string
	}{
		{"a gateway of this host", elsewhere("a", "192.0.2.1/32", time.Hour), "gateway"},
		{"an allowed address", elsewhere("b", "198.51.100.1/32", time.Hour), RailAllow},
		{"every address", elsewhere("c", "0.0.0.0/0", time.Hour), "invalid"},
		{"nobody's address", elsewhere("d", "127.0.0.0/8", time.Hour), "invalid"},
		{"no network", elsewhere("e", "example.net", time.Hour), "invalid"},
		{"no time", elsewhere("f", "203.0.113.9/32", 0), "invalid"},
		{"no limit", elsewhere("g", "203.0.113.9/32", time.Hour, limited, func(d *pb.Decision) { d.Limit = 0 }), "invalid"},
		{"no id", elsewhere("", "203.0.113.9/32", time.Hour), "invalid"},
		{"an unknown kind", elsewhere("h", "203.0.113.9/32", time.Hour, func(d *pb.Decision) { d.Kind = 9 }), "invalid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := w.r.counts["fleet_refused_"+tt.code]
			w.take(tt.d)
			if got := w.r.counts["fleet_refused_"+tt.code]; got != before+1 {
				t.Errorf("fleet_refused_%s = %d, want %d (%v)", tt.code, got, before+1, w.r.counts)
			}
		})
	}
	if len(f.entries) != 0 || len(w.blocks()) != 0 {
		t.Errorf("something is blocked: %v", w.blocks())
	}
	// None is longer than this host allows.
	w.take(elsewhere("long", "203.0.113.9/32", 1000*time.Hour))
	if e := f.entries[netip.MustParsePrefix("203.0.113.9/32")]; e.TTL != 24*time.Hour {
		t.Errorf("a block for 1000 h lasts %v, want max_ttl, 24h", e.TTL)
	}
}

// An own block and others' stand beside each other: what keeps most away, for longest.
func TestOwnAndTakenOver(t *testing.T) {
	w, f := newMember(t)
	p := netip.MustParsePrefix("203.0.113.9/32")
	w.add("203.0.113.9/32", time.Hour)
	w.take(elsewhere("d1", "203.0.113.9/32", 3*time.Hour), elsewhere("d2", "203.0.113.9/32", 9*time.Hour, limited))
	if e := f.entries[p]; e.Action == xdp.ActionLimit || e.TTL != 3*time.Hour {
		t.Errorf("the filter has %+v, want a block for 3h", e)
	}
	if err := w.r.Fleet().Drop([]string{"d1"}); err != nil {
		t.Fatal(err)
	}
	if e := f.entries[p]; e.Action == xdp.ActionLimit || e.TTL != time.Hour {
		t.Errorf("after the longer one was taken back the filter has %+v, want a block for 1h", e)
	}
	if err := w.r.Fleet().Keep(map[string]bool{"d2": true}); err != nil {
		t.Fatal(err)
	}
	w.clock.pass(2 * time.Hour)
	w.r.step()
	if e := f.entries[p]; e.Action != xdp.ActionLimit || e.TTL != 7*time.Hour {
		t.Errorf("after the block's end the filter has %+v, want the limit for 7h", e)
	}
	if err := w.r.Fleet().Keep(nil); err != nil {
		t.Fatal(err)
	}
	if len(f.entries) != 0 {
		t.Errorf("the filter has %v after all was taken back", f.entries)
	}
}

func TestShare(t *testing.T) {
	w, _ := newMember(t)
	fleet := w.r.Fleet()
	w.add("203.0.113.9/32", time.Hour)
	a := w.decide(block(w.raise(bruteForce("a1", "203.0.113.10")), "203.0.113.10", "ttl_seconds", "600"))
	if a.Outcome != pb.Outcome_OUTCOME_APPLIED {
		t.Fatalf("the intent: %v", a)
	}
	if _, err := w.r.Blocks().Add(t.Context(), control.Entry{Prefix: netip.MustParsePrefix("203.0.113.11/32"), Monitor: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.r.Allows().Add(t.Context(), order("203.0.113.12/32", 0)); err != nil {
		t.Fatal(err)
	}
	w.take(elsewhere("d1", "203.0.113.13/32", time.Hour))
	w.clock.pass(time.Minute)
	select {
	case <-fleet.Changed():
	default:
		t.Error("nothing says that there are changes")
	}
	made, gone, all := fleet.Changes()
	got := make(map[string]string)
	for _, d := range made {
		got[d.Prefix] = d.Kind.String() + " " + d.Source + " " + (time.Duration(d.RemainingMs) * time.Millisecond).String() //nolint:gosec // a test's times
	}
	want := map[string]string{
		"203.0.113.9/32":  "KIND_BLOCK operator 59m0s",
		"203.0.113.10/32": "KIND_BLOCK enforcer-xdp 9m0s",
		"203.0.113.12/32": "KIND_ALLOW operator 8759h59m0s",
	}
	if diff := cmp.Diff(want, got); diff != "" || len(gone) != 0 || all {
		t.Errorf("changes (-want +got):\n%s gone %q all %t", diff, gone, all)
	}
	before := ids(fleet.Own())
	w.restart()
	fleet = w.r.Fleet()
	if diff := cmp.Diff(before, ids(fleet.Own())); diff != "" || len(before) != 3 {
		t.Errorf("own decisions after a restart (-want +got):\n%s", diff)
	}
	// What is replaced or removed is taken back.
	first := w.decisionOf("203.0.113.9/32")
	w.add("203.0.113.9/32", time.Minute)
	second := w.decisionOf("203.0.113.9/32")
	made, gone, _ = fleet.Changes()
	if diff := cmp.Diff([][]string{{second}, {first}}, [][]string{ids(made), gone}); diff != "" {
		t.Errorf("changes after a shorter block (-want +got):\n%s", diff)
	}
	if _, err := w.r.Blocks().Remove(t.Context(), netip.MustParsePrefix("203.0.113.9/32")); err != nil {
		t.Fatal(err)
	}
	made, gone, _ = fleet.Changes()
	if diff := cmp.Diff([][]string{nil, {second}}, [][]string{ids(made), gone}); diff != "" {
		t.Errorf("changes after its removal (-want +got):\n%s", diff)
	}
	// What ends by itself ends everywhere by itself.
	w.clock.pass(time.Hour)
	w.r.step()
	if made, gone, _ = fleet.Changes(); len(made)+len(gone) != 0 {
		t.Errorf("changes after an end: %v %q", made, gone)
	}
}

func (w *world) decisionOf(prefix string) string {
	w.t.Helper()
	for _, d := range w.r.Fleet().Own() {
		if d.Prefix == prefix {
			return d.Id
		}
	}
	w.t.Fatalf("no decision about %s", prefix)
	return ""
}

// An operator's removal is about every host's decision on the network, and stays so.
func TestTakeBack(t *testing.T) {
	w, f := newMember(t)
	w.take(elsewhere("d1", "203.0.113.9/32", time.Hour), elsewhere("d2", "203.0.113.9/32", 2*time.Hour), elsewhere("ok", "203.0.113.20/32", time.Hour, approved))
	if _, err := w.r.Blocks().Add(t.Context(), order("203.0.113.20/32", 0)); err == nil {
		t.Error("what another host allows was blocked")
	}
	for _, remove := range []func() error{
		func() error {
			_, err := w.r.Blocks().Remove(t.Context(), netip.MustParsePrefix("203.0.113.9/32"))
			return err
		},
		func() error {
			_, err := w.r.Allows().Remove(t.Context(), netip.MustParsePrefix("203.0.113.20/32"))
			return err
		},
	} {
		if err := remove(); err != nil {
			t.Fatal(err)
		}
	}
	_, gone, _ := w.r.Fleet().Changes()
	if diff := cmp.Diff([]string{"d1", "d2", "ok"}, gone); diff != "" {
		t.Errorf("taken back (-want +got):\n%s", diff)
	}
	for range 2 {
		w.take(elsewhere("d1", "203.0.113.9/32", time.Hour), elsewhere("ok", "203.0.113.20/32", time.Hour, approved))
		if len(f.entries) != 0 || len(w.blocks()) != 0 || w.r.Fleet().Taken() != 0 {
			t.Errorf("what was taken back is followed again: %v", w.blocks())
		}
		if diff := cmp.Diff([]string{"d1", "d2", "ok"}, w.r.Fleet().TakenBack()); diff != "" {
			t.Errorf("remembered as taken back (-want +got):\n%s", diff)
		}
		w.restart()
	}
	w.clock.pass(3 * time.Hour)
	w.r.step()
	if got := w.r.Fleet().TakenBack(); len(got) != 0 {
		t.Errorf("remembered after the end: %q", got)
	}
}

// An engine may say a thing twice.
func TestTakenBackTwice(t *testing.T) {
	w, f := newMember(t)
	w.take(elsewhere("d1", "203.0.113.9/32", time.Hour), elsewhere("d1", "203.0.113.9/32", time.Hour))
	if err := w.r.Fleet().Drop([]string{"d1", "unknown", "d1"}); err != nil {
		t.Fatal(err)
	}
	if len(f.entries) != 0 || w.r.Fleet().Taken() != 0 {
		t.Errorf("still blocked: %v", w.blocks())
	}
}

// Another host's operator ends what this one decided.
func TestTakenBackElsewhere(t *testing.T) {
	w, f := newMember(t)
	w.add("203.0.113.9/32", time.Hour)
	if _, err := w.r.Allows().Add(t.Context(), order("203.0.113.20/32", time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := w.r.Fleet().Drop(ids(w.r.Fleet().Own())); err != nil {
		t.Fatal(err)
	}
	if len(f.entries) != 0 || len(w.blocks()) != 0 {
		t.Errorf("still blocked: %v", w.blocks())
	}
	if own := w.r.Fleet().Own(); len(own) != 0 {
		t.Errorf("own decisions: %v", own)
	}
	last := w.journal.last()
	if last.Outcome != pb.Outcome_OUTCOME_RELEASED || last.Target != "203.0.113.9" {
		t.Errorf("recorded: %v", last)
	}
}
