package link

import (
	"encoding/json"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/hashicorp/go-hclog"
)

// Bounds of what a plugin may write into the host's log.
const (
	maxLogLine   = 4 << 10 // bytes kept of one line
	maxLogFields = 32
	logBurst     = 100 // lines at once, and
	logRate      = 20  // lines a second on average; more are counted
)

// logWriter turns a plugin's standard error into entries of the host's log:
// one per line, sanitised, rate-limited, no louder than error.
type logWriter struct {
	log hclog.Logger

	mu      sync.Mutex
	line    []byte
	tokens  float64
	last    time.Time
	dropped int
}

func newLogWriter(log hclog.Logger) *logWriter {
	return &logWriter{log: log, tokens: logBurst, last: time.Now()}
}

// Write takes any part of the output.
func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
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
		if s, ok := value.(string); ok {
			value = printable(s)
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
