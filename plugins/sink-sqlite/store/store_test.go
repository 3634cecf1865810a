package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("STORE_TEST_WRITER"); dir != "" {
		writeUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

var (
	noon   = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	stream = &event.Stream{
		ID: event.StreamID("source-file", "/var/log/auth.log"), Name: "/var/log/auth.log", Plugin: "source-file",
		Format: "syslog", TimeZone: "Europe/Berlin", Provenance: event.ProvenanceHost,
	}
)

func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return noon }
	}
	s, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func flushed(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func logEvent(n int) *event.LogEvent {
	return &event.LogEvent{
		Stream: stream, Sequence: uint64(n), Time: noon.Add(time.Duration(n) * time.Second), ObservedTime: noon,
		Severity: event.SeverityInfo, Flags: event.FlagTimeInferred, Host: "web1", Process: "sshd", PID: 4711,
		Message: fmt.Sprintf("Failed password for root from 203.0.113.%d", n%256),
		Fields:  []event.Field{{Key: "src_ip", Value: fmt.Sprintf("203.0.113.%d", n%256)}, {Key: "user", Value: "root"}},
	}
}

func packet(n int) *event.PacketEvent {
	return &event.PacketEvent{
		Stream: stream, Sequence: uint64(n), Time: noon.Add(time.Duration(n) * time.Second), Interval: 250 * time.Millisecond,
		Interface: "eth0", Scope: event.ScopeSource, Source: netip.MustParseAddr("2001:db8::7"), Destination: netip.MustParseAddr("192.0.2.1"),
		DestinationPort: 22, Packets: 1, Bytes: 2, SYN: 3, SYNACK: 4, ACK: 5, FIN: 6, RST: 7, Odd: 8, UDP: 9, ICMP: 10, Other: 11,
		Dropped: 12, WouldDrop: 13, Ports: 14, Peers: 15, Echo: 16, Reflected: 17, Service: 18, OddKinds: 19, PortSample: []uint16{22, 80},
	}
}

func alert(n int) *event.AlertEvent {
	a := &event.AlertEvent{
		Stream: stream, Sequence: uint64(n), ID: fmt.Sprintf("%032x", 0xabcdef0100000000+uint64(n)),
		Time: noon.Add(time.Duration(n) * time.Second), ObservedTime: noon, RuleID: "ssh_brute_force", Title: "SSH Brute Force",
		Description: "d", Severity: event.Severity(1 + n%5), Detector: "detector-rules", Group: "203.0.113.9",
		Entities: []event.Field{{Key: "src_ip", Value: fmt.Sprintf("203.0.113.%d", n%4)}, {Key: "user", Value: "root"}},
		Details:  []event.Field{{Key: "count", Value: "5"}}, Tags: []string{"attack.t1110"}, Count: 5,
		TraceID:  event.Trace("host", event.ID{Stream: 1, Sequence: uint64(n)}),
		Evidence: event.EvidenceConfirmed, Provenance: event.ProvenanceHost, Peer: "10.0.0.1", Hops: 1, SilencedBy: "5a",
	}
	a.CiteLog(logEvent(n))
	a.CitePacket(packet(n))
	return a
}

func action(n int) *event.ActionEvent {
	return &event.ActionEvent{
		Stream: stream, Sequence: uint64(n), ID: fmt.Sprintf("%032x", 0xbbbbbbbb00000000+uint64(n)),
		Time: noon.Add(time.Duration(n) * time.Second), AlertID: alert(n).ID, TraceID: event.TraceID{9},
		Enforcer: "enforcer-xdp", Action: "block", Target: fmt.Sprintf("203.0.113.%d", n%4), Outcome: event.OutcomeSimulated,
		Mode: "simulate", Reason: "r", Expires: noon.Add(time.Hour), Details: []event.Field{{Key: "rule_id", Value: "ssh_brute_force"}},
	}
}

func query(t testing.TB, s *Store, q sdk.Query) []sdk.Record {
	t.Helper()
	var got []sdk.Record
	if err := s.Query(context.Background(), q, func(r sdk.Record) bool {
		got = append(got, r)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

// sequences names records by their sequence numbers.
func sequences(records []sdk.Record) []uint64 {
	out := []uint64{}
	for _, r := range records {
		switch {
		case r.Alert != nil:
			out = append(out, r.Alert.Sequence)
		case r.Action != nil:
			out = append(out, r.Action.Sequence)
		case r.Log != nil:
			out = append(out, r.Log.Sequence)
		case r.Packet != nil:
			out = append(out, r.Packet.Sequence)
		}
	}
	return out
}

func TestEverythingComesBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	unparsed := &event.LogEvent{
		Stream: stream, Sequence: 99, Time: noon.Add(-time.Hour), ObservedTime: noon, Flags: event.FlagUnparsed,
		Raw: []byte{0xff, 0, 'x'}, Reason: "not_utf8",
	}
	bare := &event.AlertEvent{ID: "0000000000000000000000000000000f", Time: noon.Add(-time.Hour)}
	s.PutAlert(alert(1))
	s.PutAlert(bare)
	s.PutAction(action(1))
	s.PutLog(logEvent(1))
	s.PutLog(unparsed)
	s.PutPacket(packet(1))
	flushed(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir})
	for _, tt := range []struct {
		kind event.Kind
		want []sdk.Record
	}{
		{event.KindAlert, []sdk.Record{{Alert: alert(1), State: "open"}, {Alert: bare, State: "open"}}},
		{event.KindAction, []sdk.Record{{Action: action(1)}}},
		{event.KindLog, []sdk.Record{{Log: logEvent(1)}, {Log: unparsed}}},
		{event.KindPacket, []sdk.Record{{Packet: packet(1)}}},
	} {
		got := query(t, s, sdk.Query{Kind: tt.kind})
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.kind, diff)
		}
	}
}

func TestEventsAreKeptOnce(t *testing.T) {
	s := open(t, Config{})
	for range 3 {
		for n := range 3 {
			s.PutAlert(alert(n))
			s.PutAction(action(n))
			s.PutLog(logEvent(n))
			s.PutPacket(packet(n))
		}
		flushed(t, s)
	}
	later := action(0)
	later.Outcome, later.Sequence = event.OutcomeExpired, 10
	s.PutAction(later)
	for kind, want := range map[event.Kind]int{event.KindAlert: 3, event.KindAction: 4, event.KindLog: 3, event.KindPacket: 3} {
		if got := len(query(t, s, sdk.Query{Kind: kind})); got != want {
			t.Errorf("%v: got %d, want %d", kind, got, want)
		}
	}
}

func TestDaysAreMergedByEventTime(t *testing.T) {
	now := noon
	s := open(t, Config{Now: func() time.Time { return now }})
	// Observed on three days; the times of the events overlap.
	for day := range 3 {
		now = noon.AddDate(0, 0, day)
		for n := range 3 {
			e := logEvent(10*day + n)
			e.ObservedTime = now
			e.Time = noon.Add(time.Duration(n*3+day) * time.Hour)
			s.PutLog(e)
		}
		flushed(t, s)
	}
	want := []uint64{22, 12, 2, 21, 11, 1, 20, 10, 0}
	if diff := cmp.Diff(want, sequences(query(t, s, sdk.Query{Kind: event.KindLog}))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	files, err := s.dayFiles()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"events-2025-03-01.db", "events-2025-03-02.db", "events-2025-03-03.db"}, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if len(s.days) != maxDays {
		t.Errorf("got %d files open, want %d", len(s.days), maxDays)
	}
}

func TestHostileTimesMakeNoFiles(t *testing.T) {
	s := open(t, Config{Retention: 3 * 24 * time.Hour})
	for n, at := range []time.Time{{}, time.Unix(0, 0), noon.AddDate(50, 0, 0), noon.AddDate(0, 0, -4), noon.AddDate(0, 0, -1)} {
		e := logEvent(n)
		e.ObservedTime, e.Time = at, at
		s.PutLog(e)
	}
	flushed(t, s)
	files, err := s.dayFiles()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"events-2025-02-28.db", "events-2025-03-01.db"}, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestRetention(t *testing.T) {
	now := noon
	s := open(t, Config{Now: func() time.Time { return now }, Retention: 3 * 24 * time.Hour, AlertRetention: 5 * 24 * time.Hour})
	for day := range 8 {
		now = noon.AddDate(0, 0, day)
		e := logEvent(day)
		e.ObservedTime, e.Time = now, now
		s.PutLog(e)
		a := alert(day)
		a.Time = now
		s.PutAlert(a)
		x := action(day)
		x.Time = now
		s.PutAction(x)
		flushed(t, s)
	}
	// The last day is the 7th: logs from the 4th, alerts from the 2nd.
	for kind, want := range map[event.Kind][]uint64{
		event.KindLog:    {7, 6, 5, 4},
		event.KindAlert:  {7, 6, 5, 4, 3, 2},
		event.KindAction: {7, 6, 5, 4, 3, 2},
	} {
		if diff := cmp.Diff(want, sequences(query(t, s, sdk.Query{Kind: kind}))); diff != "" {
			t.Errorf("%v (-want +got):\n%s", kind, diff)
		}
	}
	entities := query(t, s, sdk.Query{Kind: event.KindAlert, Equal: []event.Field{{Key: "user", Value: "root"}}})
	if len(entities) != 6 || s.Stats().Deleted != 4 {
		t.Errorf("got %d alerts by entity and %d files deleted, want 6 and 4", len(entities), s.Stats().Deleted)
	}
}

func TestMaxBytes(t *testing.T) {
	now := noon
	s := open(t, Config{Now: func() time.Time { return now }, MaxBytes: 1 << 20})
	for day := range 5 {
		now = noon.AddDate(0, 0, day)
		for n := range 1000 {
			e := logEvent(1000*day + n)
			e.ObservedTime, e.Time = now, now
			s.PutLog(e)
			if n%100 == 0 {
				flushed(t, s)
			}
		}
	}
	flushed(t, s)
	if got := sequences(query(t, s, sdk.Query{Kind: event.KindLog, Limit: 1})); len(got) != 1 || got[0] != 4999 {
		t.Errorf("got %v, want the newest event kept", got)
	}
	if s.Stats().Deleted == 0 || s.Stats().Dropped > 0 {
		t.Errorf("got %+v, want old files deleted and nothing dropped", s.Stats())
	}
	// One day that is too large by itself.
	for n := range 20000 {
		e := logEvent(10000 + n)
		e.ObservedTime = now
		s.PutLog(e)
		if n%500 == 0 {
			flushed(t, s)
		}
	}
	if s.Stats().Dropped == 0 || s.Health() == nil {
		t.Errorf("got %+v and health %v, want drops that are shown", s.Stats(), s.Health())
	}
	// Alerts go on, and the next day begins anew.
	s.PutAlert(alert(1))
	now = now.AddDate(0, 0, 1)
	flushed(t, s)
	e := logEvent(50000)
	e.ObservedTime, e.Time = now, now
	s.PutLog(e)
	if got := sequences(query(t, s, sdk.Query{Kind: event.KindLog, Limit: 1})); len(got) != 1 || got[0] != 50000 {
		t.Errorf("got %v on the next day, want 50000", got)
	}
	if len(query(t, s, sdk.Query{Kind: event.KindAlert})) != 1 || s.Health() != nil {
		t.Errorf("got health %v, want the alert and nil", s.Health())
	}
}

func TestMaxAlertBytes(t *testing.T) {
	const bound = 4 << 20
	now := noon
	s := open(t, Config{MaxAlertBytes: bound, Now: func() time.Time { return now }})
	for n := range 6000 {
		s.PutAlert(alert(n))
		if n%500 == 499 {
			now = now.Add(sweepInterval)
			flushed(t, s)
		}
	}
	size, err := s.alerts.used(t.Context())
	if err != nil || size > bound {
		t.Errorf("alerts take %d bytes (%v), want at most %d", size, err, bound)
	}
	got := sequences(query(t, s, sdk.Query{Kind: event.KindAlert}))
	if len(got) == 0 || got[0] != 5999 || uint64(6000-len(got)) != s.Stats().DeletedAlerts || got[len(got)-1] != s.Stats().DeletedAlerts {
		t.Errorf("got %d alerts and %+v, want the newest", len(got), s.Stats())
	}
	// What was deleted is found by nothing.
	for _, q := range []sdk.Query{
		{Kind: event.KindAlert, Text: "brute"}, {Kind: event.KindAlert, Equal: []event.Field{{Key: "user", Value: "root"}}},
	} {
		if n := len(query(t, s, q)); n != len(got) {
			t.Errorf("%+v: got %d, want %d", q, n, len(got))
		}
	}
}

func TestUpdateAlert(t *testing.T) {
	s := open(t, Config{})
	for n := range 3 {
		s.PutAlert(alert(n))
	}
	if ok, err := s.UpdateAlert(t.Context(), alert(1).ID, "acknowledged", "ann", "looking"); !ok || err != nil {
		t.Fatalf("got %v, %v", ok, err)
	}
	if ok, err := s.UpdateAlert(t.Context(), alert(1).ID, "closed", "bob", ""); !ok || err != nil {
		t.Fatalf("got %v, %v", ok, err)
	}
	if ok, err := s.UpdateAlert(t.Context(), "ffffffffffff", "closed", "bob", ""); ok || err != nil {
		t.Errorf("unknown: got %v, %v", ok, err)
	}
	for _, bad := range [][2]string{{"abc", "closed"}, {alert(1).ID, "gone"}, {alert(1).ID[:20], "closed"}} {
		if _, err := s.UpdateAlert(t.Context(), bad[0], bad[1], "bob", ""); !errors.Is(err, ErrQuery) {
			t.Errorf("%v: got %v, want ErrQuery", bad, err)
		}
	}
	// The alert delivered again keeps its state.
	s.PutAlert(alert(1))
	got := query(t, s, sdk.Query{Kind: event.KindAlert, ID: alert(1).ID})
	if len(got) != 1 || got[0].State != "closed" {
		t.Errorf("got %v, want it closed", got)
	}
	var n int
	if err := s.alerts.conn.QueryRowContext(t.Context(), `SELECT count(*) FROM states WHERE actor IN ('ann', 'bob') AND time = ?`, noon.UnixNano()).Scan(&n); err != nil || n != 2 {
		t.Errorf("got %d changes remembered and %v, want 2", n, err)
	}
}

func TestClose(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	s.PutAlert(alert(1))
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if err := s.Query(t.Context(), sdk.Query{Kind: event.KindAlert}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if got := len(query(t, open(t, Config{Dir: dir}), sdk.Query{Kind: event.KindAlert})); got != 1 {
		t.Errorf("got %d alerts, want what waited written by Close", got)
	}
	info, err := os.Stat(filepath.Join(dir, alertsName))
	if err != nil || info.Mode().Perm()&0o027 != 0 {
		t.Errorf("got mode %v and %v, want nothing for others", info.Mode(), err)
	}
}

func BenchmarkPutLog(b *testing.B) {
	b.ReportAllocs()
	s := open(b, Config{})
	n := 0
	for b.Loop() {
		s.PutLog(logEvent(n))
		if n++; n%500 == 0 {
			flushed(b, s)
		}
	}
}

func BenchmarkPutAlert(b *testing.B) {
	b.ReportAllocs()
	s := open(b, Config{})
	n := 0
	for b.Loop() {
		s.PutAlert(alert(n))
		if n++; n%100 == 0 {
			flushed(b, s)
		}
	}
}
