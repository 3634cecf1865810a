package answer

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

func bruteForce(change ...func(*event.AlertEvent)) *event.AlertEvent {
	a := &event.AlertEvent{
		ID: "0123456789abcdef0123456789abcdef", RuleID: "ssh_brute_force", Title: "SSH Brute Force Attack",
		Severity: event.SeverityHigh, Evidence: event.EvidenceConfirmed, Provenance: event.ProvenanceHost,
		Entities: []event.Field{{Key: "src_ip", Value: "203.0.113.9"}, {Key: "user", Value: "root"}},
	}
	for _, c := range change {
		c(a)
	}
	return a
}

func from(addr string) func(*event.AlertEvent) {
	return func(a *event.AlertEvent) { a.Entities[0].Value = addr }
}

// packets makes the alert one that cites packet summaries of these sources alone.
func packets(scope event.Scope, sources ...string) func(*event.AlertEvent) {
	return func(a *event.AlertEvent) {
		a.Evidence, a.Provenance = event.EvidenceForgeable, event.ProvenanceNetwork
		for _, s := range sources {
			a.Packets = append(a.Packets, &event.PacketEvent{Scope: scope, Source: netip.MustParseAddr(s)})
		}
	}
}

func TestDecide(t *testing.T) {
	notify := func(reason string) string { return "notify  " + reason }
	for _, tt := range []struct {
		name  string
		cfg   func(*Config)
		alert *event.AlertEvent
		want  string // action, target, reason
	}{
		{"confirmed", nil, bruteForce(), "block 203.0.113.9 SSH Brute Force Attack from 203.0.113.9."},
		{"IPv6", nil, bruteForce(from("2001:DB8::9")), "block 2001:db8::9 SSH Brute Force Attack from 2001:db8::9."},
		{"IPv4 in IPv6", nil, bruteForce(from("::ffff:203.0.113.9")), "block 203.0.113.9 SSH Brute Force Attack from 203.0.113.9."},
		{"no title", nil, bruteForce(func(a *event.AlertEvent) { a.Title = "" }), "block 203.0.113.9 ssh_brute_force from 203.0.113.9."},
		{
			"forgeable", nil, bruteForce(func(a *event.AlertEvent) { a.Evidence = event.EvidenceForgeable }),
			"block 203.0.113.9 SSH Brute Force Attack from 203.0.113.9.",
		},
		{
			"packets of the source", nil, bruteForce(packets(event.ScopeSource, "203.0.113.9", "::ffff:203.0.113.9")),
			"block 203.0.113.9 SSH Brute Force Attack from 203.0.113.9.",
		},
		{
			"packets of another too", nil, bruteForce(packets(event.ScopeSource, "203.0.113.9", "203.0.113.10")),
			"notify 203.0.113.9 SSH Brute Force Attack is not blocked: an unauthenticated sender wrote the evidence about another address.",
		},
		{
			"packets to a destination", nil, bruteForce(packets(event.ScopeDestination, "203.0.113.9")),
			"notify 203.0.113.9 SSH Brute Force Attack is not blocked: an unauthenticated sender wrote the evidence about another address.",
		},
		{
			"no source", nil, bruteForce(func(a *event.AlertEvent) { a.Entities = a.Entities[1:] }),
			notify("SSH Brute Force Attack is not blocked: the alert names no source address."),
		},
		{"two sources", nil, bruteForce(func(a *event.AlertEvent) {
			a.Entities = append(a.Entities, event.Field{Key: "src_ip", Value: "203.0.113.9"})
		}), notify("SSH Brute Force Attack is not blocked: the alert names more than one source address.")},
		{"not an address", nil, bruteForce(from("x from 8.8.8.8")), notify("SSH Brute Force Attack is not blocked: its source address cannot be read.")},
		{"a range", nil, bruteForce(from("0.0.0.0/0")), notify("SSH Brute Force Attack is not blocked: its source address cannot be read.")},
		{"a zone", nil, bruteForce(from("fe80::1%eth0")), notify("SSH Brute Force Attack is not blocked: its source address cannot be read.")},
		{"loopback", nil, bruteForce(from("127.0.0.2")), "notify 127.0.0.2 SSH Brute Force Attack is not blocked: no packet of an attacker has its source address."},
		{"IPv6 loopback", nil, bruteForce(from("::1")), "notify ::1 SSH Brute Force Attack is not blocked: no packet of an attacker has its source address."},
		{"mapped loopback", nil, bruteForce(from("::ffff:127.0.0.1")), "notify 127.0.0.1 SSH Brute Force Attack is not blocked: no packet of an attacker has its source address."},
		{"unspecified", nil, bruteForce(from("0.0.0.0")), "notify 0.0.0.0 SSH Brute Force Attack is not blocked: no packet of an attacker has its source address."},
		{"multicast", nil, bruteForce(from("ff02::1")), "notify ff02::1 SSH Brute Force Attack is not blocked: no packet of an attacker has its source address."},
		{"broadcast", nil, bruteForce(from("255.255.255.255")), "notify 255.255.255.255 SSH Brute Force Attack is not blocked: no packet of an attacker has its source address."},
		{
			"container", nil, bruteForce(func(a *event.AlertEvent) { a.Provenance = event.ProvenanceContainer }),
			"notify 203.0.113.9 SSH Brute Force Attack is not blocked: a container wrote the evidence.",
		},
		{
			"network about another", nil, bruteForce(func(a *event.AlertEvent) { a.Provenance, a.Peer = event.ProvenanceNetwork, "10.0.0.5:514" }),
			"notify 203.0.113.9 SSH Brute Force Attack is not blocked: an unauthenticated sender wrote the evidence about another address.",
		},
		{
			"network about itself", nil, bruteForce(func(a *event.AlertEvent) { a.Provenance, a.Peer = event.ProvenanceNetwork, "203.0.113.9:41000" }),
			"block 203.0.113.9 SSH Brute Force Attack from 203.0.113.9.",
		},
		{
			"unknown provenance", nil, bruteForce(func(a *event.AlertEvent) { a.Provenance = event.ProvenanceUnknown }),
			"notify 203.0.113.9 SSH Brute Force Attack is not blocked: an unauthenticated sender wrote the evidence about another address.",
		},
		{"below the severity", nil, bruteForce(func(a *event.AlertEvent) { a.Severity = event.SeverityMedium }), ""},
		{
			"lower severity asked for", func(c *Config) { c.MinSeverity = "medium" },
			bruteForce(func(a *event.AlertEvent) { a.Severity = event.SeverityMedium }), "block 203.0.113.9 SSH Brute Force Attack from 203.0.113.9.",
		},
		{"another rule", func(c *Config) { c.Rules = []string{"web_scan"} }, bruteForce(), ""},
		{"a listed rule", func(c *Config) { c.Rules = []string{"web_scan", "ssh_brute_force"} }, bruteForce(), "block 203.0.113.9 SSH Brute Force Attack from 203.0.113.9."},
		{"notices alone", func(c *Config) { c.Action = ActionNotify }, bruteForce(), "notify 203.0.113.9 SSH Brute Force Attack: the configuration asks for notices alone."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Default()
			if tt.cfg != nil {
				tt.cfg(&cfg)
			}
			p, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			intent, ok := p.Decide(tt.alert)
			if ok {
				got = intent.Action + " " + intent.Target + " " + intent.Reason
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if (intent.Action == ActionBlock) != (intent.TTLSeconds == 3600) {
				t.Errorf("got a TTL of %d s for %q; a block lasts 3600 s, a notice has none", intent.TTLSeconds, intent.Action)
			}
			again, _ := p.Decide(tt.alert)
			if diff := cmp.Diff(intent, again); diff != "" {
				t.Errorf("deciding twice differs:\n%s", diff)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.MinSeverity = "bad" }, `min_severity = "bad": want informational, low, medium, high or critical`},
		{func(c *Config) { c.TTL = 0 }, "ttl = 0s: want 1s to 8760h"},
		{func(c *Config) { c.TTL = 9000 * time.Hour }, "ttl = 9000h0m0s: want 1s to 8760h"},
		{func(c *Config) { c.Action = "isolate" }, `action = "isolate": want block, limit or notify`},
		{func(c *Config) { c.Forgeable = "block" }, `forgeable = "block": want limit or notify`},
		{func(c *Config) { c.Limit = 0 }, "limit = 0: want 1 to 1000000 packets per second"},
		{func(c *Config) { c.Limit = 1_000_001 }, "limit = 1000001: want 1 to 1000000 packets per second"},
		{func(c *Config) { c.LimitTTL = time.Millisecond }, "limit_ttl = 1ms: want 1s to 8760h"},
	} {
		cfg := Default()
		tt.change(&cfg)
		if _, err := New(cfg); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

// TestAnswerToForgeableEvidence checks what the host is told to do when the
// evidence does not suffice for a block.
func TestAnswerToForgeableEvidence(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(*Config)
		action  string
		ttl     int64
		details string
	}{
		{"a limit", func(*Config) {}, "block", 3600, "forgeable=limit limit=100 limit_ttl_seconds=600"},
		{"a notice", func(c *Config) { c.Forgeable = "notify" }, "block", 3600, ""},
		{"always a limit", func(c *Config) { c.Action, c.Limit, c.LimitTTL = "limit", 7, time.Minute }, "limit", 60, "limit=7"},
		{"never more than a notice", func(c *Config) { c.Action = "notify" }, "notify", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Default()
			tt.change(&cfg)
			p, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			intent, _ := p.Decide(bruteForce(packets(event.ScopeSource, "203.0.113.9")))
			var details []string
			for _, f := range intent.Details[3:] { // what it rests on comes first
				details = append(details, f.Key+"="+f.Value)
			}
			if got := strings.Join(details, " "); intent.Action != tt.action || intent.TTLSeconds != tt.ttl || got != tt.details {
				t.Errorf("got %s for %d s with %q, want %s for %d s with %q",
					intent.Action, intent.TTLSeconds, got, tt.action, tt.ttl, tt.details)
			}
		})
	}
}

// Whatever an alert holds, a block is of the one address it names.
func FuzzDecide(f *testing.F) {
	f.Add("203.0.113.9", "", uint8(1), uint8(1), "")
	f.Add("::ffff:0.0.0.0", "8.8.8.8", uint8(0), uint8(3), "[::1]:1")
	p, err := New(Default())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, one, two string, evidence, provenance uint8, peer string) {
		a := bruteForce(from(one), func(a *event.AlertEvent) {
			a.Evidence, a.Provenance, a.Peer = event.Evidence(evidence), event.Provenance(provenance), peer
			if two != "" {
				a.Entities = append(a.Entities, event.Field{Key: "src_ip", Value: two})
			}
		})
		intent, ok := p.Decide(a)
		if !ok || intent.Reason == "" {
			t.Fatalf("got %+v, want a decision with its reason", intent)
		}
		if intent.Action != ActionBlock {
			return
		}
		named, err := netip.ParseAddr(one)
		target, targetErr := netip.ParseAddr(intent.Target)
		if err != nil || targetErr != nil || two != "" || named.Unmap() != target || !target.IsGlobalUnicast() && !target.IsLinkLocalUnicast() {
			t.Errorf("blocked %q for %q and %q", intent.Target, one, two)
		}
	})
}
