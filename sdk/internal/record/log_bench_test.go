package record

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// sshLog makes the events of a batch of lines of an SSH server, in random order,
// as a parser makes them: what is from the record lies inside it, and what the
// parser adds are words of its own.
func sshLog(n int) (lines [][]byte, events []*event.LogEvent) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		host, pid := fmt.Sprintf("bastion-%02d", r.IntN(4)), 2000+r.IntN(60000)
		address := fmt.Sprintf("%d.%d.%d.%d", 11+r.IntN(160), r.IntN(256), r.IntN(256), 1+r.IntN(254))
		port, user := fmt.Sprint(1024+r.IntN(64000)), []string{"anna", "deploy", "jo", "maria"}[r.IntN(4)]
		var message string
		var own, cut []string // pairs of key and value
		switch r.IntN(4) {
		case 0, 1:
			key := strings.Repeat(string(rune('A'+r.IntN(26))), 43)
			message = fmt.Sprintf("Accepted publickey for %s from %s port %s ssh2: ED25519 SHA256:%s", user, address, port, key)
			own, cut = []string{"event_action", "ssh_accepted_publickey", "auth_method", "publickey"}, []string{"user", user, "src_ip", address, "src_port", port, "key_type", "ED25519", "key_fingerprint", "SHA256:" + key}
		case 2:
			uid := fmt.Sprint(1000 + r.IntN(5000))
			message = fmt.Sprintf("pam_unix(sshd:session): session opened for user %s(uid=%s) by (uid=0)", user, uid)
			own, cut = []string{"event_action", "pam_session_opened"}, []string{"pam_service", "sshd", "user", user, "user_uid", uid}
		case 3:
			message = fmt.Sprintf("Received disconnect from %s port %s:11: disconnected by user; the session of %s had lasted %d s", address, port, user, r.IntN(9000))
			own, cut = []string{"event_action", "ssh_received_disconnect"}, []string{"src_ip", address, "src_port", port}
		}
		line := fmt.Appendf(nil, "Jan  2 15:04:05 %s sshd[%d]: %s", host, pid, message)
		find := func(s string) string {
			at := strings.Index(string(line), s)
			return alias(line[at : at+len(s)])
		}
		e := &event.LogEvent{
			Sequence: uint64(i + 1), Time: time.Unix(1_700_000_000+int64(i/200), 0), ObservedTime: time.Unix(1_700_000_100, 0),
			Flags: event.FlagTimeInferred, Host: find(host), Process: find("sshd"), PID: uint32(pid), Message: find(message),
		}
		for j := 0; j < len(own); j += 2 {
			e.Fields = append(e.Fields, event.Field{Key: own[j], Value: own[j+1]})
		}
		for j := 0; j < len(cut); j += 2 {
			e.Fields = append(e.Fields, event.Field{Key: cut[j], Value: find(cut[j+1])})
		}
		lines, events = append(lines, line), append(events, e)
	}
	return lines, events
}

const benchBatch = 1024

func appendBatch(encoder *LogEncoder, b []byte, lines [][]byte, events []*event.LogEvent) []byte {
	encoder.Begin(events[0].ObservedTime)
	for i, e := range events {
		b = encoder.Append(b, e, 1, lines[i])
	}
	return b
}

// BenchmarkLogBatch encodes batches of an SSH server's log.
func BenchmarkLogBatch(b *testing.B) {
	lines, events := sshLog(8 * benchBatch)
	var encoder LogEncoder
	buf := make([]byte, 0, 1<<20)
	at := 0
	b.ReportAllocs()
	for b.Loop() {
		buf = appendBatch(&encoder, buf[:0], lines[at:at+benchBatch], events[at:at+benchBatch])
		at = (at + benchBatch) % len(events)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchBatch), "ns/event")
}

// BenchmarkDecodeLogBatch reads them.
func BenchmarkDecodeLogBatch(b *testing.B) {
	lines, events := sshLog(8 * benchBatch)
	var encoder LogEncoder
	var payloads [][]byte
	for at := 0; at < len(events); at += benchBatch {
		payloads = append(payloads, appendBatch(&encoder, nil, lines[at:at+benchBatch], events[at:at+benchBatch]))
	}
	var names Names
	var e event.LogEvent
	at := 0
	b.ReportAllocs()
	for b.Loop() {
		names.Reset()
		for r := pb.NewReader(pb.Kind_KIND_LOG, payloads[at]); r.Next(); {
			if r.IsName {
				names.Add(r.Item)
			} else if err := names.DecodeLog(r.Item, 1, &e); err != nil {
				b.Fatal(err)
			}
		}
		at = (at + 1) % len(payloads)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchBatch), "ns/event")
}

func TestBatchesAllocateNothing(t *testing.T) {
	lines, events := sshLog(256)
	var encoder LogEncoder
	var names Names
	var e event.LogEvent
	buf := appendBatch(&encoder, nil, lines, events) // makes the names, and room
	if n := testing.AllocsPerRun(20, func() { buf = appendBatch(&encoder, buf[:0], lines, events) }); n != 0 {
		t.Errorf("encoding a batch: %v allocations, want 0", n)
	}
	read := func() {
		names.Reset()
		for r := pb.NewReader(pb.Kind_KIND_LOG, buf); r.Next(); {
			if r.IsName {
				names.Add(r.Item)
			} else if err := names.DecodeLog(r.Item, 1, &e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := testing.AllocsPerRun(20, read); n != 0 {
		t.Errorf("reading a batch: %v allocations, want 0", n)
	}
	if last := events[len(events)-1]; e.Message != last.Message || len(e.Fields) != len(last.Fields) {
		t.Errorf("the last event reads %+v", e)
	}
}
