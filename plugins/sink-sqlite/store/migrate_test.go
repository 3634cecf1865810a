package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

const dayOfFixture = "events-2025-03-01.db"

// fixture makes the databases of an earlier schema: six events of each kind, the fourth
// alert acknowledged by ann and closed by bob.
func fixture(t testing.TB, dir string, version int) {
	t.Helper()
	for name, from := range map[string]string{alertsName: "alerts.sql", dayOfFixture: "events.sql", inventoryName: "inventory.sql"} {
		text, err := os.ReadFile(filepath.Join("testdata", fmt.Sprint("schema-", version), from))
		if errors.Is(err, os.ErrNotExist) {
			continue // it had a later schema then already
		}
		if err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		_, err = db.ExecContext(t.Context(), string(text))
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func version(t testing.TB, path string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.QueryRowContext(t.Context(), "PRAGMA user_version").Scan(&n), db.Close()); err != nil {
		t.Fatal(err)
	}
	return n
}

// checkFixture asks a store that was begun with a fixture.
func checkFixture(t *testing.T, s *Store) {
	t.Helper()
	one := func(n int) sdk.Record {
		r := sdk.Record{Alert: alert(n), State: "open"}
		if n == 3 {
			r.State = "closed"
			r.History = []sdk.AlertChange{{Time: noon, State: "closed", Actor: "bob", Note: "known"}, {Time: noon, State: "acknowledged", Actor: "ann", Note: "looking"}}
		}
		return r
	}
	for _, tt := range []struct {
		name string
		q    sdk.Query
		want []sdk.Record
	}{
		{"alerts", sdk.Query{Kind: event.KindAlert}, []sdk.Record{one(5), one(4), one(3), one(2), one(1), one(0)}},
		{"closed", sdk.Query{Kind: event.KindAlert, State: "closed"}, []sdk.Record{one(3)}},
		{"by entity", sdk.Query{Kind: event.KindAlert, Equal: []event.Field{{Key: "src_ip", Value: "203.0.113.1"}}}, []sdk.Record{one(5), one(1)}},
		{"by text", sdk.Query{Kind: event.KindAlert, Text: `"brute force" 203.0.113.2`}, []sdk.Record{one(2)}},
		{"actions", sdk.Query{Kind: event.KindAction, Limit: 1}, []sdk.Record{{Action: action(5)}}},
		{"logs", sdk.Query{Kind: event.KindLog, Limit: 2}, []sdk.Record{{Log: logEvent(5)}, {Log: logEvent(4)}}},
		{"packets", sdk.Query{Kind: event.KindPacket, Limit: 1, Skip: 2}, []sdk.Record{{Packet: packet(3)}}},
		{"packages", sdk.Query{Kind: event.KindInventory, Limit: 1}, []sdk.Record{{Inventory: aPackage(5)}}},
		{"log by text", sdk.Query{Kind: event.KindLog, Text: "failed 203.0.113.4"}, []sdk.Record{{Log: logEvent(4)}}},
	} {
		if diff := cmp.Diff(tt.want, query(t, s, tt.q), cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestEarlierSchemas(t *testing.T) {
	for n := 1; n < len(alertSchema.steps); n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			dir := t.TempDir()
			fixture(t, dir, n)
			s := open(t, Config{Dir: dir})
			// The file of the day is not open for writing yet: it is read as it is.
			checkFixture(t, s)
			s.PutLog(logEvent(100))
			s.PutAlert(alert(100))
			s.PutInventory(aPackage(100))
			flushed(t, s)
			for name, sch := range map[string]schema{alertsName: alertSchema, dayOfFixture: eventSchema, inventoryName: inventorySchema} {
				if got := version(t, filepath.Join(dir, name)); got != len(sch.steps) {
					t.Errorf("%s has the schema %d, want %d", name, got, len(sch.steps))
				}
			}
			for kind, text := range map[event.Kind]string{event.KindAlert: "203.0.113.0 brute", event.KindLog: `"203.0.113.100"`} {
				if got := sequences(query(t, s, sdk.Query{Kind: kind, Text: text, Limit: 1})); !cmp.Equal(got, []uint64{100}) {
					t.Errorf("%v: got %v by text, want the new one first", kind, got)
				}
			}
			if got := sequences(query(t, s, sdk.Query{Kind: event.KindLog, Text: "password"})); !cmp.Equal(got, []uint64{100, 5, 4, 3, 2, 1, 0}) {
				t.Errorf("got %v by text, want all", got)
			}
			if s.Stats().Corrupt > 0 || s.Health() != nil {
				t.Errorf("got %+v and health %v", s.Stats(), s.Health())
			}
		})
	}
}

// A step that is cut off, by an error or by death, has not begun.
func TestCrashBetweenSteps(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 1)
	path := filepath.Join(dir, alertsName)
	broken := alertSchema
	cut := errors.New("cut off")
	for round := range 3 {
		broken.steps = append(slices.Clip(alertSchema.steps), step{
			sql:  "CREATE TABLE later (x INTEGER)",
			fill: func(context.Context, *database) error { return cut },
		})
		if _, err := openDatabase(t.Context(), path, broken); !errors.Is(err, cut) || !strings.Contains(err.Error(), "schema") {
			t.Fatalf("got %v, want that the step was cut off", err)
		}
		if got := version(t, path); got != len(alertSchema.steps) {
			t.Fatalf("round %d: got the schema %d, want the last whole step, %d", round, got, len(alertSchema.steps))
		}
	}
	s := open(t, Config{Dir: dir})
	checkFixture(t, s)
}

func TestNewerSchemaSaysSo(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 1)
	db, err := sql.Open("sqlite", filepath.Join(dir, alertsName))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), "PRAGMA user_version = 99")
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Config{Dir: dir})
	if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "99") || !strings.Contains(err.Error(), alertsName) {
		t.Errorf("got %v, want ErrNewer with the file and its schema", err)
	}
}
