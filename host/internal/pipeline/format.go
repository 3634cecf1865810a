package pipeline

import (
	"bytes"
	"sync"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Bounds of the detection of formats.
const (
	// sampleRecords is how many records of a stream are looked at.
	sampleRecords = 64
	// sampleBytes is how much of a record is looked at.
	sampleBytes = 512
	// recheckEvents is how many events of a stream are judged together.
	recheckEvents = 64
)

// formats remembers the format of each stream: what the first records of it look
// like. When half of what its parser answers is unparsed, the records are looked
// at anew, each time after twice as many have failed. Records that still look like
// what could not be read are tried as syslog, which takes nearly anything with a
// stamp, and then stay with the parser that could read the most.
type formats struct {
	mu      sync.Mutex
	streams map[uint64]*streamFormat
}

type streamFormat struct {
	name     string // "" is not known
	votes    map[string]int
	sampled  int
	events   uint64 // since the last judgement
	unparsed uint64
	patience uint64 // how many must fail
	// blamed is the format that was looked at anew last, and failed the share of
	// unparsed events of each that was.
	blamed string
	failed map[string]float64
}

// isGuess reports whether a source's hint may be wrong: what a source that reads
// any file says of its lines. Other hints name what the source knows.
func isGuess(hint string) bool { return hint == "" || hint == "syslog" || hint == "json" }

// detect returns the format of a stream. hint is what its source says, and has
// tells which formats have a parser; records are the payload of the next batch.
func (f *formats) detect(stream uint64, hint string, payload func() []byte, has func(string) bool) string {
	if !isGuess(hint) {
		return hint
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.streams[stream]
	if s == nil {
		if f.streams == nil || len(f.streams) >= maxOrigins {
			f.streams = make(map[uint64]*streamFormat)
		}
		s = &streamFormat{patience: recheckEvents / 2}
		f.streams[stream] = s
	}
	if s.sampled < sampleRecords {
		s.sample(payload())
	}
	s.name = s.choose(hint, has) // a parser may have come or gone
	if s.name != "" && has(s.name) {
		return s.name
	}
	return hint
}

// sample looks at the first records of a payload.
func (s *streamFormat) sample(payload []byte) {
	if s.votes == nil {
		s.votes = make(map[string]int)
	}
	records := pb.NewReader(pb.Kind_KIND_RAW, payload)
	for s.sampled < sampleRecords && records.Next() {
		s.sampled++
		if name := classify(records.Item); name != "" {
			s.votes[name]++
		}
	}
}

// choose returns the format that the records are to be parsed as.
func (s *streamFormat) choose(hint string, has func(string) bool) string {
	top := s.top(hint, has)
	if s.blamed == "" || top != s.blamed {
		return top
	}
	if _, tried := s.failed["syslog"]; !tried && has("syslog") {
		return "syslog"
	}
	for name, share := range s.failed {
		if has(name) && (!has(top) || share < s.failed[top] || share == s.failed[top] && name < top) {
			top = name
		}
	}
	return top
}

// top returns the format that most records look like; one that differs from what
// the source says has to have two thirds of them.
func (s *streamFormat) top(hint string, has func(string) bool) string {
	best, total := "", 0
	for name, n := range s.votes {
		total += n
		if has(name) && (best == "" || n > s.votes[best] || n == s.votes[best] && name < best) {
			best = name
		}
	}
	if hint != "" && best != hint && s.votes[best]*3 < total*2 {
		return hint
	}
	return best
}

// answered takes note of what the parser of a stream made of it, and reports the
// format that is looked at anew, "" when none is.
func (f *formats) answered(stream, events, unparsed uint64) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.streams[stream]
	if s == nil {
		return ""
	}
	s.events += events
	s.unparsed += unparsed
	switch {
	case s.events < recheckEvents:
	case s.unparsed*2 < s.events:
		s.events, s.unparsed, s.patience = 0, 0, recheckEvents/2
	case s.unparsed >= s.patience:
		if s.failed == nil {
			s.failed = make(map[string]float64)
		}
		s.blamed, s.failed[s.name] = s.name, float64(s.unparsed)/float64(s.events)
		s.events, s.unparsed, s.patience = 0, 0, min(s.patience*2, 1<<20)
		s.sampled, s.votes = 0, nil
		return s.name
	}
	return ""
}

// classify says what one record looks like: the format of a parser, "" when it
// looks like none. It reads the first bytes alone and guesses; whether the record
// is that is for the parser to say.
func classify(line []byte) string {
	line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	line = bytes.TrimLeft(line[:min(len(line), sampleBytes)], " \t")
	if len(line) == 0 {
		return ""
	}
	switch {
	case line[0] == '{':
		return "json"
	case line[0] == '<' && isPRI(line):
		return "syslog"
	case bytes.HasPrefix(line, []byte("CEF:")), bytes.HasPrefix(line, []byte("LEEF:")):
		return "kv"
	case bytes.HasPrefix(line, []byte("type=")) && bytes.Contains(line, []byte(" msg=audit(")),
		bytes.HasPrefix(line, []byte("node=")) && bytes.Contains(line, []byte(" msg=audit(")):
		return "auditd"
	case line[0] == '[':
		return classifyBracket(line[1:])
	case isISO(line):
		return classifyStamped(line)
	case len(line) > 20 && line[4] == '/' && line[7] == '/' && bytes.HasPrefix(line[10:], []byte(" ")) && bytes.IndexByte(line, '[') == 20:
		return "web" // nginx's error log
	case isAccess(line):
		return "web"
	case isMonth(line) && len(line) > 15:
		return "syslog"
	case isWeekday(line) && isMonth(line[4:]):
		return "text"
	case isPair(line):
		return "kv"
	case isTagged(line):
		return "syslog"
	}
	return "text"
}

// classifyBracket tells apart what begins with "[": the error log of Apache, the
// log of Nginx Proxy Manager, and programs' own logs.
func classifyBracket(s []byte) string {
	switch {
	case isWeekday(s) && isMonth(s[4:]):
		return "web"
	case len(s) > 11 && s[2] == '/' && s[6] == '/':
		return "web"
	}
	return "text"
}

// classifyStamped tells apart what begins with a stamp of ISO 8601: syslog goes on
// with a host and a tag, and a program's own log with anything else.
func classifyStamped(line []byte) string {
	rest := line[19:]
	if _, after, ok := bytes.Cut(rest, []byte(" ")); ok {
		words := bytes.SplitN(after, []byte(" "), 3)
		if isTag(words[0]) || len(words) > 1 && isHost(words[0]) && isTag(words[1]) {
			return "syslog"
		}
	}
	return "text"
}

// isTag reports whether a word is a tag of syslog: "sshd[42]:", "kernel:",
// "proftpd[42]".
func isTag(word []byte) bool {
	word, colon := bytes.CutSuffix(word, []byte(":"))
	if len(word) == 0 || word[0] == '[' || word[0] >= '0' && word[0] <= '9' {
		return false
	}
	open := bytes.IndexByte(word, '[')
	return open < 0 && colon && !isUpper(word) || open > 0 && word[len(word)-1] == ']' && isDigits(word[open+1:len(word)-1])
}

// isHost reports whether a word may be the name of a host.
func isHost(word []byte) bool {
	return len(word) > 0 && !isDigits(word) && !bytes.ContainsAny(word, "[]:=\"'(){}") || bytes.Count(word, []byte(":")) > 1
}

// isUpper reports whether a word is a level as databases write it: LOG, FATAL.
func isUpper(word []byte) bool {
	for _, c := range word {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return true
}

// isPRI reports whether a record begins with "<0>" to "<191>".
func isPRI(line []byte) bool {
	end := bytes.IndexByte(line, '>')
	return end > 1 && end < 5 && isDigits(line[1:end])
}

// isISO reports whether a record begins with "2006-01-02T15:04:05".
func isISO(line []byte) bool {
	return len(line) > 19 && line[4] == '-' && line[7] == '-' && (line[10] == 'T' || line[10] == ' ') && line[13] == ':' && line[16] == ':' && isDigits(line[:4])
}

// isAccess reports whether a record is of the common log format.
func isAccess(line []byte) bool {
	open := bytes.IndexByte(line, '[')
	return open > 4 && len(line) > open+27 && line[open+3] == '/' && line[open+7] == '/' && line[open+12] == ':' && bytes.Contains(line[open:], []byte(`] "`))
}

// isMonth reports whether a text begins with "Jan " to "Dec ".
func isMonth(s []byte) bool {
	return len(s) > 5 && s[3] == ' ' && bytes.Contains([]byte("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec "), s[:4])
}

// isWeekday reports whether a text begins with "Mon " to "Sun ".
func isWeekday(s []byte) bool {
	return len(s) > 10 && s[3] == ' ' && bytes.Contains([]byte("Mon Tue Wed Thu Fri Sat Sun "), s[:4])
}

// isPair reports whether a record begins with "key=".
func isPair(line []byte) bool {
	end := bytes.IndexAny(line, "= \"[(")
	return end > 0 && line[end] == '='
}

// isTagged reports whether a record begins with "tag[42]:".
func isTagged(line []byte) bool {
	word, _, _ := bytes.Cut(line, []byte(" "))
	return bytes.HasSuffix(word, []byte("]:")) && isTag(word)
}

func isDigits(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) > 0
}

// auditEvent returns the time and the serial number of a record of audit, which
// all records of one event share; nil for any other record.
func auditEvent(line []byte) []byte {
	if !bytes.HasPrefix(line, []byte("type=")) && !bytes.HasPrefix(line, []byte("node=")) {
		return nil
	}
	_, rest, ok := bytes.Cut(line[:min(len(line), sampleBytes)], []byte(" msg=audit("))
	if !ok {
		return nil
	}
	id, _, ok := bytes.Cut(rest, []byte(")"))
	if !ok {
		return nil
	}
	return id
}
