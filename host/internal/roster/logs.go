package roster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Bounds of what is kept of a plugin's log.
const (
	maxLogLines = 1000
	maxLogBytes = 256 << 10
	maxLogLine  = 8 << 10 // of one line with its fields
	maxLogs     = 1024    // plugins and files whose lines are kept
)

// Who wrote a line.
const (
	fromPlugin = "plugin" // its standard error
	fromHost   = "host"   // what the host says about it
)

// logRing holds the last lines of one plugin, over its processes.
type logRing struct {
	mu      sync.Mutex
	lines   []*pb.PluginLogLine
	first   uint64 // number of lines[0]
	bytes   int
	changed chan struct{} // closed and replaced when a line is added
	leftOut atomic.Uint64 // lines of the plugin that are in no log
}

func newLogRing() *logRing { return &logRing{changed: make(chan struct{})} }

func (l *logRing) add(line *pb.PluginLogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	l.bytes += len(line.Message)
	drop := 0
	for len(l.lines)-drop > maxLogLines || l.bytes > maxLogBytes {
		l.bytes -= len(l.lines[drop].Message)
		drop++
	}
	if drop > 0 {
		l.lines = slices.Delete(l.lines, 0, drop)
		l.first += uint64(drop)
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// since returns the lines from a number on, the number behind the last, and a
// channel that is closed when there is another.
func (l *logRing) since(from uint64) (lines []*pb.PluginLogLine, next uint64, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next = l.first + uint64(len(l.lines))
	from = min(max(from, l.first), next)
	return slices.Clone(l.lines[from-l.first:]), next, l.changed
}

// ring returns the lines of a plugin or file, and begins them.
func (r *Roster) ring(name string) *logRing {
	r.logsMu.Lock()
	defer r.logsMu.Unlock()
	if l, ok := r.logs[name]; ok {
		return l
	}
	if len(r.logs) >= maxLogs {
		for old := range r.logs { // any: there are never so many at a time
			delete(r.logs, old)
			break
		}
	}
	l := newLogRing()
	r.logs[name] = l
	return l
}

// logger returns the host's logger for a plugin, which also keeps the lines.
func (r *Roster) logger(name, from string) hclog.Logger {
	return &keptLogger{Logger: r.log.Named(name), ring: r.ring(name), from: from}
}

// keptLogger also keeps what is logged, whatever the level of the host's log.
type keptLogger struct {
	hclog.Logger
	ring *logRing
	from string
}

func (k *keptLogger) keep(level hclog.Level, message string, args []any) {
	var b strings.Builder
	b.WriteString(message)
	for i := 0; i+1 < len(args) && b.Len() < maxLogLine; i += 2 {
		fmt.Fprintf(&b, " %v=%v", args[i], args[i+1])
	}
	k.ring.add(&pb.PluginLogLine{
		Time: timestamppb.New(time.Now()), Level: level.String(), From: k.from, Message: shown(b.String()),
	})
}

// shown makes a line fit to be shown: it drives no terminal and forges no line.
func shown(line string) string {
	if len(line) > maxLogLine {
		line = line[:maxLogLine]
		for len(line) > 0 && !utf8.ValidString(line[max(0, len(line)-utf8.UTFMax):]) {
			line = line[:len(line)-1]
		}
	}
	return strings.Map(func(c rune) rune {
		if c == '\t' {
			return ' '
		}
		if !unicode.IsPrint(c) {
			return unicode.ReplacementChar
		}
		return c
	}, strings.ToValidUTF8(line, string(unicode.ReplacementChar)))
}

// Log keeps and logs.
func (k *keptLogger) Log(level hclog.Level, message string, args ...any) {
	k.keep(level, message, args)
	k.Logger.Log(level, message, args...)
}

// Debug keeps and logs.
func (k *keptLogger) Debug(message string, args ...any) {
	k.keep(hclog.Debug, message, args)
	k.Logger.Debug(message, args...)
}

// Info keeps and logs.
func (k *keptLogger) Info(message string, args ...any) {
	k.keep(hclog.Info, message, args)
	k.Logger.Info(message, args...)
}

// Warn keeps and logs.
func (k *keptLogger) Warn(message string, args ...any) {
	k.keep(hclog.Warn, message, args)
	k.Logger.Warn(message, args...)
}

// Error keeps and logs.
func (k *keptLogger) Error(message string, args ...any) {
	k.keep(hclog.Error, message, args)
	k.Logger.Error(message, args...)
}

// Logs calls emit with the last lines, at most last, that a plugin or a file of
// that name wrote and that the host wrote about it, oldest first, and, when
// follow is set, with those that come until ctx is done. Lines that come faster
// than emit takes them may be left out. An error of emit ends it and is returned.
func (r *Roster) Logs(ctx context.Context, name string, last int, follow bool, emit func([]*pb.PluginLogLine) error) error {
	r.mu.RLock()
	p := r.find(name)
	r.mu.RUnlock()
	if p != nil {
		name = p.name()
	}
	r.logsMu.Lock()
	l, known := r.logs[name]
	r.logsMu.Unlock()
	switch {
	case known:
	case p == nil:
		return fmt.Errorf("%w: %s; ironpost plugin list shows them all", ErrNotFound, name)
	default:
		l = r.ring(name)
	}
	lines, next, changed := l.since(0)
	lines = lines[max(0, len(lines)-last):]
	for {
		if len(lines) > 0 {
			if err := emit(lines); err != nil {
				return err
			}
		}
		if !follow {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
		lines, next, changed = l.since(next)
	}
}
