package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// aheadDays is how many days after today there are tables of.
	aheadDays = 3
	// lookAgain is how long what is known of the tables of days holds.
	lookAgain = time.Hour
	// maxMoved is how many events of a session may be looked for on other days: what a
	// host delivers again after it died comes first.
	maxMoved = 100_000
)

// session is a connection that writes.
type session struct {
	conn   *pgx.Conn
	host   int32
	days   days
	looked time.Time // when the days were
	moved  int
}

// days is a run of days that there are tables of, for all kinds: from first to before
// end, UTC nanoseconds.
type days struct{ first, end int64 }

// connect opens a session: the schema is the newest one then, and there are tables of
// today and of days ahead.
func connect(ctx context.Context, cfg *Config) (_ *session, err error) {
	conn, err := pgx.ConnectConfig(ctx, cfg.Connection.Copy())
	if err != nil {
		return nil, named(err)
	}
	s := &session{conn: conn}
	defer func() { //nolint:contextcheck // the connection is ended although ctx is done
		if err != nil {
			s.close()
		}
	}()
	if err := migrate(ctx, conn); err != nil {
		return nil, err
	}
	if err := conn.QueryRow(ctx, `INSERT INTO ironpost.hosts AS h (name) VALUES ($1)
		ON CONFLICT (name) DO UPDATE SET seen = now() RETURNING h.id`, cfg.Host).Scan(&s.host); err != nil {
		return nil, fmt.Errorf("note the host: %w", named(err))
	}
	var staging strings.Builder
	for _, l := range layouts {
		if l.name != "" {
			fmt.Fprintf(&staging, "CREATE TEMP TABLE staged_%s (%s) ON COMMIT DELETE ROWS;\n", l.name, l.staged)
		}
	}
	if _, err := conn.Exec(ctx, staging.String()); err != nil {
		return nil, fmt.Errorf("make the tables for staging: %w", named(err))
	}
	return s, s.lookAtDays(ctx, 1)
}

func (s *session) close() {
	// The server ends what was under way, whether this is heard or not.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx)
}

// lookAtDays makes sure of tables from some days before today to some after it, and
// notes which there are.
func (s *session) lookAtDays(ctx context.Context, back int) error {
	// Days are those of the server: the clock of a host may be wrong by years.
	var today time.Time
	if err := s.conn.QueryRow(ctx, `SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'`).Scan(&today); err != nil {
		return fmt.Errorf("ask for the time: %w", named(err))
	}
	first, last := today.AddDate(0, 0, -back), today.AddDate(0, 0, aheadDays)
	enough := func() (bool, error) {
		var err error
		s.days, err = daysOf(ctx, s.conn, today)
		return s.days.first <= first.UnixNano() && s.days.end > last.UnixNano(), err
	}
	ok, err := enough()
	if err == nil && !ok {
		err = locked(ctx, s.conn, func() error {
			if ok, err := enough(); ok || err != nil {
				return err // another host made them
			}
			if _, err := s.conn.Exec(ctx, `SELECT ironpost.make_days($1, $2)`, first, last); err != nil {
				return fmt.Errorf("make the tables of days: %w", named(err))
			}
			_, err := enough()
			return err
		})
	}
	s.looked = time.Now()
	return err
}

// daysOf returns the run of days around today.
func daysOf(ctx context.Context, q querier, today time.Time) (days, error) {
	counts, err := dayTables(ctx, q)
	if err != nil {
		return days{}, err
	}
	whole := 0
	for _, l := range layouts {
		if l.daily {
			whole++
		}
	}
	first, end := today, today
	for len(counts[end.Format(dayLayout)]) == whole {
		end = end.AddDate(0, 0, 1)
	}
	for len(counts[first.AddDate(0, 0, -1).Format(dayLayout)]) == whole && first != end {
		first = first.AddDate(0, 0, -1)
	}
	return days{first.UnixNano(), end.UnixNano()}, nil
}

// commit writes a group in one transaction.
func (s *session) commit(ctx context.Context, g *group) error {
	if time.Since(s.looked) > lookAgain {
		if err := s.lookAtDays(ctx, 1); err != nil {
			return err
		}
	}
	if back := s.missing(g); back > 0 {
		if err := s.lookAtDays(ctx, back); err != nil {
			return err
		}
	}
	err := s.try(ctx, g)
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == codeCheck && strings.Contains(e.Message, "no partition") {
		// Retention of another host took the table of a day away.
		if err := s.lookAtDays(ctx, 1); err != nil {
			return err
		}
		err = s.try(ctx, g)
	}
	return err
}

// missing returns how many days before today events are of that there is no table for
// and could be; 0 for none.
func (s *session) missing(g *group) int {
	oldest := int64(math.MaxInt64)
	for t, r := range g.of {
		if layouts[t].daily && r.near != 0 {
			oldest = min(oldest, r.near)
		}
	}
	if oldest >= s.days.first {
		return 0
	}
	today := s.looked.UTC().Truncate(24 * time.Hour)
	back := int(today.Sub(time.Unix(0, oldest).UTC().Truncate(24*time.Hour)) / (24 * time.Hour))
	return min(max(back, 0), maxBack)
}

// try is commit, once.
func (s *session) try(ctx context.Context, g *group) error {
	err := pgx.BeginFunc(ctx, s.conn, func(pgx.Tx) error {
		for t := range g.of {
			if g.of[t].count == 0 {
				continue
			}
			if err := s.write(ctx, table(t), &g.of[t]); err != nil {
				return fmt.Errorf("write %d rows of %s: %w", g.of[t].count, layouts[t].name, named(err))
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("commit: %w", named(err))
	}
	return nil
}

// write copies rows into their temporary table and from there to where they belong.
func (s *session) write(ctx context.Context, t table, r *rows) error {
	l := &layouts[t]
	from := "COPY pg_temp.staged_" + l.name + " (" + names(l.staged) + ") FROM STDIN BINARY"
	body := io.MultiReader(strings.NewReader(copyHead), bytes.NewReader(r.data), strings.NewReader(copyTrail))
	if _, err := s.conn.PgConn().CopyFrom(ctx, body, from); err != nil {
		return err
	}
	for _, statement := range s.merge(t, r) {
		if _, err := s.conn.Exec(ctx, statement.text, statement.args...); err != nil {
			return err
		}
	}
	return nil
}

// names returns the names of columns that have their types with them.
func names(staged string) string {
	var out []string
	for column := range strings.SplitSeq(staged, ", ") {
		name, kind, _ := strings.Cut(column, " ")
		if !strings.Contains(kind, "GENERATED") {
			out = append(out, name)
		}
	}
	return strings.Join(out, ", ")
}

type statement struct {
	text string
	args []any
}

// merge returns what moves staged rows of a table to where they belong.
func (s *session) merge(t table, r *rows) []statement {
	l := &layouts[t]
	switch {
	case t == tableStreams:
		return []statement{{`INSERT INTO ironpost.streams AS t (host_id, id, doc) SELECT DISTINCT ON (id) $1::integer, id, doc FROM pg_temp.staged_streams
			ORDER BY id, ctid DESC ON CONFLICT (host_id, id) DO UPDATE SET doc = excluded.doc WHERE t.doc <> excluded.doc`, []any{s.host}}}
	case t == tablePackages:
		return s.mergePackages()
	}
	insert := func(into, where string, args ...any) statement {
		return statement{
			fmt.Sprintf("INSERT INTO ironpost.%s (host_id, %s) SELECT $1::integer, %s FROM pg_temp.staged_%s s%s ON CONFLICT DO NOTHING",
				into, l.columns, l.columns, l.name, where),
			append([]any{s.host}, args...),
		}
	}
	out := s.unmoved(t, r)
	if r.first >= s.days.first && r.last < s.days.end {
		return append(out, insert(l.name, ""))
	}
	first, end := time.Unix(0, s.days.first).UTC(), time.Unix(0, s.days.end).UTC()
	return append(
		out,
		insert(l.name, " WHERE time >= $2 AND time < $3", first, end),
		insert(l.name+"_outside", " WHERE time < $2 OR time >= $3", first, end),
	)
}

// unmoved returns what deletes staged log events that are on another day already: those
// without a time of their own, which a source reads again after its host died, have
// another one then.
func (s *session) unmoved(t table, r *rows) []statement {
	outside := r.first < s.days.first || r.last >= s.days.end
	if t != tableLogs || !r.moving && !outside || s.moved >= maxMoved {
		return nil
	}
	s.moved += r.count
	var out []statement
	for _, name := range []string{"logs", "logs_outside"} {
		out = append(out, statement{
			fmt.Sprintf(`DELETE FROM pg_temp.staged_logs s USING ironpost.%s l WHERE l.host_id = $1 AND l.stream = s.stream AND l.sequence = s.sequence
				AND (s.flags & $2 <> 0 OR s.time < $3 OR s.time >= $4)`, name),
			[]any{s.host, int64(movingFlags), time.Unix(0, s.days.first).UTC(), time.Unix(0, s.days.end).UTC()},
		})
	}
	// Without it the planner, which knows nothing of a temporary table, may read all.
	return append([]statement{{"SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off", nil}}, append(out,
		statement{"RESET enable_hashjoin; RESET enable_mergejoin; RESET enable_seqscan", nil})...)
}

// mergePackages returns what brings packages up to date, in the order of the rows.
func (s *session) mergePackages() []statement {
	return []statement{
		{`DELETE FROM ironpost.packages p USING pg_temp.staged_packages s WHERE s.op = 'T' AND p.host_id = $1 AND p.target = s.target COLLATE "C"`, []any{s.host}},
		{`DELETE FROM ironpost.packages p USING pg_temp.staged_packages s WHERE p.host_id = $1 AND p.id = s.id COLLATE "C"`, []any{s.host}},
		{fmt.Sprintf(`INSERT INTO ironpost.packages (host_id, %[1]s) SELECT $1::integer, %[1]s FROM (
			SELECT DISTINCT ON (id) * FROM pg_temp.staged_packages WHERE op <> 'T' ORDER BY id, n DESC) s
			WHERE op = 'P' AND NOT EXISTS (SELECT 1 FROM pg_temp.staged_packages g WHERE g.op = 'T' AND g.target = s.target AND g.n > s.n)
			ORDER BY n`, layouts[tablePackages].columns), []any{s.host}},
	}
}
