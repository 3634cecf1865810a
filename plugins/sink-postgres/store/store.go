package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ironpost/ironpost/plugins/sink-postgres/spool"
)

// Config says where to keep what for how long. Connection, Host and Dir are needed.
type Config struct {
	// Connection says how the server is reached.
	Connection *pgx.ConnConfig
	// Host is the id of this host, which tells its events apart.
	Host string
	// Dir is where the spool is. It is made when it does not exist.
	Dir string
	// SpoolBytes bounds the spool; 0 is 1 GiB. Log events and packet summaries take
	// three quarters of it at most.
	SpoolBytes int64
	// HoldBack says what happens to alerts, actions and inventory that the spool has no
	// room for: Sync returns an error and keeps them, or else they are left out and counted.
	HoldBack bool
	// Timeout bounds a commit; 0 is 5 s. After it the spool takes over.
	Timeout time.Duration
	// Slow is how long a commit may take before the spool takes over; 0 is 1 s.
	Slow time.Duration
	// Retention is how long log events and packet summaries are kept, in whole days,
	// AlertRetention alerts and actions; 0 is for ever. The shortest of all hosts holds.
	Retention, AlertRetention time.Duration
	// AllHosts says that queries are answered with the events of all hosts, not of this
	// one alone.
	AllHosts bool
	// MaxPause is the longest pause between two attempts to reach the server; 0 is 30 s.
	MaxPause time.Duration
}

const (
	// maxWaiting is how many bytes of rows may wait before MakeRoom writes.
	maxWaiting = 4 << 20
	// drainBytes is about how much of the spool is written in one transaction.
	drainBytes = 4 << 20
	firstPause = 100 * time.Millisecond
	// patience bounds what nobody waits for: to make the schema or the tables of a month,
	// and to write what was in the spool.
	patience = time.Minute
	// maxRefused bounds the file of rows that the server refused.
	maxRefused  = 16 << 20
	refusedName = "refused.rows"
	// checkEvery is how often an idle store asks whether the server is there.
	checkEvery = 15 * time.Second
	// settleTime is how long a query waits for what is in the spool.
	settleTime = 2 * time.Second
)

// Store keeps events. Make one with Open, and have Run run.
type Store struct {
	cfg    Config
	pool   *pgxpool.Pool // answers queries
	ledger *spool.Spool  // alerts, actions and inventory
	events *spool.Spool
	wake   chan struct{}
	closed chan struct{}
	once   sync.Once

	// writing is full while somebody uses the session; it is taken before mu.
	writing  chan struct{}
	session  *session // nil when there is none
	draining map[*spool.Spool]*group
	swept    time.Time // by Run alone

	mu        sync.Mutex
	waiting   *group
	spare     *group
	streams   map[uint64]bool // that are in waiting
	committed time.Time
	drained   chan struct{} // closed at the end of the next attempt to drain
	direct    bool          // what waits goes to the server, as the spool is empty
	stats     Stats
	failed    error // why the last attempt to write did not work
	since     time.Time
	unswept   error // why retention was not applied
	refused   error
	full      bool // the last Sync found no room in the spool
}

// Stats counts what became of events.
type Stats struct {
	// Written counts rows that were committed, repeated ones among them.
	Written uint64
	// Spooled counts rows that went to the spool first.
	Spooled uint64
	// Dropped counts events that the spool had no room for; DroppedAlerts those of
	// alerts, actions and inventory.
	Dropped, DroppedAlerts uint64
	// Refused counts rows that the server will never take.
	Refused uint64
	// Corrupt counts bytes of the spool that were damaged.
	Corrupt uint64
	// Deleted counts tables of days that retention dropped.
	Deleted uint64
	// Errors counts attempts that did not work.
	Errors uint64
	// Waiting is how many bytes are in the spool.
	Waiting int64
}

// Open opens the spool. It does not wait for the server.
func Open(cfg Config) (_ *Store, err error) {
	if cfg.SpoolBytes <= 0 {
		cfg.SpoolBytes = 1 << 30
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Slow <= 0 {
		cfg.Slow = time.Second
	}
	if cfg.MaxPause <= 0 {
		cfg.MaxPause = 30 * time.Second
	}
	s := &Store{
		cfg: cfg, wake: make(chan struct{}, 1), writing: make(chan struct{}, 1), closed: make(chan struct{}),
		waiting: new(group), spare: new(group), streams: make(map[uint64]bool), drained: make(chan struct{}), draining: make(map[*spool.Spool]*group),
	}
	if s.ledger, err = spool.Open(cfg.Dir, "ledger"); err != nil {
		return nil, err
	}
	if s.events, err = spool.Open(cfg.Dir, "events"); err != nil {
		return nil, err
	}
	pool, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, fmt.Errorf("set up the connections for queries: %w", err)
	}
	pool.ConnConfig = cfg.Connection.Copy()
	pool.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	pool.MaxConns, pool.MinConns = maxQueries, 0
	pool.MaxConnIdleTime = time.Minute
	if s.pool, err = pgxpool.NewWithConfig(context.Background(), pool); err != nil { // it connects when it is used
		return nil, fmt.Errorf("set up the connections for queries: %w", err)
	}
	s.direct = s.ledger.Empty() && s.events.Empty()
	s.waiting.cutoff = s.cutoff()
	return s, nil
}

// spooled returns how many bytes are in the spool.
func (s *Store) spooled() int64 { return s.ledger.Bytes() + s.events.Bytes() }

// MakeRoom makes what waits safe when there is much of it. After an error the
// caller holds back and tries again.
func (s *Store) MakeRoom(ctx context.Context) error {
	s.mu.Lock()
	much := s.waiting.bytes >= maxWaiting
	s.mu.Unlock()
	if !much {
		return nil
	}
	return s.Sync(ctx)
}

// Sync makes everything that was put safe: it is committed, or in the spool.
func (s *Store) Sync(ctx context.Context) error {
	s.mu.Lock()
	direct, idle := s.direct, s.waiting.empty()
	s.mu.Unlock()
	select {
	case <-s.closed:
		return ErrClosed
	default:
	}
	if idle {
		return nil
	}
	if direct && s.acquire(ctx, s.cfg.Timeout) {
		err := s.commitWaiting(ctx)
		s.release()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return s.spoolWaiting()
}

// acquire takes the session, unless that takes too long.
func (s *Store) acquire(ctx context.Context, patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case s.writing <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func (s *Store) release() { <-s.writing }

// settle has what waits, and what is in the spool, written before a query is answered, if
// the server is there and that does not take long.
func (s *Store) settle(ctx context.Context) error {
	err := s.Sync(ctx)
	if errors.Is(err, ErrClosed) || err != nil && ctx.Err() != nil {
		return err
	}
	deadline := time.NewTimer(settleTime)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		over := s.direct || s.failed != nil
		drained := s.drained
		s.mu.Unlock()
		if over {
			return nil // that something cannot be written keeps nobody from reading
		}
		s.tell()
		select {
		case <-drained:
		case <-deadline.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// take empties what waits, and returns it.
func (s *Store) take() *group {
	g := s.waiting
	s.waiting, s.spare = s.spare, nil
	if s.waiting == nil {
		s.waiting = new(group)
	}
	s.waiting.cutoff = s.cutoff()
	clear(s.streams)
	return g
}

// cutoff returns from which time on there may be tables of days: what is older than
// retention is kept by when it came.
func (s *Store) cutoff() (out [tables]int64) {
	for t, l := range layouts {
		keep := s.cfg.Retention
		if l.ledger {
			keep = s.cfg.AlertRetention
		}
		if keep <= 0 || keep > maxBack*24*time.Hour {
			keep = maxBack * 24 * time.Hour
		}
		out[t] = time.Now().Add(-keep).UnixNano()
	}
	return out
}

// giveBack puts a group that was taken before what was put since; done reuses it.
func (s *Store) giveBack(g *group) {
	for t := range s.waiting.of {
		if s.waiting.of[t].count > 0 {
			g.add(table(t), s.waiting.of[t])
		}
	}
	s.waiting.reset()
	s.waiting, s.spare = g, s.waiting
}

func (s *Store) done(g *group) {
	if g.bytes > 2*maxWaiting {
		return // it grew beyond what it needs again
	}
	g.reset()
	s.spare = g
}
