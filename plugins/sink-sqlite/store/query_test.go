package store

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func TestQuery(t *testing.T) {
	s := open(t, Config{})
	for n := range 12 {
		s.PutAlert(alert(n))
		s.PutAction(action(n))
		s.PutLog(logEvent(n))
		s.PutPacket(packet(n))
	}
	flushed(t, s)
	if _, err := s.UpdateAlert(t.Context(), alert(3).ID, "closed", "ann", "done"); err != nil {
		t.Fatal(err)
	}
	at := func(n int) int64 { return noon.Add(time.Duration(n) * time.Second).UnixNano() }
	equal := func(pairs ...string) (fields []event.Field) {
		for i := 0; i < len(pairs); i += 2 {
			fields = append(fields, event.Field{Key: pairs[i], Value: pairs[i+1]})
		}
		return fields
	}
	for _, tt := range []struct {
		name string
		q    sdk.Query
		want []uint64
	}{
		{"newest first, limited", sdk.Query{Kind: event.KindAlert, Limit: 3}, []uint64{11, 10, 9}},
		{"skipped", sdk.Query{Kind: event.KindAlert, Limit: 3, Skip: 10}, []uint64{1, 0}},
		{"time, bounds included", sdk.Query{Kind: event.KindAlert, Since: at(4), Until: at(6)}, []uint64{6, 5, 4}},
		{"severity", sdk.Query{Kind: event.KindAlert, MinSeverity: event.SeverityCritical}, []uint64{9, 4}},
		{"state", sdk.Query{Kind: event.KindAlert, State: "closed"}, []uint64{3}},
		{"open", sdk.Query{Kind: event.KindAlert, State: "open", Limit: 9}, []uint64{11, 10, 9, 8, 7, 6, 5, 4, 2}},
		{"id", sdk.Query{Kind: event.KindAlert, ID: alert(7).ID}, []uint64{7}},
		{"prefix of an id", sdk.Query{Kind: event.KindAlert, ID: alert(7).ID[:31], Limit: 4}, []uint64{11, 10, 9, 8}},
		{"unknown id", sdk.Query{Kind: event.KindAlert, ID: "ffffffffff"}, []uint64{}},
		{"entity", sdk.Query{Kind: event.KindAlert, Equal: equal("src_ip", "203.0.113.1")}, []uint64{9, 5, 1}},
		{"two entities", sdk.Query{Kind: event.KindAlert, Equal: equal("user", "root", "src_ip", "203.0.113.2")}, []uint64{10, 6, 2}},
		{"entity and rule", sdk.Query{Kind: event.KindAlert, Equal: equal("rule_id", "other", "src_ip", "203.0.113.2")}, []uint64{}},
		{"entity and the rest", sdk.Query{Kind: event.KindAlert, Equal: equal("src_ip", "203.0.113.0"), State: "open", Since: at(1), Until: at(8)}, []uint64{8, 4}},
		{"entity and id", sdk.Query{Kind: event.KindAlert, ID: alert(4).ID, Equal: equal("src_ip", "203.0.113.0")}, []uint64{4}},
		{"no SQL in a value", sdk.Query{Kind: event.KindAlert, Equal: equal("src_ip' OR 1=1 --", "x")}, []uint64{}},
		{"actions of a target", sdk.Query{Kind: event.KindAction, Equal: equal("target", "203.0.113.3")}, []uint64{11, 7, 3}},
		{"actions of an alert", sdk.Query{Kind: event.KindAction, Equal: equal("alert_id", alert(5).ID, "outcome", "simulated")}, []uint64{5}},
		{"actions by a detail", sdk.Query{Kind: event.KindAction, Equal: equal("rule_id", "ssh_brute_force"), Limit: 1}, []uint64{11}},
		{"actions, none", sdk.Query{Kind: event.KindAction, Equal: equal("outcome", "applied")}, []uint64{}},
		{"action by id", sdk.Query{Kind: event.KindAction, ID: action(2).ID}, []uint64{2}},
		{"logs by field", sdk.Query{Kind: event.KindLog, Equal: equal("src_ip", "203.0.113.8", "process", "sshd")}, []uint64{8}},
		{"logs skipped after the filter", sdk.Query{Kind: event.KindLog, Equal: equal("user", "root"), Skip: 2, Limit: 2}, []uint64{9, 8}},
		{"log by id", sdk.Query{Kind: event.KindLog, ID: logEvent(11).ID().String()}, []uint64{11}},
		{"logs of a stream", sdk.Query{Kind: event.KindLog, ID: logEvent(0).ID().String()[:8], Limit: 2}, []uint64{11, 10}},
		{"packets by source", sdk.Query{Kind: event.KindPacket, Equal: equal("src_ip", "2001:db8::7", "dst_port", "22"), Limit: 1}, []uint64{11}},
		{"packets of no such source", sdk.Query{Kind: event.KindPacket, Equal: equal("src_ip", "2001:db8::8")}, []uint64{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sequences(query(t, s, tt.q))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, q := range []sdk.Query{
		{Kind: event.KindAlert, ID: "abc"},
		{Kind: event.KindAlert, State: "odd"},
		{Kind: event.KindRaw},
		{Kind: event.KindLog, ID: "not hexadecimal"},
		{Kind: event.KindLog, ID: "0123456789-1"},
		{Kind: event.KindLog, ID: "00000000000000001"},
	} {
		if err := s.Query(t.Context(), q, nil); !errors.Is(err, ErrQuery) {
			t.Errorf("%+v: got %v, want ErrQuery", q, err)
		}
	}
}

// Whatever is asked for is answered or refused, and fits what is found.
func FuzzQuery(f *testing.F) {
	s := open(f, Config{})
	for n := range 5 {
		s.PutAlert(alert(n))
		s.PutAction(action(n))
		s.PutLog(logEvent(n))
		s.PutPacket(packet(n))
	}
	f.Add(uint8(4), alert(1).ID, "open", "src_ip", "203.0.113.1", int64(0), int64(0))
	f.Add(uint8(2), logEvent(1).ID().String(), "", "user", "root", int64(1), int64(1<<62))
	s.PutInventory(aPackage(1))
	f.Add(uint8(6), aPackage(1).ID, "", "target", "web1", int64(0), int64(0))
	f.Add(uint8(3), "00000000000000001", "", "dst_port", "22", int64(-1), int64(0))
	f.Fuzz(func(t *testing.T, kind uint8, id, state, key, value string, since, until int64) {
		q := sdk.Query{Kind: event.Kind(kind), ID: id, State: state, Since: since, Until: until, Limit: 3}
		if key != "" {
			q.Equal = []event.Field{{Key: key, Value: value}}
		}
		err := s.Query(context.Background(), q, func(r sdk.Record) bool {
			if key == "src_ip" && r.Alert != nil && r.Alert.Entity(key) != value {
				t.Errorf("%+v found %+v", q, r.Alert)
			}
			return true
		})
		if err != nil && !errors.Is(err, ErrQuery) {
			t.Errorf("%+v: %v", q, err)
		}
	})
}

func TestQueryReadsInChunks(t *testing.T) {
	s := open(t, Config{})
	for n := range 1000 {
		s.PutLog(logEvent(n))
		a := alert(n)
		a.Time = noon // all at one time: the order is that of arrival
		s.PutAlert(a)
	}
	for _, kind := range []event.Kind{event.KindLog, event.KindAlert} {
		got := sequences(query(t, s, sdk.Query{Kind: kind}))
		if len(got) != 1000 {
			t.Fatalf("%v: got %d, want 1000", kind, len(got))
		}
		for i, n := range got {
			if n != uint64(999-i) {
				t.Fatalf("%v: record %d: got %d, want %d", kind, i, n, 999-i)
			}
		}
	}
	n := 0
	err := s.Query(t.Context(), sdk.Query{Kind: event.KindLog}, func(sdk.Record) bool { n++; return n < 5 })
	if err != nil || n != 5 {
		t.Errorf("got %d records and %v, want 5 and to stop", n, err)
	}
}

func TestQueriesBesideWrites(t *testing.T) {
	s := open(t, Config{})
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				for _, kind := range []event.Kind{event.KindAlert, event.KindLog} {
					last := uint64(1 << 62)
					err := s.Query(context.Background(), sdk.Query{Kind: kind, Limit: 50}, func(r sdk.Record) bool {
						n := sequences([]sdk.Record{r})[0]
						if n >= last {
							t.Errorf("%v: got %d after %d", kind, n, last)
						}
						last = n
						return true
					})
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for n := range 2000 {
		s.PutAlert(alert(n))
		s.PutLog(logEvent(n))
		if n%20 == 0 {
			flushed(t, s)
		}
	}
	close(done)
	wg.Wait()
	if got := len(query(t, s, sdk.Query{Kind: event.KindAlert})); got != 2000 {
		t.Errorf("got %d alerts, want 2000", got)
	}
}
