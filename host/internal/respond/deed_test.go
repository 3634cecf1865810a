package respond

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/respond/rail"
	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

const attacker = "203.0.113.9"

// forged makes an alert one that rests on packets of the source alone, which
// anybody could have sent.
func forged(source string) func(*pb.AlertEvent) {
	return func(a *pb.AlertEvent) {
		a.Evidence, a.Provenance = pb.Evidence_EVIDENCE_FORGEABLE, pb.Provenance_PROVENANCE_NETWORK
		a.Packets = []*pb.PacketEvent{{Scope: pb.PacketScope_PACKET_SCOPE_SOURCE, Source: netip.MustParseAddr(source).AsSlice()}}
	}
}

// orLimit is what an enforcer proposes that does not know whether the evidence
// suffices.
func orLimit(a *pb.AlertEvent, source string) *pb.ActionEvent {
	return block(a, source, "ttl_seconds", "3600", "forgeable", "limit", "limit", "50", "limit_ttl_seconds", "600")
}

// TestForgeableEvidenceLimits: what does not suffice for a block limits, for the
// shorter time, unless the operator opted in to more.
func TestForgeableEvidenceLimits(t *testing.T) {
	for _, tt := range []struct {
		name  string
		mode  config.Mode
		optIn bool
		alert []func(*pb.AlertEvent)
		want  string // action, outcome, time; what the filter has
	}{
		{"forged", config.Enforce, false, []func(*pb.AlertEvent){forged(attacker)}, "limit APPLIED 10m0s; limit 50 for 10m0s"},
		{"forged, simulated", config.Simulate, false, []func(*pb.AlertEvent){forged(attacker)}, "limit SIMULATED 10m0s; nothing"},
		{"forged, opted in", config.Enforce, true, []func(*pb.AlertEvent){forged(attacker)}, "block APPLIED 1h0m0s; drop 0 for 1h0m0s"},
		{"confirmed", config.Enforce, false, nil, "block APPLIED 1h0m0s; drop 0 for 1h0m0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.mode)
			p := policy(tt.mode)
			p.Respond.BlockForgeable = tt.optIn
			f := newFilter("eth0")
			if err := errors.Join(w.r.Reconfigure(p), w.r.Attach(f)); err != nil {
				t.Fatal(err)
			}
			a := w.decide(orLimit(w.raise(bruteForce("a1", attacker, tt.alert...)), attacker))
			has := "nothing"
			if e, ok := f.entries[host(netip.MustParseAddr(attacker))]; ok {
				has = fmt.Sprintf("%v %d for %v", e.Action, e.Limit, e.TTL)
			}
			got := fmt.Sprintf("%s %s %v; %s", a.Action, strings.TrimPrefix(a.Outcome.String(), "OUTCOME_"),
				time.Unix(0, int64(a.Expires)).Sub(w.clock.wall), has)
			if got != tt.want {
				t.Errorf("got %q (%s), want %q", got, a.Reason, tt.want)
			}
			if said := strings.Contains(a.Reason, "may be forged"); said != (a.Action == "limit") {
				t.Errorf("got the reason %q", a.Reason)
			}
		})
	}
}

// TestLimitsAreChecked: a limit meets the same checks as a block, but for the
// evidence.
func TestLimitsAreChecked(t *testing.T) {
	for _, tt := range []struct {
		name, source string
		change       func(*pb.ActionEvent)
		want         string
	}{
		{"an attacker", attacker, nil, ""},
		{"the gateway", "192.0.2.1", nil, rail.Gateway},
		{"an allowed address", "198.51.100.3", nil, RailAllow},
		{"another target", attacker, func(a *pb.ActionEvent) { a.Target = "8.8.8.8" }, CodeTarget},
		{"no limit", attacker, func(a *pb.ActionEvent) { set(a, "limit", "") }, CodeLimit},
		{"a limit of nothing", attacker, func(a *pb.ActionEvent) { set(a, "limit", "0") }, CodeLimit},
		{"a limit past the bound", attacker, func(a *pb.ActionEvent) { set(a, "limit", "10000001") }, CodeLimit},
		{"a time that is no number", attacker, func(a *pb.ActionEvent) { set(a, "limit_ttl_seconds", "soon") }, CodeTTL},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, config.Enforce)
			intent := orLimit(w.raise(bruteForce("a1", tt.source, forged(tt.source))), tt.source)
			if tt.change != nil {
				tt.change(intent)
			}
			if got := detailCode(w.decide(intent)); got != tt.want {
				t.Errorf("got code %q, want %q", got, tt.want)
			}
		})
	}
	w := newWorld(t, config.Enforce)
	about := w.raise(bruteForce("a1", attacker, forged(attacker), func(a *pb.AlertEvent) { a.Packets[0].Source = []byte{203, 0, 113, 10} }))
	if got := detailCode(w.decide(orLimit(about, attacker))); got != CodeOrigin {
		t.Errorf("packets of another: got code %q, want %q", got, CodeOrigin)
	}
}

// TestALimitWeakensNothing: neither the block of the address nor one of a network
// around it gives way to a limit, and a limit gives way to a block.
func TestALimitWeakensNothing(t *testing.T) {
	for _, prefix := range []string{attacker + "/32", "203.0.113.0/24"} {
		w := newWorld(t, config.Enforce)
		f := newFilter("eth0")
		if err := w.r.Attach(f); err != nil {
			t.Fatal(err)
		}
		p := netip.MustParsePrefix(prefix)
		if _, err := w.r.Blocks().Add(context.Background(), control.Entry{Prefix: p, TTL: time.Minute}); err != nil {
			t.Fatal(err)
		}
		a := w.decide(orLimit(w.raise(bruteForce("a1", attacker, forged(attacker))), attacker))
		if a.Outcome != pb.Outcome_OUTCOME_APPLIED || len(f.entries) != 1 || f.entries[p].Action == xdp.ActionLimit {
			t.Errorf("%s: got %v and %v, want the block as it was", prefix, a.Outcome, f.entries)
		}
	}
	w := newWorld(t, config.Enforce)
	f := newFilter("eth0")
	if err := w.r.Attach(f); err != nil {
		t.Fatal(err)
	}
	w.decide(orLimit(w.raise(bruteForce("a1", attacker, forged(attacker))), attacker))
	w.decide(orLimit(w.raise(bruteForce("a2", attacker)), attacker))
	if e := f.entries[host(netip.MustParseAddr(attacker))]; e.Limit != 0 || e.TTL != time.Hour {
		t.Errorf("got %+v, want a block for an hour", e)
	}
}

// TestALimitShieldsFromNothing: a limit that was there before a network around it
// was blocked, or renewed after, does not let its address through.
func TestALimitShieldsFromNothing(t *testing.T) {
	p, around := host(netip.MustParseAddr(attacker)), netip.MustParsePrefix("203.0.113.0/24")
	for _, how := range []string{"an operator's block", "a list"} {
		w := newWorld(t, config.Enforce)
		f := w.attach()
		w.decide(orLimit(w.raise(bruteForce("a1", attacker, forged(attacker))), attacker))
		if how == "a list" {
			w.put(listed("drop", time.Hour, around.String()))
		} else if _, err := w.r.Blocks().Add(t.Context(), control.Entry{Prefix: around, TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"", "a2"} {
			if id != "" {
				w.decide(orLimit(w.raise(bruteForce(id, attacker, forged(attacker))), attacker))
			}
			if e, there := f.entries[p]; there {
				t.Errorf("%s: got %+v, which decides before the block around it", how, e)
			}
		}
		w.restart()
		if got, want := w.attach().networks(), around.String()+" 1h0m0s"; got != want {
			t.Errorf("%s: got %s after a restart, want %s", how, got, want)
		}
	}
}

// TestAnOperatorsLimitComesBack: an enforcer's block takes the place of an
// operator's longer limit for its own time alone, also when it is renewed and when
// the host starts anew.
func TestAnOperatorsLimitComesBack(t *testing.T) {
	w := newWorld(t, config.Enforce)
	p := host(netip.MustParseAddr(attacker))
	if _, err := w.r.Blocks().Add(t.Context(), control.Entry{Prefix: p, TTL: 10 * time.Hour, Limit: 10}); err != nil {
		t.Fatal(err)
	}
	f := w.attach()
	for _, id := range []string{"a1", "a2"} {
		w.decide(orLimit(w.raise(bruteForce(id, attacker)), attacker))
		if e := f.entries[p]; e.Limit != 0 || e.TTL.Round(time.Minute) != time.Hour {
			t.Fatalf("got %+v, want a block for an hour", e)
		}
		w.clock.pass(30 * time.Minute)
	}
	w.restart()
	f = w.attach()
	w.clock.pass(30*time.Minute + time.Second)
	w.r.step()
	for range 2 {
		if e := f.entries[p]; e.Limit != 10 || e.TTL.Round(time.Minute) != 8*time.Hour+30*time.Minute {
			t.Errorf("got %+v, want the limit for the rest of its time", e)
		}
		w.restart()
		f = w.attach()
	}
	w.clock.pass(9 * time.Hour)
	w.r.step()
	if len(f.entries) != 0 {
		t.Errorf("got %v, want nothing", f.entries)
	}
}

// TestBreakersAreApart: limits that anybody can provoke keep nobody from being
// blocked.
func TestBreakersAreApart(t *testing.T) {
	w := newWorld(t, config.Enforce)
	for i := range 40 {
		source := fmt.Sprintf("203.0.113.%d", i+100)
		a := w.decide(orLimit(w.raise(bruteForce(fmt.Sprint("f", i), source, forged(source))), source))
		if open := detailCode(a) == CodeBreaker; open != (i >= 30) {
			t.Fatalf("limit %d: got %v", i, a)
		}
	}
	if a := w.decide(orLimit(w.raise(bruteForce("a1", attacker)), attacker)); a.Outcome != pb.Outcome_OUTCOME_APPLIED || a.Action != "block" {
		t.Errorf("got %v, want a block", a)
	}
}

// TestOperatorsDeeds: limits, monitoring and dry runs of operators reach the
// filter, are shown, and outlive the host.
func TestOperatorsDeeds(t *testing.T) {
	w := newWorld(t, config.Enforce)
	p := netip.MustParsePrefix("203.0.113.0/24")
	for _, tt := range []struct {
		entry control.Entry
		want  string // "" is refused
	}{
		{control.Entry{}, "drop 0/0 false: block 0 false enforced; blocked"},
		{control.Entry{Limit: 100, Burst: 300}, "limit 100/300 false: limit 100 false enforced; limited"},
		{control.Entry{Limit: 100, DryRun: true}, "limit 100/0 true: limit 100 true none: dry run; monitored"},
		{control.Entry{DryRun: true}, "drop 0/0 true: block 0 true none: dry run; monitored"},
		{control.Entry{Monitor: true}, "monitor 0/0 false: monitor 0 false none: it is monitored; monitored"},
		{control.Entry{Monitor: true, Limit: 1}, ""},
		{control.Entry{Monitor: true, DryRun: true}, ""},
		{control.Entry{Burst: 7}, ""},
		{control.Entry{Limit: xdp.MaxLimit + 1}, ""},
		{control.Entry{Limit: 1, Burst: xdp.MaxBurst + 1}, ""},
	} {
		tt.entry.Prefix = p
		_, err := w.r.Blocks().Add(context.Background(), tt.entry)
		if (err == nil) != (tt.want != "") || err != nil && !errors.Is(err, control.ErrInvalid) {
			t.Fatalf("%+v: got %v", tt.entry, err)
		}
		if err != nil {
			continue
		}
		w.restart()
		f := newFilter("eth0")
		if err := w.r.Attach(f); err != nil {
			t.Fatal(err)
		}
		e, shown := f.entries[p], w.page(control.Page{Limit: 1}).Blocks[0]
		check, err := w.r.Check(context.Background(), netip.MustParsePrefix(attacker+"/32"))
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%v %d/%d %v: %s %d %v %s; %s", e.Action, e.Limit, e.Burst, e.DryRun,
			shown.Action, shown.Limit, shown.DryRun, shown.Effect, check.Verdict)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt.entry, diff)
		}
	}
}
