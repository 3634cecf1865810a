package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// streamName is the one stream of this source.
	streamName = "journal"
	// firstPause and lastPause bound the wait before journalctl is started
	// again.
	firstPause = time.Second
	lastPause  = time.Minute
	// settled is how long journalctl must have run to count as working, though
	// the journal had nothing to say.
	settled = 5 * time.Second
	// cursorTries is how often a cursor is tried before it is given up.
	cursorTries = 2
)

var errNotGranted = errors.New("the host runs no commands for this plugin; grant it with `ironpost plugin enable source-journald`")

// Source follows the journal. It implements sdk.LogSource.
type Source struct {
	config   *Config
	log      hclog.Logger
	counter  func(string, uint64)
	commands sdk.Commands

	mu sync.Mutex
	// since is when journalctl was started; zero while it does not run.
	since time.Time
	// problem is why it ended last; nil once it works.
	problem error
}

// New returns a Source with the configuration that config holds when Setup is
// called; config must not change afterwards.
func New(config *Config) *Source {
	return &Source{config: config, log: hclog.NewNullLogger(), counter: func(string, uint64) {}}
}

// Setup checks the configuration and takes over the commands, logger and
// counters.
func (s *Source) Setup(_ context.Context, env sdk.Env) error {
	if env.Logger != nil {
		s.log = env.Logger
	}
	if env.Counter != nil {
		s.counter = env.Counter
	}
	s.commands = env.Commands
	return s.config.Validate()
}

// Health says why the journal is not read.
func (s *Source) Health(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.problem != nil && !s.since.IsZero() && time.Since(s.since) > settled {
		return nil
	}
	return s.problem
}

// Run follows the journal until ctx is done. The absence of a journal is no
// error: Health says so, and it is tried again.
func (s *Source) Run(ctx context.Context, out sdk.Emitter) error {
	if !s.config.Enabled {
		<-ctx.Done()
		return nil
	}
	stream, err := out.Open(sdk.StreamConfig{
		Name: streamName, Format: "json", Provenance: event.ProvenanceHost,
	})
	if err != nil {
		return fmt.Errorf("open the stream: %w", err)
	}
	f := &follower{source: s, stream: stream, out: out, cursor: string(stream.Resume())}
	pause := firstPause
	for {
		began := time.Now()
		entries, err := f.follow(ctx)
		var refused *emitError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &refused):
			return fmt.Errorf("emit entries of the journal: %w", refused.err)
		}
		s.stopped(err)
		if entries > 0 || time.Since(began) > lastPause {
			pause = firstPause
		}
		s.log.Debug("journalctl ended; it is started again", "reason", err, "pause", pause.String())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, lastPause)
	}
}

func (s *Source) started() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Now()
}

// works notes that journalctl gave an entry.
func (s *Source) works() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problem = nil
}

func (s *Source) stopped(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.problem
	s.since, s.problem = time.Time{}, err
	if err != nil && (old == nil || old.Error() != err.Error()) {
		s.log.Warn("the journal is not read; it is tried again", "error", err)
	}
}

// emitError tells what the host refused from what journalctl did.
type emitError struct{ err error }

func (e *emitError) Error() string { return e.err.Error() }
func (e *emitError) Unwrap() error { return e.err }

// follower runs journalctl again and again. One goroutine uses it.
type follower struct {
	source *Source
	stream sdk.Stream
	out    sdk.Emitter
	// cursor is behind the last entry; "" before the first.
	cursor string
	// failures counts runs in a row that ended without an entry.
	failures int
	// checkpoint is cursor as bytes, reused.
	checkpoint []byte
}

// follow runs journalctl once, to its end, and returns how many entries it gave
// and why it ended.
func (f *follower) follow(ctx context.Context) (entries int, err error) {
	s := f.source
	if f.cursor == "" && s.config.Start == "end" && s.config.Since == "" {
		if err := f.begin(ctx); err != nil {
			return 0, err
		}
	}
	args := s.config.follow(f.cursor)
	startOver := f.cursor != "" && f.failures >= cursorTries
	if startOver {
		// The next failure shows that it was not the cursor's fault.
		f.failures = -1
		args = s.config.startOver()
	}
	entries, err = f.run(ctx, args, func(entry []byte) error {
		if startOver {
			startOver = false
			s.counter("cursor_invalid", 1)
			s.log.Warn("journalctl does not accept the stored position; the journal is read from the beginning of this boot", "cursor", f.cursor)
		}
		return f.emit(ctx, entry)
	})
	if f.failures++; entries > 0 {
		f.failures = 0
	}
	return entries, err
}

// begin finds the newest entry, behind which reading begins, and stores that
// position: what is logged between the first start and a restart is not lost. An
// empty journal is read from its beginning.
func (f *follower) begin(ctx context.Context) error {
	_, err := f.run(ctx, newest(), func(entry []byte) error {
		if c := cursor(entry); c != nil {
			f.cursor = string(c)
		}
		return nil
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if f.cursor == "" {
		return nil
	}
	if err := f.stream.Mark(ctx, []byte(f.cursor)); err != nil {
		return &emitError{err}
	}
	return nil
}

// run runs journalctl and hands its lines to each. The error is never nil; it
// wraps io.EOF when journalctl ended well.
func (f *follower) run(ctx context.Context, args []string, each func([]byte) error) (n int, err error) {
	s := f.source
	if s.commands == nil {
		return 0, fmt.Errorf("journald is absent: %w", errNotGranted)
	}
	output, err := s.commands.Run(ctx, Command, args...)
	if err != nil {
		return 0, fmt.Errorf("journald is absent: %w; where there is a journal, install journalctl", err)
	}
	defer func() { _ = output.Close() }()
	s.started()
	in := newLines(output)
	for {
		line, err := in.next()
		if err != nil {
			return n, fmt.Errorf("the journal cannot be followed: %w", err)
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if line[0] != '{' {
			f.out.Drop("not_json", 1)
			continue
		}
		if err := each(line); err != nil {
			return n, err
		}
		if n++; n == 1 {
			s.works()
		}
	}
}

// emit hands over one entry. One without a cursor keeps the position of the
// entry before it.
func (f *follower) emit(ctx context.Context, entry []byte) error {
	if c := cursor(entry); c != nil {
		f.checkpoint = append(f.checkpoint[:0], c...)
	} else {
		f.source.counter("entries_without_cursor", 1)
		f.checkpoint = append(f.checkpoint[:0], f.cursor...)
	}
	var checkpoint []byte
	if len(f.checkpoint) > 0 {
		checkpoint = f.checkpoint
	}
	if err := f.stream.Emit(ctx, entry[:min(len(entry), event.MaxRecord+1)], checkpoint); err != nil {
		return &emitError{err}
	}
	if string(f.checkpoint) != f.cursor {
		f.cursor = string(f.checkpoint)
	}
	return nil
}
