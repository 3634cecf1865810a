// Package exporttest has alerts and actions for the tests of exports: ordinary ones, empty
// ones, and such as attackers and broken plugins would make.
package exporttest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Time is when the ordinary events happened.
var Time = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

// Hostile is text that clears a screen, ends a line, turns the direction of writing and is
// no UTF-8 at its end.
const Hostile = "\x1b[2J\n\u202egnp.exe\u2028</script>\"\\\x00"

func at(d time.Duration) uint64 { return uint64(Time.Add(d).UnixNano()) }

// BruteForce is an ordinary alert that cites two lines and a summary of packets.
func BruteForce() *pb.AlertEvent {
	line := func(n uint64, d time.Duration) *pb.LogEvent {
		return &pb.LogEvent{
			Time: at(d), ObservedTime: at(d), Host: "web1", Process: "sshd", Pid: 24200, Message: "Failed password for root from 192.0.2.7 port 22 ssh2",
			Fields: []*pb.Field{{Key: "src_ip", Value: "192.0.2.7"}, {Key: "user", Value: "root"}}, Id: &pb.EventID{Stream: 7, Sequence: n},
		}
	}
	return &pb.AlertEvent{
		Id: "00112233445566778899aabbccddeeff", Time: at(0), ObservedTime: at(time.Second), RuleId: "ssh_brute_force", Title: "SSH brute force",
		Description: "Five failed logins within a minute.", Severity: pb.Severity_SEVERITY_HIGH, Detector: "detector-rules", Group: "192.0.2.7",
		Entities: []*pb.Field{
			{Key: "src_ip", Value: "192.0.2.7"},
			{Key: "dst_ip", Value: "2001:db8::1"},
			{Key: "dst_port", Value: "22"},
			{Key: "user", Value: "root"},
			{Key: "process", Value: "sshd"},
			{Key: "pid", Value: "24200"},
			{Key: "host", Value: "web1"},
			{Key: "container_id", Value: "f00d"},
			{Key: "command", Value: "sshd -D"},
			{Key: "path", Value: "/usr/sbin/sshd"},
		},
		Details: []*pb.Field{
			{Key: "bound", Value: "5"}, {Key: "src_container_id", Value: "cafe"}, {Key: "src_via", Value: "address"}, {Key: "dst_process", Value: "sshd"},
		},
		Tags: []string{"attack.t1110.001", "attack.T1078", "attack.credential_access", "attack.initial-access", "cve.2024-1"}, Count: 5, TraceId: make([]byte, 16),
		Causes: []*pb.EventID{{Stream: 7, Sequence: 41}, {Stream: 7, Sequence: 42}, {Stream: 8, Sequence: 1}},
		Logs:   []*pb.LogEvent{line(41, -time.Minute), line(42, 0)},
		Packets: []*pb.PacketEvent{{
			Time: at(time.Second), IntervalNs: 5e9, Interface: "eth0", Source: []byte{192, 0, 2, 7}, Destination: []byte{198, 51, 100, 1}, DestinationPort: 22,
			Packets: 100, Syn: 20, Id: &pb.EventID{Stream: 8, Sequence: 1},
		}},
		Evidence: pb.Evidence_EVIDENCE_CONFIRMED, Provenance: pb.Provenance_PROVENANCE_HOST,
	}
}

// Vulnerable is an ordinary alert about a package, of an advisory.
func Vulnerable(advisory string) *pb.AlertEvent {
	return &pb.AlertEvent{
		Id: "ffeeddccbbaa99887766554433221100", Time: at(0), RuleId: "sbom.vulnerable", Title: "log4j-core 2.14.1 has " + advisory,
		Severity: pb.Severity_SEVERITY_CRITICAL, Detector: "scanner-sbom", Provenance: pb.Provenance_PROVENANCE_HOST,
		Entities: []*pb.Field{
			{Key: "vulnerability", Value: advisory},
			{Key: "package", Value: "log4j-core"},
			{Key: "version", Value: "2.14.1"},
			{Key: "fixed_version", Value: "2.15.0"},
			{Key: "purl", Value: "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1"},
			{Key: "image", Value: "shop:1"},
			{Key: "container_name", Value: "shop"},
			{Key: "path", Value: "/app/log4j.jar"},
		},
	}
}

// Alerts returns ordinary alerts in every state, then empty and hostile ones, and n made by
// chance, the same each time.
func Alerts(n int) []*pb.AlertEvent {
	list := []*pb.AlertEvent{BruteForce(), Vulnerable("CVE-2021-44228"), Vulnerable("GHSA-jfh8-c2jp-5v3q"), {}, {Id: "x", Logs: []*pb.LogEvent{{}}, Packets: []*pb.PacketEvent{{}}}}
	for _, state := range []string{"open", "acknowledged", "closed", "", "other"} {
		for _, silence := range []string{"", "5a5a5a"} {
			a := BruteForce()
			a.State, a.SilencedBy = state, silence
			list = append(list, a)
		}
	}
	hostile := BruteForce()
	hostile.Title, hostile.Description, hostile.RuleId, hostile.Detector, hostile.Group = Hostile, Hostile, Hostile, Hostile, Hostile
	hostile.Tags = []string{Hostile, "attack.", "attack.t", "attack.t99999", "attack.t1110.1", "attack.t1110.0011"}
	for _, list := range [][]*pb.Field{hostile.Entities, hostile.Details, hostile.Logs[0].Fields} {
		for _, f := range list {
			f.Value = Hostile
		}
	}
	hostile.Logs[0].Message, hostile.Logs[0].Raw, hostile.Logs[0].Process, hostile.Logs[0].Id = Hostile, []byte("\xff\xfe\x00raw"), Hostile, nil
	hostile.Packets[0].Source, hostile.Packets[0].DestinationPort = []byte{1, 2, 3}, math.MaxUint32
	hostile.Severity, hostile.Evidence, hostile.Provenance, hostile.Count, hostile.Time = 77, -1, 256, math.MaxUint64, math.MaxUint64
	list = append(list, hostile)
	r := rand.New(rand.NewPCG(1, 2))
	for range n {
		list = append(list, random(r))
	}
	return list
}

func random(r *rand.Rand) *pb.AlertEvent {
	text := func() string {
		return [...]string{"", "x", Hostile, "192.0.2.9", "::1", "fe80::1%eth0", "70000", "22", "-1", "CVE-2024-1"}[r.IntN(10)]
	}
	fields := func() (out []*pb.Field) {
		names := []string{"src_ip", "dst_ip", "dst_port", "user", "process", "pid", "process_id", "host", "container_id", "container_name", "image", "package", "version", "purl", "vulnerability", "fixed_version", "command", "path", "src_x", "dst_x", "log_x", "", Hostile}
		for range r.IntN(12) {
			out = append(out, &pb.Field{Key: names[r.IntN(len(names))], Value: text()})
		}
		return out
	}
	a := &pb.AlertEvent{
		Id: text(), Time: r.Uint64(), ObservedTime: r.Uint64N(1 << 61), RuleId: text(), Title: text(), Description: text(), Severity: pb.Severity(r.IntN(8) - 1),
		Detector: text(), Group: text(), Entities: fields(), Details: fields(), Count: r.Uint64(), Evidence: pb.Evidence(r.IntN(4) - 1),
		Provenance: pb.Provenance(r.IntN(6) - 1), Peer: text(), State: text(), SilencedBy: text(), Hops: r.Uint32(),
		Tags: []string{fmt.Sprintf("attack.t%04d", r.IntN(10000)), text()},
	}
	for range r.IntN(3) {
		a.Logs = append(a.Logs, &pb.LogEvent{Time: r.Uint64(), Host: text(), Process: text(), Pid: r.Uint32(), Message: text(), Fields: fields(), Flags: r.Uint32()})
		a.Packets = append(a.Packets, &pb.PacketEvent{Time: r.Uint64(), Source: make([]byte, r.IntN(20)), Destination: make([]byte, 4), DestinationPort: r.Uint32()})
		a.Causes = append(a.Causes, &pb.EventID{Stream: r.Uint64()})
	}
	return a
}

// Actions returns an action of every verb with every outcome, about targets of every
// kind.
func Actions() (list []*pb.ActionEvent) {
	for _, verb := range []string{"block", "limit", "monitor", "allow", "rule", "notify", "mode", "breaker", "audit", "evidence", "net-isolate", "pause", "stop", "kill", Hostile} {
		for outcome := range pb.Outcome(11) {
			for _, target := range []string{"192.0.2.7", "192.0.2.7/32", "198.51.100.0/24", "2001:db8::/32", "f00dcafe", "", Hostile} {
				list = append(list, &pb.ActionEvent{
					Id: "a1", Time: at(0), AlertId: "00112233", TraceId: make([]byte, 16), Enforcer: "enforcer-xdp", Action: verb, Target: target,
					Outcome: outcome - 1, Mode: "enforce", Reason: Hostile, Expires: at(time.Hour), Details: []*pb.Field{{Key: "ttl", Value: "3600"}, {Key: Hostile, Value: Hostile}},
				})
			}
		}
	}
	return append(list, &pb.ActionEvent{Action: "block"})
}
