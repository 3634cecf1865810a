//go:build bench

package store

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ironpost/ironpost/plugins/internal/pgtest"
	"github.com/ironpost/ironpost/plugins/internal/storebench"
)

// TestStoreBench measures PostgreSQL by COPY with STORE_ROWS log events, 1,000,000 without
// it, and beside it by one INSERT for each event. The server waits for the disk.
func TestStoreBench(t *testing.T) {
	rows := 0
	if text := os.Getenv("STORE_ROWS"); text != "" {
		var err error
		if rows, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	own := ownServer(t, pgtest.Config{Durable: true, Settings: []string{"shared_buffers=256MB"}})
	s := open(t, Config{Connection: connection(t, own.URL("postgres")), Host: "bench", Dir: t.TempDir(), Timeout: time.Minute, Slow: time.Hour})
	c := storebench.Config{Name: "postgresql, COPY", Logs: rows, Span: 4 * 24 * time.Hour, CPU: own.CPU, Out: os.Stdout}
	if err := storebench.Run(t.Context(), s, c); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats(); got.Spooled > 0 {
		t.Errorf("got %+v, want nothing spooled", got)
	}
	t.Logf("%d MiB in the database", pgtest.Value[int64](t, own, "postgres", "SELECT pg_database_size('postgres')")>>20)

	conn, err := pgx.ConnectConfig(t.Context(), connection(t, own.URL("postgres")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	const single = 5000
	c.Name = "postgresql, INSERT"
	err = c.Cost(single, func() error {
		for n := range single {
			e := storebench.Log(n, noon.Add(time.Duration(n)*time.Second))
			fields := map[string]string{e.Fields[0].Key: e.Fields[0].Value, e.Fields[1].Key: e.Fields[1].Value}
			if _, err := conn.Exec(t.Context(), `INSERT INTO ironpost.logs (host_id, time, nano, stream, sequence, observed, severity, flags, host, process, pid, message,
				fields, keys, again, reason, words) VALUES (2, $1, 0, $2, $3, $4, 1, 0, $5, $6, $7, $8, $9, '{src_ip,user}', '{}', '', to_tsvector('simple', $8)) ON CONFLICT DO NOTHING`,
				e.Time, int64(e.Stream.ID), n, e.ObservedTime.UnixNano(), e.Host, e.Process, e.PID, e.Message, fields); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
