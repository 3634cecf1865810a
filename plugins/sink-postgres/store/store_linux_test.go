package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"github.com/ironpost/ironpost/plugins/internal/pgtest"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

var server *pgtest.Server

func TestMain(m *testing.M) {
	if os.Getenv("STORE_TEST_WRITER") != "" {
		os.Exit(m.Run()) // the process of a test, which has a server
	}
	os.Exit(pgtest.Main(m, pgtest.Config{}, func(s *pgtest.Server) { server = s }))
}

var (
	// noon is that of yesterday: there are tables of the days around it.
	noon   = time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)
	stream = &event.Stream{
		ID: event.StreamID("source-file", "/var/log/auth.log"), Name: "/var/log/auth.log", Plugin: "source-file",
		Format: "syslog", TimeZone: "Europe/Berlin", Provenance: event.ProvenanceHost,
	}
)

// connection is how the superuser reaches a database.
func connection(t testing.TB, url string) *pgx.ConnConfig {
	t.Helper()
	c, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	c.TLSConfig, c.Fallbacks = nil, nil
	return c
}

// config is that of a store with a database of its own, in which the schema is.
func config(t testing.TB) Config {
	t.Helper()
	pgtest.Need(t, server)
	templateOnce.Do(func() {
		template = server.Database(t, "")
		conn, err := pgx.Connect(t.Context(), server.URL(template))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(migrate(t.Context(), conn), (&session{conn: conn}).lookAtDays(t.Context(), 1), conn.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
	})
	return configOf(t, template)
}

var (
	template     string
	templateOnce sync.Once
)

// configOf is config with a copy of a database.
func configOf(t testing.TB, template string) Config {
	t.Helper()
	return Config{
		Connection: connection(t, server.URL(server.Database(t, template))), Host: "host-a", Dir: t.TempDir(),
		Timeout: 20 * time.Second, Slow: 20 * time.Second,
	}
}

// open opens a store, and closes it with the test.
func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, s) })
	return s
}

func closed(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// running has the store run until the test ends.
func running(t testing.TB, s *Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the end of its context", err)
		}
	})
}

func flushed(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

func logEvent(n int) *event.LogEvent {
	return &event.LogEvent{
		Stream: stream, Sequence: uint64(n), Time: noon.Add(time.Duration(n)*time.Second + 17*time.Nanosecond), ObservedTime: noon,
		Severity: event.SeverityInfo, Host: "web1", Process: "sshd", PID: 4711,
		Message: fmt.Sprintf("Failed password for root from 203.0.113.%d", n%256),
		Fields:  []event.Field{{Key: "user", Value: "root"}, {Key: "src_ip", Value: fmt.Sprintf("203.0.113.%d", n%256)}},
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
		Evidence: event.EvidenceConfirmed, Provenance: event.ProvenanceHost, Peer: "10.0.0.1", Hops: 1, SilencedBy: "s1",
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
	cfg := config(t)
	s := open(t, cfg)
	unparsed := &event.LogEvent{
		Stream: stream, Sequence: 99, Time: noon.Add(-time.Hour), ObservedTime: noon, Flags: event.FlagUnparsed,
		Raw: []byte{0xff, 0, 'x'}, Reason: "not_utf8",
	}
	hostile := &event.LogEvent{
		Stream: stream, Sequence: 100, Time: noon.Add(-2 * time.Hour), ObservedTime: noon, Message: "a\x00b\xffc",
		Fields: []event.Field{{Key: "z\x00", Value: "\x00\\u0000\"\\\ufdd00\ufdd0"}, {Key: "a", Value: "é"}},
	}
	wanted := hostile.Clone()
	wanted.Message = "a\x00b\ufffdc"
	bare := &event.AlertEvent{ID: "0000000000000000000000000000000f", Time: noon.Add(-time.Hour)}
	for range 2 { // as after a restart
		s.PutAlert(alert(1))
		s.PutAlert(bare)
		s.PutAction(action(1))
		s.PutLog(logEvent(1))
		s.PutLog(unparsed)
		s.PutLog(hostile)
		s.PutPacket(packet(1))
		flushed(t, s)
	}
	if n := s.Stats().Spooled; n != 0 {
		t.Errorf("%d rows were spooled: %v", n, s.Health())
	}
	s = open(t, cfg)
	for _, tt := range []struct {
		kind event.Kind
		want []sdk.Record
	}{
		{event.KindAlert, []sdk.Record{{Alert: alert(1), State: "open"}, {Alert: bare, State: "open"}}},
		{event.KindAction, []sdk.Record{{Action: action(1)}}},
		{event.KindLog, []sdk.Record{{Log: logEvent(1)}, {Log: unparsed}, {Log: wanted}}},
		{event.KindPacket, []sdk.Record{{Packet: packet(1)}}},
	} {
		got := query(t, s, sdk.Query{Kind: tt.kind})
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.kind, diff)
		}
	}
}

// TestTimesOutOfRange has events of 1970, of the future, of the zero time, of a week
// ago and of years ago: none is lost, none fails a batch, and all come in order.
func TestTimesOutOfRange(t *testing.T) {
	s := open(t, config(t))
	times := []time.Time{
		noon.AddDate(0, 0, 300), noon.Add(time.Hour), noon, noon.AddDate(0, 0, -7), noon.AddDate(-3, 0, 0), time.Unix(1, 5).UTC(),
		{},
		time.Unix(-5, 7).UTC(),
	}
	want := []uint64{}
	for range 2 {
		for n, at := range times {
			e, p, a, x := logEvent(n), packet(n), alert(n), action(n)
			e.Time, p.Time, a.Time, x.Time = at, at, at, at
			s.PutLog(e)
			s.PutPacket(p)
			s.PutAlert(a)
			s.PutAction(x)
		}
		flushed(t, s)
	}
	for n := range times {
		want = append(want, uint64(n))
	}
	for _, kind := range []event.Kind{event.KindLog, event.KindPacket, event.KindAlert, event.KindAction} {
		got := query(t, s, sdk.Query{Kind: kind})
		if diff := cmp.Diff(want, sequences(got)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", kind, diff)
		}
	}
	got := query(t, s, sdk.Query{Kind: event.KindLog})
	for n, at := range times {
		if !got[n].Log.Time.Equal(at) {
			t.Errorf("got %v, want %v", got[n].Log.Time, at)
		}
	}
	if got := pgtest.Value[int](t, server, s.cfg.Connection.Database, "SELECT count(*) FROM ironpost.logs_outside"); got != 5 {
		t.Errorf("got %d events outside, want 5", got)
	}
	if err := s.Health(); err != nil {
		t.Error(err)
	}
}

// TestReadAgainLater has a source read lines without a time of their own again after
// midnight, as after the death of a host: they are kept once.
func TestReadAgainLater(t *testing.T) {
	cfg := config(t)
	for day := range 2 {
		s := open(t, cfg)
		for n := range 3 {
			e := logEvent(n)
			e.Flags |= event.FlagTimeInferred
			e.Time = e.Time.AddDate(0, 0, day)
			s.PutLog(e)
		}
		flushed(t, s)
		if diff := cmp.Diff([]uint64{2, 1, 0}, sequences(query(t, s, sdk.Query{Kind: event.KindLog}))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestHosts(t *testing.T) {
	cfg := config(t)
	a := open(t, cfg)
	cfg.Host, cfg.Dir = "host-b", t.TempDir()
	b := open(t, cfg)
	cfg.AllHosts, cfg.Dir = true, t.TempDir()
	all := open(t, cfg)
	for n, s := range []*Store{a, b} {
		s.PutLog(logEvent(1)) // the same stream and number on each
		s.PutAlert(alert(n))
		flushed(t, s)
	}
	for _, tt := range []struct {
		name        string
		s           *Store
		equal       []event.Field
		logs        int
		alerts      []uint64
		acknowledge bool
	}{
		{"a", a, nil, 1, []uint64{0}, false},
		{"b", b, nil, 1, []uint64{1}, true},
		{"all", all, nil, 2, []uint64{1, 0}, true},
		{"one of all", all, []event.Field{{Key: "host_id", Value: "host-a"}}, 1, []uint64{0}, true},
	} {
		if got := len(query(t, tt.s, sdk.Query{Kind: event.KindLog, Equal: tt.equal})); got != tt.logs {
			t.Errorf("%s: got %d log events, want %d", tt.name, got, tt.logs)
		}
		if diff := cmp.Diff(tt.alerts, sequences(query(t, tt.s, sdk.Query{Kind: event.KindAlert, Equal: tt.equal}))); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", tt.name, diff)
		}
		if found, err := tt.s.UpdateAlert(t.Context(), alert(1).ID, "acknowledged", "ann", ""); found != tt.acknowledge || err != nil {
			t.Errorf("%s: got %v, %v", tt.name, found, err)
		}
	}
}

func TestUpdateAlert(t *testing.T) {
	s := open(t, config(t))
	old := alert(3)
	old.Time = time.Unix(1, 0)
	for n := range 3 {
		s.PutAlert(alert(n))
	}
	s.PutAlert(old)
	for _, change := range [][3]string{{alert(1).ID, "acknowledged", "ann"}, {alert(1).ID, "closed", "bob"}, {old.ID, "closed", "bob"}} {
		if ok, err := s.UpdateAlert(t.Context(), change[0], change[1], change[2], "looking\x00"); !ok || err != nil {
			t.Fatalf("%v: got %v, %v", change, ok, err)
		}
	}
	if ok, err := s.UpdateAlert(t.Context(), "ffffffffffff", "closed", "bob", ""); ok || err != nil {
		t.Errorf("unknown: got %v, %v", ok, err)
	}
	for _, bad := range [][2]string{{"abc", "closed"}, {alert(1).ID, "gone"}, {alert(1).ID[:20], "closed"}} {
		if _, err := s.UpdateAlert(t.Context(), bad[0], bad[1], "bob", ""); err == nil {
			t.Errorf("%v: got no error", bad)
		}
	}
	s.PutAlert(alert(1)) // delivered again, it keeps its state
	if diff := cmp.Diff([]uint64{1, 3}, sequences(query(t, s, sdk.Query{Kind: event.KindAlert, State: "closed"}))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got := pgtest.Value[string](t, server, s.cfg.Connection.Database,
		"SELECT string_agg(actor || ' ' || state || ' ' || note, ', ' ORDER BY n) FROM ironpost.states WHERE alert_id = '"+alert(1).ID+"'")
	if want := "ann acknowledged looking\ufdd00, bob closed looking\ufdd00"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestLongText finds words and phrases in a text of more words than PostgreSQL notes the
// places of.
func TestLongText(t *testing.T) {
	s := open(t, config(t))
	long := logEvent(1)
	long.Message = strings.Repeat("a b ", 15_000) + "Failed password"
	s.PutLog(long)
	s.PutLog(logEvent(2))
	flushed(t, s)
	for text, want := range map[string][]uint64{
		`"failed password"`: {2, 1}, `"b failed"`: {1}, `"password b"`: {}, "a* b": {1}, `"for root"`: {2}, `"a a"`: {},
	} {
		got := sequences(query(t, s, sdk.Query{Kind: event.KindLog, Text: text}))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// TestPagesOfMany pages through more rows than are read at once, of a common word.
func TestPagesOfMany(t *testing.T) {
	s := open(t, config(t))
	var want []uint64
	const many = 3 * maxChunk
	for n := range many {
		e := logEvent(n)
		e.Time = noon.Add(-time.Duration(n) * time.Minute)
		s.PutLog(e)
		want = append(want, uint64(n))
	}
	flushed(t, s)
	for _, text := range []string{"", "failed"} {
		got := sequences(query(t, s, sdk.Query{Kind: event.KindLog, Text: text}))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("text %q (-want +got):\n%s", text, diff)
		}
		got = sequences(query(t, s, sdk.Query{Kind: event.KindLog, Text: text, Skip: 500, Limit: 3, Until: noon.UnixNano()}))
		if diff := cmp.Diff(want[500:503], got); diff != "" {
			t.Errorf("text %q, a page (-want +got):\n%s", text, diff)
		}
	}
}
