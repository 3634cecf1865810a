package audit

import (
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/pattern"
	"github.com/ironpost/ironpost/plugins/internal/reject"
	"github.com/ironpost/ironpost/plugins/internal/view"
	"github.com/ironpost/ironpost/sdk/event"
)

// Limits of an event.
const (
	// MaxFields is how many fields an event may have.
	MaxFields = 200
	// MaxLines is how many records are joined.
	MaxLines = 500
)

// Why a record is refused.
var (
	// ErrEmpty: nothing but blanks. Code empty.
	ErrEmpty = reject.New("empty", "the record is empty")
	// ErrForm: no type=... msg=audit(...). Code bad_form.
	ErrForm = reject.New("bad_form", "the record is not one of audit's: type=... msg=audit(...):")
)

// Parser parses records. The zero value is ready; it is safe for concurrent
// use.
type Parser struct{}

// Parse reads one record, of one line or more, into out, which must be empty.
// What it puts there may alias raw.Line. It returns ErrEmpty or ErrForm, and
// leaves out empty then.
func (p *Parser) Parse(raw event.RawLog, out *event.LogEvent) error {
	s := strings.Trim(view.String(raw.Line), " \t\r\n")
	if s == "" {
		return ErrEmpty
	}
	j := joiner{out: out}
	for range MaxLines {
		line, rest, more := strings.Cut(s, "\n")
		if err := j.line(strings.Trim(line, " \r")); err != nil {
			if j.id == "" {
				return err
			}
			j.mixed = true
		}
		if s = rest; !more {
			break
		}
	}
	j.end(strings.Trim(view.String(raw.Line), " \t\r\n"))
	return nil
}

// joiner puts the records of one event together.
type joiner struct {
	out     *event.LogEvent
	id      string
	types   []byte
	args    []byte
	argc    int
	paths   int
	title   string
	syscall string
	address string // of SOCKADDR
	port    string
	mixed   bool
	dropped int
}

// line reads one record.
func (j *joiner) line(s string) error {
	h, ok := header(s)
	if !ok {
		return ErrForm
	}
	if j.id == "" {
		j.id = h.id
		j.out.Time, j.out.Host = h.time, h.node
		j.set("audit.id", h.id)
		j.set("type", h.kind)
		j.types = append(j.types, ',')
	} else if h.id != j.id {
		j.mixed = true
		return nil
	}
	j.types = append(append(j.types, h.kind...), ',')
	switch h.kind {
	case "EXECVE":
		j.execve(h.body)
	case "PATH":
		j.path(h.body)
	case "PROCTITLE":
		for key, value := range fields(h.body) {
			if key == "proctitle" {
				j.title = strings.TrimRight(strings.ReplaceAll(value.text(), "\x00", " "), " ")
			}
		}
	case "SOCKADDR":
		for key, value := range fields(h.body) {
			if key == "saddr" {
				j.address, j.port = sockaddr(value.raw)
			} else {
				j.field(key, value)
			}
		}
	default:
		for key, value := range fields(h.body) {
			if key == "msg" { // a record of a program's own, in quotes
				for key, value := range fields(value.raw) {
					j.field(key, value)
				}
				continue
			}
			j.field(key, value)
		}
	}
	return nil
}

// field sets what a key says, if it is the first of its name.
func (j *joiner) field(key string, v value) {
	text := v.text()
	if text == "(null)" || text == "?" || text == "" {
		return
	}
	switch key {
	case "pid":
		if n, err := strconv.ParseUint(text, 10, 32); err == nil && j.out.PID == 0 {
			j.out.PID = uint32(n)
		}
		return
	case "comm":
		if j.out.Process == "" {
			j.out.Process = text
		}
	case "cwd":
		j.first("pwd", text)
		return
	case "acct":
		j.first("user", text)
	case "uid":
		j.first("user_uid", text)
	case "auid":
		j.first("login_uid", text)
	case "UID":
		j.first("user", text)
	case "syscall":
		j.syscall = text
	case "addr":
		if address, ok := pattern.Address(text); ok {
			j.first("src_ip", address)
		}
		return
	case "hostname":
		if _, ok := pattern.Address(text); !ok {
			j.first("src_host", text)
		}
		return
	case "success", "res":
		j.outcome(text)
	}
	j.first(key, text)
}

func (j *joiner) outcome(text string) {
	switch text {
	case "yes", "success", "1":
		j.first("event.outcome", "success")
	case "no", "failed", "0":
		j.first("event.outcome", "failure")
	}
}

// execve reads the arguments, which replace the registers of SYSCALL.
func (j *joiner) execve(body string) {
	for key, value := range fields(body) {
		if key == "argc" {
			j.first(key, value.text())
			continue
		}
		if len(key) < 2 || key[0] != 'a' || key[1] < '0' || key[1] > '9' || strings.HasSuffix(key, "_len") {
			continue
		}
		text := value.text()
		part := strings.Contains(key, "[") // of an argument that is too long for one record
		if !part || strings.HasSuffix(key, "[0]") {
			if j.argc++; j.argc > 1 {
				j.args = append(j.args, ' ')
			}
		}
		j.args = append(j.args, text...)
		if j.argc <= 32 && !part {
			j.set(key, text)
		}
	}
}

// path reads a path of the event.
func (j *joiner) path(body string) {
	name, kind := "", ""
	for key, value := range fields(body) {
		switch key {
		case "name":
			name = value.text()
		case "nametype":
			kind = value.text()
		}
	}
	item := j.paths
	j.paths++
	if name == "" || name == "(null)" {
		return
	}
	if _, taken := j.out.Get("name"); !taken && kind != "PARENT" {
		j.set("name", name)
		j.set("nametype", kind)
		return
	}
	if item < 8 {
		j.set("path."+strconv.Itoa(item)+".name", name)
	}
}

// end sets what follows from all records.
func (j *joiner) end(record string) {
	out := j.out
	out.Message = record
	j.set("audit.types", string(j.types))
	switch {
	case len(j.args) > 0:
		j.set("command", string(j.args))
	case j.title != "":
		j.set("command", j.title)
	}
	if j.title != "" {
		j.set("proctitle", j.title)
	}
	if out.Process == "" {
		if exe, ok := out.Get("exe"); ok {
			out.Process = exe[strings.LastIndexByte(exe, '/')+1:]
		}
	}
	if j.address != "" {
		side := "dst"
		if name, _ := out.Get("SYSCALL"); name == "accept" || name == "accept4" || name == "" && (j.syscall == "43" || j.syscall == "288") {
			side = "src"
		}
		j.set(side+"_ip", j.address)
		j.set(side+"_port", j.port)
	}
	kind, _ := out.Get("type")
	if j.argc > 0 {
		kind = "execve"
	}
	j.set("event_action", "audit_"+strings.ToLower(kind))
	if j.mixed {
		out.Set("audit_defect", "mixed_events")
	}
	if j.dropped > 0 {
		out.Set("audit_dropped_fields", strconv.Itoa(j.dropped))
	}
}

// first sets a field that the event does not have yet.
func (j *joiner) first(key, text string) {
	for i := range j.out.Fields {
		if j.out.Fields[i].Key == key {
			return
		}
	}
	j.set(key, text)
}

// set sets a field, within the limits.
func (j *joiner) set(key, text string) {
	if text == "" {
		return
	}
	if len(j.out.Fields) >= MaxFields {
		j.dropped++
		return
	}
	j.out.Set(key, text)
}

// head is what every record begins with.
type head struct {
	node, kind, id, body string
	time                 time.Time
}

// header reads "[node=NAME ]type=KIND msg=audit(SECONDS.MILLISECONDS:SERIAL): ".
func header(s string) (head, bool) {
	var h head
	if rest, ok := strings.CutPrefix(s, "node="); ok {
		h.node, s, _ = strings.Cut(rest, " ")
	}
	rest, ok := strings.CutPrefix(s, "type=")
	if !ok {
		return h, false
	}
	h.kind, rest, ok = strings.Cut(rest, " msg=audit(")
	if !ok || h.kind == "" || len(h.kind) > 64 || strings.ContainsAny(h.kind, " =\"") {
		return h, false
	}
	h.id, h.body, ok = strings.Cut(rest, "):")
	stamp, serial, ok2 := strings.Cut(h.id, ":")
	whole, part, _ := strings.Cut(stamp, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if !ok || !ok2 || err != nil || seconds < 0 || seconds > 1<<33 || serial == "" || len(h.id) > 40 {
		return h, false
	}
	milliseconds := int64(0)
	if len(part) == 3 {
		if milliseconds, err = strconv.ParseInt(part, 10, 64); err != nil || milliseconds < 0 {
			return h, false
		}
	}
	h.time = time.Unix(seconds, milliseconds*1e6).UTC()
	return h, true
}
