package respond

import (
	"fmt"
	"net/netip"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestHistoryBounds(t *testing.T) {
	var h History
	for i := range MaxAlerts + 10 {
		h.remember(bruteForce(fmt.Sprint("a", i), "203.0.113.9"))
	}
	if a, _ := h.find("a9"); a != nil || len(h.alerts) != MaxAlerts || h.order.Len() != MaxAlerts {
		t.Errorf("got %d alerts with the oldest %v, want %d of the newest", len(h.alerts), a, MaxAlerts)
	}
	if a, _ := h.find("a10"); a == nil {
		t.Error("the oldest that fits is not known")
	}
	for i := range MaxDecided + 10 {
		h.decide(&pb.ActionEvent{Id: fmt.Sprint(i), Enforcer: enforcer, Outcome: pb.Outcome_OUTCOME_APPLIED})
	}
	if len(h.decided) != MaxDecided || h.isDecided(key(enforcer, "9")) || !h.isDecided(key(enforcer, "10")) {
		t.Errorf("got %d decided intents, want the newest %d", len(h.decided), MaxDecided)
	}
}

func FuzzSeed(f *testing.F) {
	for _, m := range []proto.Message{bruteForce("a1", "203.0.113.9"), block(bruteForce("a1", "203.0.113.9"), "203.0.113.9")} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(pb.Kind_KIND_ALERT), b)
		f.Add(uint8(pb.Kind_KIND_ACTION), b)
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		var h History
		h.Seed(state.Entry{Index: 1, Kind: kind, Data: data})
		if len(h.alerts) > 1 || len(h.decided)+len(h.planned) > 1 {
			t.Errorf("one entry taught %d alerts, %d decisions, %d plans", len(h.alerts), len(h.decided), len(h.planned))
		}
	})
}

// FuzzDecide: whatever an enforcer says about whatever alert, nothing is blocked
// but the one address that the alert names, and nothing that a rail forbids.
func FuzzDecide(f *testing.F) {
	f.Add("203.0.113.9", "203.0.113.9", "block", "600", "", uint8(1))
	f.Add("x from 8.8.8.8", "8.8.8.8", "block", "", "", uint8(1))
	f.Add("203.0.113.9", "203.0.113.9", "limit", "600", "", uint8(1))
	f.Add("192.0.2.1", "192.0.2.1", "block", "1e400", "203.0.113.9:1", uint8(3))
	f.Add("::ffff:192.0.2.53", "192.0.2.53", "notify", "NaN", "udp:1.2.3.4", uint8(2))
	f.Fuzz(func(t *testing.T, source, target, action, ttl, peer string, provenance uint8) {
		r := &Responder{history: &History{}, clock: newHand().clock(), policy: policy(config.Enforce), blocks: make(map[netip.Prefix]*entry), maxBlocks: 1, breakers: newBreakers(), counts: make(map[string]uint64), wake: make(chan struct{}, 1)}
		r.system, _ = system().Find()
		r.rebuild()
		r.history.remember(bruteForce("a1", source, func(a *pb.AlertEvent) {
			a.Provenance, a.Peer = pb.Provenance(provenance), peer
		}))
		a := bounded(enforcer, &pb.ActionEvent{Id: "i", AlertId: "a1", Action: action, Target: target, Details: []*pb.Field{{Key: "ttl_seconds", Value: ttl}, {Key: "limit", Value: ttl}}})
		p, no := r.judge(a)
		if no != nil || a.Action != actionBlock && a.Action != actionLimit {
			return
		}
		if !p.prefix.IsSingleIP() || p.ttl <= 0 || p.ttl > 24*60*60*1e9 || r.banned(p.prefix) != nil {
			t.Errorf("source %q, target %q: got %v for %v", source, target, p.prefix, p.ttl)
		}
		if named, err := netip.ParseAddr(source); err != nil || named.Unmap() != p.prefix.Addr() {
			t.Errorf("source %q: got %v", source, p.prefix)
		}
	})
}
