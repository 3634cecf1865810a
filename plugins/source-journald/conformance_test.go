package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestConformance gives the plugin a journal of the test's own, as the host
// gives it that of journalctl.
func TestConformance(t *testing.T) {
	j := &entries{grown: make(chan struct{})}
	target := sdktest.Value(func() sdk.Plugin {
		p := plugin()
		setup := p.Setup
		p.Setup = func(ctx context.Context, env sdk.Env) error {
			env.Commands = j
			return setup(ctx, env)
		}
		return p
	})
	sdktest.TestSource(t, target, sdktest.SourceConfig{
		Host:       sdktest.HostConfig{Section: map[string]any{"start": "beginning"}},
		Replayable: true,
		Feed:       func(_ testing.TB, lines ...string) { j.add(lines) },
		Line: func(record string) string {
			var entry struct {
				Message string `json:"MESSAGE"`
			}
			if err := json.Unmarshal([]byte(record), &entry); err != nil {
				return record
			}
			return entry.Message
		},
	})
}

// entries answers what the plugin asks journalctl. The cursor of an entry is
// its number, counted from 1.
type entries struct {
	mu    sync.Mutex
	lines []string
	grown chan struct{} // closed when lines grows
}

func (j *entries) add(messages []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, m := range messages {
		j.lines = append(j.lines, fmt.Sprintf("{\"__CURSOR\":\"%d\",\"MESSAGE\":%q}\n", len(j.lines)+1, m))
	}
	close(j.grown)
	j.grown = make(chan struct{})
}

func (j *entries) Run(ctx context.Context, _ string, args ...string) (sdk.Output, error) {
	o := &output{ctx: ctx, journal: j, closed: make(chan struct{}), follow: slices.Contains(args, "--follow")}
	for _, arg := range args {
		if cursor, ok := strings.CutPrefix(arg, "--after-cursor="); ok {
			after, err := strconv.Atoi(cursor)
			if err != nil {
				return nil, fmt.Errorf("cursor %q is not from this journal", cursor)
			}
			o.next = after
		}
	}
	if slices.Contains(args, "--lines=1") {
		j.mu.Lock()
		o.next = max(len(j.lines)-1, 0)
		j.mu.Unlock()
	}
	return o, nil
}

// output is what one run of journalctl prints.
type output struct {
	ctx     context.Context
	journal *entries
	follow  bool
	next    int    // index of the next entry
	rest    string // of the entry before
	once    sync.Once
	closed  chan struct{}
}

func (o *output) Read(p []byte) (int, error) {
	for o.rest == "" {
		o.journal.mu.Lock()
		grown := o.journal.grown
		if o.next < len(o.journal.lines) {
			o.rest = o.journal.lines[o.next]
			o.next++
		}
		o.journal.mu.Unlock()
		if o.rest != "" {
			break
		}
		if !o.follow {
			return 0, io.EOF
		}
		select {
		case <-grown:
		case <-o.closed:
			return 0, io.ErrClosedPipe
		case <-o.ctx.Done():
			return 0, context.Cause(o.ctx)
		}
	}
	n := copy(p, o.rest)
	o.rest = o.rest[n:]
	return n, nil
}

func (o *output) Close() error {
	o.once.Do(func() { close(o.closed) })
	return nil
}
