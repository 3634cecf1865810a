package respond

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/respond/rail"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// TestRefusals: each check by itself, in simulate as in enforce.
func TestRefusals(t *testing.T) {
	forgeable := func(a *pb.AlertEvent) { a.Evidence = pb.Evidence_EVIDENCE_FORGEABLE }
	from := func(p pb.Provenance, peer string) func(*pb.AlertEvent) {
		return func(a *pb.AlertEvent) { a.Provenance, a.Peer = p, peer }
	}
	packets := func(sources ...string) func(*pb.AlertEvent) {
		return func(a *pb.AlertEvent) {
			a.Provenance = pb.Provenance_PROVENANCE_NETWORK
			for _, s := range sources {
				a.Packets = append(a.Packets, &pb.PacketEvent{Scope: pb.PacketScope_PACKET_SCOPE_SOURCE, Source: netip.MustParseAddr(s).AsSlice()})
			}
		}
	}
	const attacker = "203.0.113.9"
	optIn := func(p *Policy) { p.Respond.BlockForgeable = true }
	for _, tt := range []struct {
		name   string
		source string
		alert  []func(*pb.AlertEvent)
		intent func(*pb.ActionEvent)
		policy func(*Policy)
		want   string // code, "" when it is followed
	}{
		{name: "an attacker", source: attacker},
		{name: "an IPv6 attacker", source: "2001:db8:1::9"},
		{name: "an attacker of a private network", source: "10.1.2.3"},
		{name: "IPv4 in IPv6", source: "::ffff:203.0.113.9"},
		{name: "another verb", source: attacker, intent: func(a *pb.ActionEvent) { a.Action = "isolate" }, want: CodeAction},
		{name: "no verb", source: attacker, intent: func(a *pb.ActionEvent) { a.Action = "" }, want: CodeAction},
		{name: "an alert that nobody raised", source: attacker, intent: func(a *pb.ActionEvent) { a.AlertId = "made-up" }, want: CodeAlert},
		{name: "no alert", source: attacker, intent: func(a *pb.ActionEvent) { a.AlertId = "" }, want: CodeAlert},
		{name: "an address that the alert does not name", source: attacker, intent: func(a *pb.ActionEvent) { a.Target = "8.8.8.8" }, want: CodeTarget},
		{
			name: "an address that the alert names as a user", source: attacker, intent: func(a *pb.ActionEvent) { a.Target = "8.8.4.4" },
			alert: []func(*pb.AlertEvent){func(a *pb.AlertEvent) { a.Entities[1].Value = "8.8.4.4" }}, want: CodeTarget,
		},
		{name: "the network around it", source: attacker, intent: func(a *pb.ActionEvent) { a.Target = "203.0.113.0/24" }, want: CodeAddress},
		{name: "no target", source: attacker, intent: func(a *pb.ActionEvent) { a.Target = "" }, want: CodeAddress},
		{name: "two sources", source: attacker, alert: []func(*pb.AlertEvent){func(a *pb.AlertEvent) {
			a.Entities = append(a.Entities, &pb.Field{Key: "src_ip", Value: "203.0.113.10"})
		}}, want: CodeAmbiguous},
		{name: "no source", source: attacker, alert: []func(*pb.AlertEvent){func(a *pb.AlertEvent) { a.Entities = a.Entities[1:] }}, want: CodeAmbiguous},
		{name: "a source that is no address", source: "x from 8.8.8.8", intent: func(a *pb.ActionEvent) { a.Target = "8.8.8.8" }, want: CodeTarget},
		{name: "loopback", source: "127.0.0.2", want: CodeAddress},
		{name: "IPv6 loopback", source: "::1", want: CodeAddress},
		{name: "unspecified", source: "0.0.0.0", want: CodeAddress},
		{name: "this network", source: "0.1.2.3", want: CodeAddress},
		{name: "multicast", source: "224.0.0.1", want: CodeAddress},
		{name: "IPv6 multicast", source: "ff02::1", want: CodeAddress},
		{name: "broadcast", source: "255.255.255.255", want: CodeAddress},
		{name: "link-local", source: "169.254.1.1", want: CodeLinkLocal},
		{name: "a link-local router", source: "fe80::1", want: CodeLinkLocal},
		{name: "a zone", source: "fe80::1%eth0", want: CodeLinkLocal},
		{name: "forgeable", source: attacker, alert: []func(*pb.AlertEvent){forgeable}, want: CodeForgeable},
		{name: "forgeable, opted in", source: attacker, alert: []func(*pb.AlertEvent){forgeable}, policy: optIn},
		{name: "packets of the address", source: attacker, alert: []func(*pb.AlertEvent){packets(attacker, attacker)}},
		{name: "forgeable packets, opted in", source: attacker, alert: []func(*pb.AlertEvent){forgeable, packets(attacker)}, policy: optIn},
		{name: "packets of another", source: attacker, alert: []func(*pb.AlertEvent){packets(attacker, "203.0.113.10")}, want: CodeOrigin},
		{name: "packets and a log line", source: attacker, alert: []func(*pb.AlertEvent){packets(attacker), func(a *pb.AlertEvent) { a.Logs = []*pb.LogEvent{{}} }}, want: CodeOrigin},
		{name: "a sum over a destination", source: attacker, alert: []func(*pb.AlertEvent){packets(attacker), func(a *pb.AlertEvent) {
			a.Packets[0].Scope = pb.PacketScope_PACKET_SCOPE_DESTINATION
		}}, want: CodeOrigin},
		{name: "a sender about itself", source: attacker, alert: []func(*pb.AlertEvent){from(pb.Provenance_PROVENANCE_NETWORK, "203.0.113.9:41000")}},
		{name: "a sender about another", source: attacker, alert: []func(*pb.AlertEvent){from(pb.Provenance_PROVENANCE_NETWORK, "10.0.0.5:514")}, want: CodeOrigin},
		{name: "a sender of datagrams about itself", source: attacker, alert: []func(*pb.AlertEvent){from(pb.Provenance_PROVENANCE_NETWORK, "udp:203.0.113.9:514")}, want: CodeOrigin},
		{name: "a sender without a name", source: attacker, alert: []func(*pb.AlertEvent){from(pb.Provenance_PROVENANCE_NETWORK, "")}, want: CodeOrigin},
		{name: "an unknown origin", source: attacker, alert: []func(*pb.AlertEvent){from(pb.Provenance_PROVENANCE_UNSPECIFIED, "")}, want: CodeOrigin},
		{name: "a container", source: attacker, alert: []func(*pb.AlertEvent){from(pb.Provenance_PROVENANCE_CONTAINER, "")}, want: CodeOrigin},
		{name: "opting in makes no origin trusted", source: attacker, alert: []func(*pb.AlertEvent){from(pb.Provenance_PROVENANCE_NETWORK, "10.0.0.5:514")}, policy: optIn, want: CodeOrigin},
		{name: "allow list", source: "198.51.100.3", want: RailAllow},
		{name: "allow list of the packet filter", source: "198.51.100.70", want: RailAllow},
		{name: "trusted proxy", source: "198.51.100.130", want: RailProxy},
		{name: "gateway", source: "192.0.2.1", want: rail.Gateway},
		{name: "gateway of a lease", source: "192.0.2.2", want: rail.Gateway},
		{name: "IPv6 gateway", source: "2001:db8::1", want: rail.Gateway},
		{name: "resolver", source: "192.0.2.53", want: rail.Resolver},
		{name: "time server", source: "192.0.2.123", want: rail.TimeServer},
		{name: "peer of an SSH session", source: "192.0.2.77", want: rail.Session},
		{name: "peer of an SSH session that is gone", source: "192.0.2.78"},
		{name: "own address", source: "192.0.2.10", want: rail.Own},
		{name: "own address in IPv6 form", source: "::ffff:192.0.2.10", want: rail.Own},
		{name: "no rail is opened by opting in", source: "192.0.2.1", alert: []func(*pb.AlertEvent){forgeable}, policy: optIn, want: rail.Gateway},
		{name: "a time to live that is no number", source: attacker, intent: func(a *pb.ActionEvent) { set(a, "ttl_seconds", "soon") }, want: CodeTTL},
		{name: "a negative time to live", source: attacker, intent: func(a *pb.ActionEvent) { set(a, "ttl_seconds", "-1") }, want: CodeTTL},
		{name: "no time to live", source: attacker, intent: func(a *pb.ActionEvent) { set(a, "ttl_seconds", "0") }, want: CodeTTL},
		{name: "less than the clock tells", source: attacker, intent: func(a *pb.ActionEvent) { set(a, "ttl_seconds", "1e-12") }, want: CodeTTL},
		{name: "not a number", source: attacker, intent: func(a *pb.ActionEvent) { set(a, "ttl_seconds", "NaN") }, want: CodeTTL},
		{name: "over already", source: attacker, intent: func(a *pb.ActionEvent) { a.Expires = 1 }, want: CodeTTL},
	} {
		for _, mode := range []config.Mode{config.Simulate, config.Enforce} {
			t.Run(tt.name+"/"+string(mode), func(t *testing.T) {
				w := newWorld(t, mode)
				if tt.policy != nil {
					p := policy(mode)
					tt.policy(&p)
					if err := w.r.Reconfigure(p); err != nil {
						t.Fatal(err)
					}
				}
				f := newFilter("eth0")
				if err := w.r.Attach(f); err != nil {
					t.Fatal(err)
				}
				intent := block(w.raise(bruteForce("a1", tt.source, tt.alert...)), tt.source)
				if tt.intent != nil {
					tt.intent(intent)
				}
				got := w.decide(intent)
				if code := detailCode(got); code != tt.want {
					t.Fatalf("got code %q (%s), want %q", code, got.Reason, tt.want)
				}
				if tt.want == "" {
					want := pb.Outcome_OUTCOME_SIMULATED
					if mode == config.Enforce {
						want = pb.Outcome_OUTCOME_APPLIED
					}
					addr := netip.MustParseAddr(tt.source).Unmap().String()
					if got.Outcome != want || got.Target != addr || f.drops(addr) != (mode == config.Enforce) {
						t.Errorf("got %v of %s, dropped %v; want %v of %s", got.Outcome, got.Target, f.drops(addr), want, addr)
					}
					return
				}
				if got.Outcome != pb.Outcome_OUTCOME_REFUSED || got.Reason == "" || got.Enforcer != enforcer || got.Id != intent.Id || len(f.entries) != 0 {
					t.Errorf("got %v with %d entries in the filter, want a refusal of %s with a reason", got, len(f.entries), intent.Id)
				}
			})
		}
	}
}

func TestPlan(t *testing.T) {
	w := newWorld(t, config.Simulate)
	for _, name := range []string{"eth1", "eth0"} {
		if err := w.r.Attach(newFilter(name)); err != nil {
			t.Fatal(err)
		}
	}
	got := w.decide(block(w.raise(bruteForce("a1", "203.0.113.9")), "203.0.113.9", "ttl_seconds", "600", "rule_id", "ssh_brute_force"))
	want := &pb.ActionEvent{
		Id: "intent-of-a1", AlertId: "a1", TraceId: []byte("0123456789abcdef"), Enforcer: enforcer, Action: "block", Target: "203.0.113.9",
		Outcome: pb.Outcome_OUTCOME_SIMULATED, Mode: "simulate", Reason: "SSH Brute Force Attack.",
		Time: uint64(w.clock.wall.UnixNano()), Expires: uint64(w.clock.wall.Add(10 * time.Minute).UnixNano()),
		Details: []*pb.Field{{Key: "rule_id", Value: "ssh_brute_force"}, {Key: "prefix", Value: "203.0.113.9/32"}, {Key: "ttl_seconds", Value: "600"}, {Key: "interfaces", Value: "eth0,eth1"}},
	}
	if got.String() != want.String() {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if blocks := w.blocks(); len(blocks) != 0 {
		t.Errorf("got %v on the list; in simulate an intent blocks nothing, also later", blocks)
	}
}

func TestTTL(t *testing.T) {
	for _, tt := range []struct {
		ttl  string
		want time.Duration
		note string
	}{
		{"", time.Hour, ""},
		{"90", 90 * time.Second, ""},
		{"0.5", 500 * time.Millisecond, ""},
		{"999999", 24 * time.Hour, "max_ttl = 24h"},
		{fmt.Sprint(math.MaxInt64), 24 * time.Hour, "max_ttl = 24h"},
		{"+Inf", 24 * time.Hour, "max_ttl = 24h"},
	} {
		t.Run(tt.ttl, func(t *testing.T) {
			w := newWorld(t, config.Simulate)
			intent := block(w.raise(bruteForce("a1", "203.0.113.9")), "203.0.113.9")
			if tt.ttl != "" {
				set(intent, "ttl_seconds", tt.ttl)
			}
			got := w.decide(intent)
			if ttl := time.Unix(0, int64(got.Expires)).Sub(w.clock.wall); ttl != tt.want || !strings.Contains(got.Reason, tt.note) {
				t.Errorf("got %v (%s), want %v, and %q said", ttl, got.Reason, tt.want, tt.note)
			}
		})
	}
}

// TestPhases: what is planned is on the disk before the filter acts.
func TestPhases(t *testing.T) {
	w := newWorld(t, config.Enforce)
	f := newFilter("eth0")
	if err := w.r.Attach(f); err != nil {
		t.Fatal(err)
	}
	a := w.raise(bruteForce("a1", "203.0.113.9"))
	w.journal.broken = errors.New("the disk is full")
	if err := w.r.Decide(t.Context(), enforcer, block(a, "203.0.113.9")); !errors.Is(err, w.journal.broken) {
		t.Fatalf("got %v, want that the journal is full", err)
	}
	if f.drops("203.0.113.9") {
		t.Error("it is blocked, and nothing says why")
	}
	w.journal.broken = nil
	w.decide(block(a, "203.0.113.9"))
	var outcomes []string
	for _, a := range w.journal.all() {
		outcomes = append(outcomes, a.Outcome.String())
	}
	if diff := cmp.Diff([]string{"OUTCOME_PLANNED", "OUTCOME_APPLIED"}, outcomes); diff != "" || !f.drops("203.0.113.9") {
		t.Errorf("dropped %v; outcomes (-want +got):\n%s", f.drops("203.0.113.9"), diff)
	}
}

func TestOnce(t *testing.T) {
	w := newWorld(t, config.Enforce)
	a := w.raise(bruteForce("a1", "203.0.113.9"))
	w.decide(block(a, "203.0.113.9"))
	w.decide(block(a, "203.0.113.9"))
	if n := len(w.journal.all()); n != 2 {
		t.Errorf("got %d actions, want planned and applied", n)
	}
	w.restart()
	w.decide(block(a, "203.0.113.9"))
	if got := w.journal.last(); got != nil {
		t.Errorf("decided again after a restart: %v", got)
	}
	if err := w.r.Decide(t.Context(), "another", block(a, "203.0.113.9")); err != nil {
		t.Fatal(err)
	}
	if got := w.journal.last(); got.GetEnforcer() != "another" {
		t.Errorf("got %v, want the other enforcer's intent, whatever it calls it", got)
	}
}

func TestDetectRecordsNothing(t *testing.T) {
	w := newWorld(t, config.Detect)
	if w.r.AskEnforcers() {
		t.Error("enforcers are asked in detect")
	}
	if got := w.decide(block(w.raise(bruteForce("a1", "203.0.113.9")), "203.0.113.9")); got != nil {
		t.Errorf("got %v, want nothing", got)
	}
}

func TestNotify(t *testing.T) {
	w := newWorld(t, config.Enforce)
	a := w.raise(bruteForce("a1", "2001:DB8:1::9", func(a *pb.AlertEvent) { a.Evidence = 0 }))
	for _, tt := range []struct {
		id, target string
		want       pb.Outcome
	}{
		{"n1", "2001:db8:1::9", pb.Outcome_OUTCOME_APPLIED},
		{"n2", "root", pb.Outcome_OUTCOME_APPLIED},
		{"n3", "", pb.Outcome_OUTCOME_APPLIED},
		{"n4", "somebody", pb.Outcome_OUTCOME_REFUSED},
	} {
		if got := w.decide(&pb.ActionEvent{Id: tt.id, AlertId: a.Id, Action: "notify", Target: tt.target}); got.Outcome != tt.want {
			t.Errorf("%s: got %v, want %v", tt.target, got, tt.want)
		}
	}
}

// TestReconcile: what was planned before the host died is done, refused or
// recorded as done, once.
func TestReconcile(t *testing.T) {
	for _, tt := range []struct {
		name string
		done bool // the block was stored
		away time.Duration
		mode config.Mode
		want pb.Outcome
	}{
		{"not done", false, time.Minute, "", pb.Outcome_OUTCOME_APPLIED},
		{"done", true, time.Minute, "", pb.Outcome_OUTCOME_APPLIED},
		{"over", false, 2 * time.Hour, "", pb.Outcome_OUTCOME_EXPIRED},
		{"in another mode", false, time.Minute, config.Simulate, pb.Outcome_OUTCOME_FAILED},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, config.Enforce)
			intent := block(w.raise(bruteForce("a1", "203.0.113.9")), "203.0.113.9")
			a := bounded(enforcer, intent)
			p, no := w.r.judge(a)
			if no != nil {
				t.Fatal(no.reason)
			}
			w.r.describe(a, p)
			planned := clone(a)
			planned.Outcome = pb.Outcome_OUTCOME_PLANNED
			if err := w.r.record(t.Context(), planned); err != nil {
				t.Fatal(err)
			}
			if tt.done {
				if err := w.r.carryOut(a, p); err != nil {
					t.Fatal(err)
				}
			}
			w.clock.pass(tt.away)
			w.config.Override = tt.mode
			for range 2 {
				w.restart()
				w.r.reconcile(t.Context())
				w.decide(intent)
				if tt.want != 0 {
					got := w.journal.last()
					if got.GetOutcome() != tt.want || got.Id != intent.Id || got.AlertId != "a1" {
						t.Fatalf("got %v, want %v", got, tt.want)
					}
					blocks := w.page(control.Page{Limit: 10}).Blocks
					if tt.want == pb.Outcome_OUTCOME_APPLIED {
						if left := blocks[0].Expires.AsTime().Sub(w.clock.wall); len(blocks) != 1 || left != 59*time.Minute {
							t.Errorf("got %d blocks with %v left, want one with 59 minutes", len(blocks), left)
						}
					} else if len(blocks) != 0 {
						t.Errorf("got %v, want no block", blocks)
					}
					tt.want = 0
				} else if got := w.journal.last(); got != nil {
					t.Errorf("decided again: %v", got)
				}
			}
		})
	}
}

// TestIneffective: a block that the filter cannot see says so.
func TestIneffective(t *testing.T) {
	w := newWorld(t, config.Enforce)
	got := w.decide(block(w.raise(bruteForce("a1", "203.0.113.9")), "203.0.113.9"))
	if got.Outcome != pb.Outcome_OUTCOME_APPLIED || !strings.Contains(got.Reason, "no interface is watched") {
		t.Errorf("got %v, want that no interface is watched", got)
	}
	f := newFilter("eth0")
	if err := w.r.Attach(f); err != nil {
		t.Fatal(err)
	}
	if !f.drops("203.0.113.9") {
		t.Error("a filter that comes later does not get the block")
	}
	proxied := w.raise(bruteForce("a2", "203.0.113.10", func(a *pb.AlertEvent) {
		a.Logs = []*pb.LogEvent{{Fields: []*pb.Field{{Key: "proxy_ip", Value: "198.51.100.130"}}}}
	}))
	if got := w.decide(block(proxied, "203.0.113.10")); !strings.Contains(got.Reason, "trusted proxy 198.51.100.130") {
		t.Errorf("got %q, want the proxy named", got.Reason)
	}
	w.clock.pass(time.Minute)
	again := w.raise(bruteForce("a3", "203.0.113.9", func(a *pb.AlertEvent) { a.Time = uint64(w.clock.wall.UnixNano()) }))
	effects := func() map[string]string {
		out := make(map[string]string)
		for _, b := range w.page(control.Page{Limit: 10}).Blocks {
			out[b.Prefix] = b.Effect
		}
		return out
	}
	want := map[string]string{
		"203.0.113.9/32":  "none: 1 alerts came since, and the packet filter has seen no packet of it",
		"203.0.113.10/32": "none: the address comes through the trusted proxy 198.51.100.130",
	}
	if diff := cmp.Diff(want, effects()); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if got := w.decide(block(again, "203.0.113.9")); !strings.Contains(got.Reason, "alerts go on") || !strings.Contains(got.Reason, "stays so for longer") {
		t.Errorf("got %q, want that alerts go on without hits", got.Reason)
	}
	f.hit("203.0.113.9", 3)
	if got := effects()["203.0.113.9/32"]; got != "enforced" {
		t.Errorf("got %q, want enforced once packets were seen", got)
	}
}

// TestAllowedMeanwhile: what was allowed between the decision and the act.
func TestAllowedMeanwhile(t *testing.T) {
	w := newWorld(t, config.Enforce)
	a := bounded(enforcer, block(w.raise(bruteForce("a1", "203.0.113.9")), "203.0.113.9"))
	p, no := w.r.judge(a)
	if no != nil {
		t.Fatal(no.reason)
	}
	if _, err := w.r.Allows().Add(t.Context(), control.Entry{Prefix: netip.MustParsePrefix("203.0.113.0/24")}); err != nil {
		t.Fatal(err)
	}
	if err := w.r.carryOut(a, p); !errors.Is(err, ErrAllowed) {
		t.Errorf("got %v, want ErrAllowed", err)
	}
}

// TestHostile: an enforcer that says anything at all fills neither the journal
// nor the memory.
func TestHostile(t *testing.T) {
	w := newWorld(t, config.Simulate)
	a := w.raise(bruteForce("a1", "203.0.113.9"))
	long := strings.Repeat("\xffx", 1<<20)
	intent := block(a, "203.0.113.9")
	intent.Id, intent.Reason, intent.Mode, intent.Outcome = long, long, long, pb.Outcome_OUTCOME_APPLIED
	for range 1000 {
		intent.Details = append(intent.Details, &pb.Field{Key: long, Value: long})
	}
	got := w.decide(intent)
	if n := len(got.String()); n > 64<<10 || len(got.Id) != 32 || got.Outcome != pb.Outcome_OUTCOME_SIMULATED {
		t.Errorf("got %d bytes, id %q, %v; want a bounded record of a simulated block", n, got.Id, got.Outcome)
	}
	for i := range 2 * maxRefusals {
		w.decide(&pb.ActionEvent{Id: fmt.Sprint(i), AlertId: "made-up", Action: "block"})
	}
	if n := len(w.journal.all()); n > maxRefusals+1 {
		t.Errorf("got %d records of refusals, want at most %d", n, maxRefusals)
	}
	for i := range maxIntents + 10 {
		w.decide(&pb.ActionEvent{Id: fmt.Sprintf("n%d", i), AlertId: a.Id, Action: "notify"})
	}
	c := make(map[string]uint64)
	for _, n := range w.r.Counts() {
		c[n.Name] = n.Value
	}
	want := map[string]uint64{
		"simulated": 1, "notified": maxIntents - 1, "refused_" + CodeTooMany: 11, "refused_" + CodeAlert: 2 * maxRefusals,
		"refusals_unrecorded": maxRefusals + 11,
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}
