package link

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/hashicorp/go-hclog"
)

// Bounds of what a plugin may write into the host's log.
const (
	maxLogLine   = 4 << 10 // bytes kept of one line
	maxLogFields = 32
	logBurst     = 100     // lines at once, and
	logRate      = 20      // lines a second on average; more are counted
	logBytes     = 1 << 20 // a second, and at once; who writes more has to wait
)

// logWriter turns a plugin's standard error into entries of the host's log:
// one per line, sanitised, rate-limited, no louder than error.
type logWriter struct {
	log hclog.Logger

	mu      sync.Mutex
	line    []byte
	tokens  float64
	last    time.Time
	read    time.Time // when budget was right
	dropped int
	leftOut *atomic.Uint64 // all lines that were left out; never nil
	budget  int            // bytes that are taken without a pause
}

func newLogWriter(log hclog.Logger, leftOut *atomic.Uint64) *logWriter {
	if leftOut == nil {
		leftOut = new(atomic.Uint64)
	}
	now := time.Now()
	return &logWriter{log: log, tokens: logBurst, last: now, leftOut: leftOut, budget: logBytes, read: now}
}

// Write takes any part of the output. It holds back who writes more than
// logBytes a second: a flood costs the plugin its time, not the host's.
func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pace(len(p))
	for _, b := range p {
		if b == '\n' {
			w.emit()
			w.line = w.line[:0]
		} else if len(w.line) < maxLogLine {
			w.line = append(w.line, b)
		}
	}
	return len(p), nil
}

// pace waits until n more bytes are within the budget.
func (w *logWriter) pace(n int) {
	now := time.Now()
	w.budget = min(logBytes, w.budget+int(min(now.Sub(w.read), time.Second).Seconds()*logBytes))
	w.read = now
	if w.budget -= n; w.budget < 0 {
		<-time.After(time.Duration(-w.budget) * time.Second / logBytes)
	}
}

// emit logs the line, when the rate allows.
func (w *logWriter) emit() {
	if len(w.line) == 0 {
		return
	}
	now := time.Now()
	w.tokens = min(logBurst, w.tokens+now.Sub(w.last).Seconds()*logRate)
	w.last = now
	if w.tokens < 1 {
		w.dropped++
		w.leftOut.Add(1)
		return
	}
	w.tokens--
	if w.dropped > 0 {
		w.log.Warn("lines of the plugin left out, it writes too many", "lines", w.dropped)
		w.dropped = 0
	}
	level, message, fields := parseLogLine(w.line)
	w.log.Log(level, message, fields...)
}

// parseLogLine reads hclog's JSON, or takes the line as it is.
func parseLogLine(line []byte) (hclog.Level, string, []any) {
	var entry map[string]any
	if line[0] != '{' || json.Unmarshal(line, &entry) != nil {
		return hclog.Info, printable(string(line)), nil
	}
	level := hclog.Info
	if l, ok := entry["@level"].(string); ok {
		if parsed := hclog.LevelFromString(l); parsed >= hclog.Trace && parsed <= hclog.Error {
			level = parsed
		}
	}
	message, _ := entry["@message"].(string)
	var fields []any
	for key, value := range entry {
		if strings.HasPrefix(key, "@") || len(fields) >= 2*maxLogFields {
			continue
		}
		switch v := value.(type) {
		case float64, bool, nil:
		case string:
			value = printable(v)
		default: // a list or an object, with any strings in it
			value = printable(fmt.Sprint(v))
		}
		fields = append(fields, printable(key), value)
	}
	return level, printable(message), fields
}

// printable replaces control characters, so that a plugin cannot forge lines
// or drive a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
