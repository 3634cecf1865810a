package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/ironpost/ironpost/sdk"
)

const (
	// connections bounds those of calls; a follower has one of its own.
	connections = 16
	// Slow is the time from which a call is counted as slow.
	Slow = 20 * time.Millisecond
	// healthTimeout bounds the question of Health.
	healthTimeout = 500 * time.Millisecond
)

// Config says which server. Address is required.
type Config struct {
	// Network is "tcp" or "unix".
	Network, Address   string
	Username, Password string
	Database           int
	// TLS, when set, is asked for at each connection; its error keeps it from being made.
	TLS func() (*tls.Config, error)
	// Prefix begins each key; it has no braces. "" is "ironpost".
	Prefix string
	// Timeout bounds a connection's making and an answer; a context may be sooner. 0 is
	// one second.
	Timeout time.Duration
	// Block is how long a follower waits for a change before it looks whether the server
	// is still the one that it knows, Resync how long it relies on changes alone. 0 is 2 s
	// and 15 minutes.
	Block, Resync time.Duration
	// Count, when set, adds to a counter.
	Count func(name string, n uint64)
}

// Mute keeps the client library from writing to standard error: what it says there is in
// the errors. It is for main.
func Mute() { redis.SetLogger(mute{}) }

type mute struct{}

func (mute) Printf(context.Context, string, ...any) {}

// Engine is the server. Close it.
type Engine struct {
	config Config
	client *redis.Client
	closed atomic.Bool

	mu    sync.Mutex
	last  error // of the last call; nil when it succeeded
	since time.Time
}

var _ sdk.SharedState = (*Engine)(nil)

// New returns an engine. It connects when it is used.
func New(c Config) *Engine {
	if c.Prefix == "" {
		c.Prefix = "ironpost"
	}
	for _, d := range []struct {
		value *time.Duration
		other time.Duration
	}{{&c.Timeout, time.Second}, {&c.Block, 2 * time.Second}, {&c.Resync, 15 * time.Minute}} {
		if *d.value == 0 {
			*d.value = d.other
		}
	}
	e := &Engine{config: c}
	e.client = redis.NewClient(e.options(connections, c.Timeout))
	return e
}

// Close closes the connections. It may be called more than once.
func (e *Engine) Close() error {
	if e.closed.Swap(true) {
		return nil
	}
	return e.client.Close()
}

// options are those of a client that waits so long for an answer.
func (e *Engine) options(size int, patience time.Duration) *redis.Options {
	c := e.config
	return &redis.Options{
		Network: c.Network, Addr: c.Address, Username: c.Username, Password: c.Password, DB: c.Database,
		Dialer: e.dial, Protocol: 2,
		// A caller knows whether to try again: a counter must not.
		MaxRetries: -1, DialerRetries: 1,
		DialTimeout: c.Timeout, ReadTimeout: patience, WriteTimeout: c.Timeout, PoolTimeout: c.Timeout, ContextTimeoutEnabled: true,
		PoolSize: size, MaxActiveConns: size,
		// The commands that a user with the least rights may call are those that are used.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// dial makes a connection.
func (e *Engine) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: e.config.Timeout}
	if e.config.TLS == nil {
		return dialer.DialContext(ctx, network, address)
	}
	settings, err := e.config.TLS()
	if err != nil {
		return nil, err
	}
	return (&tls.Dialer{NetDialer: &dialer, Config: settings}).DialContext(ctx, network, address)
}

func (e *Engine) count(name string, n uint64) {
	if e.config.Count != nil && n > 0 {
		e.config.Count(name, n)
	}
}

// Health asks the server, and says what keeps it from being used, and how to mend it; nil
// when all is well.
func (e *Engine) Health(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	if err := e.client.Ping(ctx).Err(); err != nil {
		return e.explain(ctx, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.last != nil {
		return fmt.Errorf("since %s: %w", e.since.UTC().Format(time.RFC3339), e.last)
	}
	return nil
}

// done notes how a call ended, and returns its error in words.
func (e *Engine) done(ctx context.Context, began time.Time, doing string, err error) error {
	e.count("calls", 1)
	if time.Since(began) >= Slow {
		e.count("slow_calls", 1)
	}
	if err != nil {
		e.count("failed_calls", 1)
		err = fmt.Errorf("%s: %w", doing, e.explain(ctx, err))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.last == nil && err != nil {
		e.since = time.Now()
	}
	if e.last = err; errors.Is(err, context.Canceled) {
		e.last = nil // the caller's will says nothing of the server
	}
	return err
}

// replies are what a server answers that cannot be used, with what to do about it.
var replies = []struct{ begins, mend string }{
	{"LOADING", "it is reading its data; it answers when that is done"},
	{"READONLY", "it is a read-only replica: set address to the primary"},
	{"MASTERDOWN", "it is a replica that has lost its primary: set address to the primary"},
	{"OOM", "its memory is full: raise maxmemory, and leave maxmemory-policy at noeviction"},
	{"MISCONF", "it cannot save to its disk and takes no writes: see its log"},
	{"BUSY", "a script of somebody else's holds it up"},
	{"NOREPLICAS", "too few of its replicas are there, and it takes no writes (min-replicas-to-write)"},
	{"CLUSTERDOWN", "its cluster is down"},
	{"MOVED", "it is a node of a cluster: set address to a server of its own, or to a proxy of the cluster"},
	{"CROSSSLOT", "it is a node of a cluster: set address to a server of its own, or to a proxy of the cluster"},
	{"WRONGPASS", "username or password is wrong, or the user is off: compare with ACL LIST"},
	{"NOAUTH", "it wants a password: set username and password"},
	{"ERR Protocol error: unauthenticated", "it wants a password: set username and password"},
	{"NOPERM", "its user may not do that: docs/fleet.md has the rights that are needed"},
	{"DENIED", "protected-mode refuses other machines: set a password at the server"},
	{"ERR max number of clients", "too many connections: raise maxclients"},
	{"ERR unknown command", "it is too old: Redis 7 or later is needed"},
	{"ERR DB index", "it has no such database: set database to a smaller number"},
	{"ERR invalid DB index", "it has no such database: set database to a smaller number"},
}

// explain says in words why a call failed.
func (e *Engine) explain(ctx context.Context, err error) error {
	at := e.config.Address
	if reply, ok := errors.AsType[redis.Error](err); ok {
		for _, r := range replies {
			if strings.HasPrefix(reply.Error(), r.begins) {
				return fmt.Errorf("%w: Redis at %s: %s (%w)", sdk.ErrUnreachable, at, r.mend, reply)
			}
		}
		return fmt.Errorf("Redis at %s: %w", at, err) //nolint:staticcheck // a name
	}
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return context.Cause(ctx)
	}
	away, ok := errors.AsType[net.Error](err)
	if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redis.ErrPoolTimeout) || ok && away.Timeout() {
		return fmt.Errorf("%w: Redis at %s: no answer in time (%w)", sdk.ErrUnreachable, at, err)
	}
	return fmt.Errorf("%w: Redis at %s: %w", sdk.ErrUnreachable, at, err)
}
