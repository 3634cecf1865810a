package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/ironpost/ironpost/plugins/internal/pgtest"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func TestRetention(t *testing.T) {
	cfg := config(t)
	s := open(t, cfg)
	s.PutLog(logEvent(0)) // connects
	flushed(t, s)
	for day := range 8 {
		e, a := logEvent(10+day), alert(10+day)
		e.Time = noon.AddDate(0, 0, -day)
		a.Time = e.Time
		s.PutLog(e)
		s.PutAlert(a)
	}
	ancient := logEvent(99)
	ancient.Time = time.Unix(1, 0)
	s.PutLog(ancient)
	flushed(t, s)
	server.Exec(t, cfg.Connection.Database, "UPDATE ironpost.logs_outside SET stored = now() - interval '4 days'")
	conn, err := pgx.ConnectConfig(t.Context(), cfg.Connection)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	// Tables of days that ended three days ago and more go: noon is that of yesterday.
	n, err := sweep(t.Context(), conn, 3*24*time.Hour, 5*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint64{0, 10, 11, 12}, sequences(query(t, s, sdk.Query{Kind: event.KindLog}))); diff != "" {
		t.Errorf("logs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint64{10, 11, 12, 13, 14}, sequences(query(t, s, sdk.Query{Kind: event.KindAlert}))); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
	if n != 2*5+2*3 {
		t.Errorf("got %d tables dropped, want 16", n)
	}
	// A late event of a day whose table went is kept nevertheless.
	late := logEvent(50)
	late.Time = noon.AddDate(0, 0, -6)
	s.PutLog(late)
	flushed(t, s)
	if got := sequences(query(t, s, sdk.Query{Kind: event.KindLog, Limit: 10})); len(got) != 5 || got[4] != 50 {
		t.Errorf("got %v, want 50 among them: %v", got, s.Health())
	}
	if s.Stats().Spooled+s.Stats().Refused > 0 {
		t.Errorf("got %+v", s.Stats())
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	cfg := config(t)
	s := open(t, cfg)
	s.PutLog(logEvent(0))
	flushed(t, s)
	server.Exec(t, cfg.Connection.Database, fmt.Sprintf("INSERT INTO ironpost.schema_migrations (version) VALUES (%d)", len(migrations)+1))
	cfg.Dir = t.TempDir()
	newer := open(t, cfg)
	newer.PutLog(logEvent(1))
	flushed(t, newer) // into the spool
	if err := newer.Health(); err == nil || newer.Stats().Spooled != 1 {
		t.Errorf("got %v, %+v; want ErrNewer, and the event spooled", err, newer.Stats())
	} else {
		t.Log(err)
	}
	server.Exec(t, cfg.Connection.Database, "DELETE FROM ironpost.schema_migrations WHERE version > 1")
	running(t, newer)
	eventually(t, "drained", func() bool { return newer.Stats().Waiting == 0 && newer.Health() == nil })
}

// TestManyHostsAtOnce has hosts start on an empty database at the same moment.
func TestManyHostsAtOnce(t *testing.T) {
	pgtest.Need(t, server)
	cfg := configOf(t, "")
	const hosts = 6
	failed := make(chan error, hosts)
	for n := range hosts {
		cfg.Host, cfg.Dir = fmt.Sprint("host-", n), t.TempDir()
		s := open(t, cfg)
		go func() {
			s.PutLog(logEvent(n))
			err := s.Sync(context.Background())
			if err == nil {
				err = s.Health()
			}
			failed <- err
		}()
	}
	for range hosts {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if got := pgtest.Value[int](t, server, cfg.Connection.Database, "SELECT count(DISTINCT host_id) FROM ironpost.logs"); got != hosts {
		t.Errorf("got events of %d hosts, want %d", got, hosts)
	}
}
