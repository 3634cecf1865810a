// Package storebench measures a store of events: how fast it takes rows, what they cost,
// how long queries take, and how much memory all of that needs. The same events, made of
// their numbers alone, go into every store.
package storebench

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// Store is what is measured.
type Store interface {
	PutLog(e *event.LogEvent)
	PutAlert(a *event.AlertEvent)
	// MakeRoom is called after each batch, Sync after every tenth.
	MakeRoom(ctx context.Context) error
	Sync(ctx context.Context) error
	Query(ctx context.Context, q sdk.Query, yield func(sdk.Record) bool) error
}

// Config says how much is measured. The zero value of a member is its default.
type Config struct {
	// Name is printed with each figure.
	Name string
	// Logs and Alerts are how many rows are written; 1,000,000 and a hundredth of that.
	Logs, Alerts int
	// Batch is how many rows are put at a time; 500.
	Batch int
	// Queries is how often each query is asked; 200.
	Queries int
	// End is the time of the newest event; the others are in the Span before it, 24 h.
	End  time.Time
	Span time.Duration
	// CPU returns what other processes have used that count too, such as a server's; nil is
	// none.
	CPU func() time.Duration
	// Out gets the figures, a line each.
	Out io.Writer
}

// Run writes and asks, and prints what it took.
func Run(ctx context.Context, s Store, c Config) error {
	c.Logs = cmp.Or(c.Logs, 1_000_000)
	c.Alerts = cmp.Or(c.Alerts, c.Logs/100)
	c.Batch = cmp.Or(c.Batch, 500)
	c.Queries = cmp.Or(c.Queries, 200)
	c.Span = cmp.Or(c.Span, 24*time.Hour)
	if c.End.IsZero() {
		c.End = time.Now()
	}
	if err := c.write(ctx, s); err != nil {
		return fmt.Errorf("measure writing: %w", err)
	}
	if err := c.ask(ctx, s); err != nil {
		return fmt.Errorf("measure queries: %w", err)
	}
	return nil
}

func (c *Config) write(ctx context.Context, s Store) error {
	began, cpu := time.Now(), c.used()
	every := max(c.Logs/max(c.Alerts, 1), 1)
	var early int64
	for n := 0; n < c.Logs; n++ {
		e := Log(n, c.at(n))
		s.PutLog(e)
		if n%every == 0 {
			s.PutAlert(Alert(n, e))
		}
		if (n+1)%c.Batch == 0 {
			if err := s.MakeRoom(ctx); err != nil {
				return err
			}
		}
		if (n+1)%(10*c.Batch) == 0 {
			if err := s.Sync(ctx); err != nil {
				return err
			}
		}
		if n == c.Logs/10 {
			early = resident()
		}
	}
	if err := s.Sync(ctx); err != nil {
		return err
	}
	wall, spent := time.Since(began), c.used()-cpu
	rows := float64(c.Logs + c.Logs/every)
	_, err := fmt.Fprintf(c.Out, "%s: %d rows: %.0f rows/s, %.1f us CPU a row; memory %d MiB after a tenth, %d MiB after all, %d MiB at most\n",
		c.Name, int(rows), rows/wall.Seconds(), spent.Seconds()*1e6/rows, early>>20, resident()>>20, most()>>20)
	return err
}

// at is the time of the n-th event.
func (c *Config) at(n int) time.Time {
	return c.End.Add(-c.Span + time.Duration(float64(c.Span)*float64(n)/float64(c.Logs)))
}

func (c *Config) ask(ctx context.Context, s Store) error {
	day := int64(24 * time.Hour)
	for _, q := range []struct {
		name string
		make func(r *rand.Rand) sdk.Query
	}{
		{"alerts list", func(*rand.Rand) sdk.Query { return sdk.Query{Kind: event.KindAlert, Limit: 100} }},
		{"alerts list --state open --severity high", func(*rand.Rand) sdk.Query {
			return sdk.Query{Kind: event.KindAlert, State: "open", MinSeverity: event.SeverityHigh, Limit: 100}
		}},
		{"alerts list --where src_ip", func(r *rand.Rand) sdk.Query {
			return sdk.Query{Kind: event.KindAlert, Equal: []event.Field{{Key: "src_ip", Value: address(r.IntN(addresses))}}, Limit: 100}
		}},
		{"alerts list --text, an address", func(r *rand.Rand) sdk.Query {
			return sdk.Query{Kind: event.KindAlert, Text: address(r.IntN(addresses)), Limit: 100}
		}},
		{"events search, a rare word", func(r *rand.Rand) sdk.Query {
			return sdk.Query{Kind: event.KindLog, Text: fmt.Sprintf("session%d", r.IntN(c.Logs)), Limit: 100}
		}},
		{"events search, an address", func(r *rand.Rand) sdk.Query {
			return sdk.Query{Kind: event.KindLog, Text: address(r.IntN(addresses)), Limit: 100}
		}},
		{"events search, a common phrase", func(*rand.Rand) sdk.Query {
			return sdk.Query{Kind: event.KindLog, Text: `"failed password"`, Limit: 100}
		}},
		{"events search, two words in an hour", func(r *rand.Rand) sdk.Query {
			until := c.End.UnixNano() - r.Int64N(min(int64(c.Span), day))
			return sdk.Query{Kind: event.KindLog, Text: "failed admin*", Since: until - int64(time.Hour), Until: until, Limit: 100}
		}},
	} {
		r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same queries each time
		times := make([]time.Duration, c.Queries)
		found := 0
		for i := range times {
			began := time.Now()
			if err := s.Query(ctx, q.make(r), func(sdk.Record) bool { found++; return true }); err != nil {
				return fmt.Errorf("%s: %w", q.name, err)
			}
			times[i] = time.Since(began)
		}
		slices.Sort(times)
		_, err := fmt.Fprintf(c.Out, "%s: %s: p50 %v, p99 %v, %d found a query; memory %d MiB\n", c.Name, q.name,
			times[len(times)/2].Round(10*time.Microsecond), times[len(times)*99/100].Round(10*time.Microsecond), found/c.Queries, resident()>>20)
		if err != nil {
			return err
		}
	}
	return nil
}

// addresses is how many sources there are.
const addresses = 20_000

func address(n int) string { return fmt.Sprintf("198.%d.%d.%d", 18+n>>16&1, n>>8&255, n&255) }

var stream = &event.Stream{
	ID: event.StreamID("source-file", "/var/log/auth.log"), Name: "/var/log/auth.log", Plugin: "source-file", Format: "syslog", Provenance: event.ProvenanceHost,
}

// Log is the n-th log event.
func Log(n int, at time.Time) *event.LogEvent {
	r := rand.New(rand.NewPCG(uint64(n), 3)) //nolint:gosec // the same events each time
	ip := address(r.IntN(addresses))
	user := []string{"root", "admin", "administrator", "ubuntu", "git", "postgres", "oracle", "test"}[r.IntN(8)]
	e := &event.LogEvent{
		Stream: stream, Sequence: uint64(n) + 1, Time: at, ObservedTime: at, Severity: event.SeverityInfo, Host: fmt.Sprintf("web%d", r.IntN(8)),
		Process: "sshd", PID: uint32(1000 + r.IntN(30000)),
		Fields: []event.Field{{Key: "src_ip", Value: ip}, {Key: "user", Value: user}},
	}
	switch r.IntN(4) {
	case 0:
		e.Message = fmt.Sprintf("Failed password for invalid user %s from %s port %d ssh2", user, ip, 1024+r.IntN(60000))
	case 1:
		e.Message = fmt.Sprintf("Connection closed by authenticating user %s %s port %d [preauth]", user, ip, 1024+r.IntN(60000))
	case 2:
		e.Message = fmt.Sprintf("pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=%s user=%s", ip, user)
	default:
		e.Message = fmt.Sprintf("Accepted publickey for %s from %s: session%d opened", user, ip, n)
	}
	return e
}

// Alert is an alert about a log event.
func Alert(n int, e *event.LogEvent) *event.AlertEvent {
	a := &event.AlertEvent{
		Stream: stream, Sequence: uint64(n) + 1, ID: event.AlertID("storebench", "", event.ID{Sequence: uint64(n)}), Time: e.Time, ObservedTime: e.ObservedTime,
		RuleID: fmt.Sprintf("rule_%d", n%50), Title: "SSH brute force", Severity: event.Severity(1 + n/100%5), Detector: "detector-rules", Group: e.Fields[0].Value,
		Entities: slices.Clone(e.Fields), Details: []event.Field{{Key: "count", Value: "5"}}, Count: 5, Provenance: event.ProvenanceHost,
	}
	a.CiteLog(e)
	return a
}

// used is the processor time of this process and the others.
func (c *Config) used() (total time.Duration) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err == nil {
		total = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	if c.CPU != nil {
		total += c.CPU()
	}
	return total
}

// Cost has rows written, and prints what that took.
func (c *Config) Cost(rows int, write func() error) error {
	began, cpu := time.Now(), c.used()
	if err := write(); err != nil {
		return err
	}
	wall, spent := time.Since(began), c.used()-cpu
	_, err := fmt.Fprintf(c.Out, "%s: %d rows: %.0f rows/s, %.1f us CPU a row\n", c.Name, rows, float64(rows)/wall.Seconds(), spent.Seconds()*1e6/float64(rows))
	return err
}

// resident is what this process has in memory, and most the most that it had, in bytes.
func resident() int64 { return memory("VmRSS:") }

func most() int64 { return memory("VmHWM:") }

func memory(line string) int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), line)
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return 0
	}
	return kib << 10
}
