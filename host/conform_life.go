package host

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"

	"google.golang.org/grpc"

	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/sdk/sdktest/suite"
)

// testedLife is one process of the plugin.
type testedLife struct {
	conn *link.Conn
	log  *lastLines
	stop func()
}

var (
	_ suite.Process = (*testedLife)(nil)
	_ suite.Logged  = (*testedLife)(nil)
)

func (l *testedLife) Conn() grpc.ClientConnInterface { return l.conn.Client() }
func (l *testedLife) Pause() error                   { return l.conn.Process().Signal(stopSignal) }
func (l *testedLife) Resume() error                  { return l.conn.Process().Signal(continueSignal) }
func (l *testedLife) Done() <-chan struct{}          { return l.conn.Done() }

func (l *testedLife) Stop() {
	l.conn.Kill()
	l.stop()
}

// Log returns what the plugin wrote last, and how it ended.
func (l *testedLife) Log() []string {
	var out []string
	for _, err := range l.log.errors() {
		out = append(out, err.Error())
	}
	select {
	case <-l.conn.Done():
		if state, err := l.conn.Process().Wait(context.Background()); err == nil {
			out = append(out, "the process had ended: "+state.String())
		}
	default:
	}
	return out
}

// lastLines keeps the last lines written to it.
type lastLines struct {
	mu    sync.Mutex
	lines []string
}

func newLastLines() *lastLines { return new(lastLines) }

const keptLines = 4

// Write takes whole lines, as a logger writes them.
func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := bufio.NewScanner(bytes.NewReader(p)); s.Scan(); {
		l.lines = append(l.lines, s.Text())
	}
	l.lines = l.lines[max(0, len(l.lines)-keptLines):]
	return len(p), nil
}

func (l *lastLines) errors() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []error
	for _, line := range l.lines {
		out = append(out, errors.New("the plugin wrote: "+strings.TrimSpace(line)))
	}
	return out
}
