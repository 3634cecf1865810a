package tail

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// formatAudit is the format of the log of the Linux audit system.
	formatAudit = "auditd"
	// auditHead is how much of a line its time and serial number are looked for in,
	// in bytes: behind the name of a machine and the type.
	auditHead = 400
	// auditPause is how much younger a line is, in seconds, that ends the events
	// before it: end_of_event_timeout of auditd.conf(5).
	auditPause = 2
	// maxUnfinished bounds the events of a region that wait for more lines, and
	// maxEvents all of them.
	maxUnfinished = 256
	maxEvents     = 4096
	// mostRegion bounds the bytes of a region: it fits into one read. Past
	// enoughRegion it ends where no event is unfinished but those that began within
	// oldRegion, so that one which takes long does not cut others.
	mostRegion   = 120 << 10
	enoughRegion = 96 << 10
	oldRegion    = 64 << 10
)

// auditEvents puts the lines of audit events together, of one region at a time. It
// is memory that is used again.
type auditEvents struct {
	// unfinished are the events that wait for more lines, by their first ones;
	// finished those that the line at hand ends.
	unfinished, finished []auditEvent
	record               []byte
}

// auditEvent is an event some of whose lines were seen. They alias the window.
type auditEvent struct {
	id     []byte
	second int64
	lines  [][]byte
	// start is where the first line stands in the region, size how long the lines
	// are as a record.
	start, size int
}

// region is the state of one call of segment.region.
type region struct {
	*segment
	window []byte
	pos    int
	start  int64
	emit   func([]byte) error
	// before is how many events were emitted by earlier calls, count how many came
	// to their end in this one.
	before, count int
}

// region emits the events of the region that begins at window[pos], where window[0]
// lies at file offset start, in the order in which they end, but for those that were
// emitted before. It returns where the next region begins: pos when this one is not at
// its end. With force the bytes at hand, or the first force of them, are all that the
// region may have. What ends an event follows from the lines and from force alone, so
// that it is the same after a restart.
func (g *segment) region(window []byte, pos int, start int64, force int, emit func([]byte) error) (int, error) {
	g.audit.unfinished = g.audit.unfinished[:0]
	r := region{segment: g, window: window, pos: pos, start: start, emit: emit, before: int(g.mark.emitted)}
	b := window[pos:]
	if force > 0 {
		b = b[:min(force, len(b))]
	}
	for at := 0; ; {
		end := at + bytes.IndexByte(b[at:], '\n') + 1
		switch {
		case end > at:
		case force > 0 && at == len(b):
			g.mark.until = uint32(at)
			return r.cut(at)
		case force > 0:
			end = len(b) // the last line has no end
		case len(b) <= mostRegion:
			return pos, nil
		default:
			end = len(b) + 1 // it makes the region too long, wherever it ends
		}
		if at > 0 && (end > mostRegion+1 || b[at] == 0 || len(g.audit.unfinished) == maxUnfinished || r.count >= maxEvents ||
			at > enoughRegion && g.audit.areOld()) {
			g.splits += uint64(len(g.audit.unfinished))
			return r.cut(at)
		}
		line := bytes.TrimSuffix(bytes.TrimSuffix(b[at:end], []byte{'\n'}), []byte{'\r'})
		if done, err := r.line(line, at, end); done || err != nil {
			return pos + end, err
		}
		at = end
	}
}

// areOld reports whether all events that are unfinished began long ago.
func (a *auditEvents) areOld() bool {
	return !slices.ContainsFunc(a.unfinished, func(e auditEvent) bool { return e.start >= oldRegion })
}

// line takes the next line, which begins at pos+at and ends before pos+end, and emits
// the events that it ends. done says that it ends the region.
func (r *region) line(line []byte, at, end int) (done bool, err error) {
	a := r.audit
	a.finished = a.finished[:0]
	id := auditID(line)
	own := auditEvent{id: id, second: auditSecond(id), lines: [][]byte{line}, start: at, size: len(line)}
	ends, known := id == nil || endsEvent(line), false
	waiting := a.unfinished[:0]
	for _, e := range a.unfinished {
		switch {
		case id != nil && bytes.Equal(e.id, id):
			if e.size+1+len(line) > event.MaxRecord {
				a.finished = append(a.finished, e)
				r.splits++
				continue
			}
			e.lines, e.size = append(e.lines, line), e.size+1+len(line)
			own, known = e, true
			if !ends {
				waiting = append(waiting, e)
			}
		case id != nil && own.second >= e.second+auditPause:
			a.finished = append(a.finished, e)
		default:
			waiting = append(waiting, e)
		}
	}
	switch {
	case ends:
		a.finished = append(a.finished, own)
	case !known:
		waiting = append(waiting, own)
	}
	a.unfinished = waiting
	return len(waiting) == 0, r.finish(a.finished, len(waiting) == 0, end)
}

// cut ends the region before pos+end, and all of its events with it.
func (r *region) cut(end int) (int, error) {
	return r.pos + end, r.finish(r.audit.unfinished, true, end)
}

// finish emits events. With last they are the last of the region, which ends before
// pos+end.
func (r *region) finish(events []auditEvent, last bool, end int) error {
	for i, e := range events {
		r.count++
		switch {
		case last && i == len(events)-1:
			r.mark.emitted, r.mark.until = 0, 0
			r.advance(r.window, r.pos+end, r.start)
		case r.count > r.before:
			r.mark.emitted = uint16(r.count)
		}
		if r.count <= r.before {
			continue
		}
		if err := r.emit(r.audit.join(e.lines)); err != nil {
			return err
		}
	}
	return nil
}

// join returns the lines as one record, which is valid until the next call.
func (a *auditEvents) join(lines [][]byte) []byte {
	if len(lines) == 1 {
		return lines[0]
	}
	a.record = a.record[:0]
	for i, l := range lines {
		if i > 0 {
			a.record = append(a.record, '\n')
		}
		a.record = append(a.record, l...)
	}
	return a.record
}

// auditID returns the time and the serial number of a line of the audit system,
// "[node=NAME ]type=KIND msg=audit(SECONDS.MILLISECONDS:SERIAL): ..."; nil for
// any other line.
func auditID(line []byte) []byte {
	if !mayBeAudit(line) {
		return nil
	}
	_, rest, ok := bytes.Cut(line[:min(len(line), auditHead)], []byte(" msg=audit("))
	if !ok {
		return nil
	}
	id, _, ok := bytes.Cut(rest, []byte("):"))
	if !ok {
		return nil
	}
	return id
}

func mayBeAudit(line []byte) bool {
	return bytes.HasPrefix(line, []byte("type=")) || bytes.HasPrefix(line, []byte("node="))
}

// auditSecond returns the seconds of an id, 0 when there are none.
func auditSecond(id []byte) int64 {
	seconds, _, _ := bytes.Cut(id, []byte{'.'})
	n, err := strconv.ParseInt(string(seconds), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// endsEvent reports whether no line of the same event follows one that auditID
// knows: the kernel writes PROCTITLE and EOE last, and what is not the kernel's has
// one line (audit_log_exit in kernel/auditsc.c; au_check_events in audit's
// auparse.c).
func endsEvent(line []byte) bool {
	if bytes.HasPrefix(line, []byte("node=")) {
		_, line, _ = bytes.Cut(line, []byte{' '})
	}
	kind, _, _ := bytes.Cut(bytes.TrimPrefix(line, []byte("type=")), []byte{' '})
	switch string(kind) {
	case "PROCTITLE", "EOE":
		return true
	case "SYSCALL", "PATH", "IPC", "SOCKETCALL", "CONFIG_CHANGE", "SOCKADDR", "CWD", "EXECVE", "IPC_SET_PERM", "MQ_OPEN",
		"MQ_SENDRECV", "MQ_NOTIFY", "MQ_GETSETATTR", "KERNEL_OTHER", "FD_PAIR", "OBJ_PID", "TTY", "BPRM_FCAPS", "CAPSET", "MMAP",
		"NETFILTER_PKT", "NETFILTER_CFG", "SECCOMP", "FEATURE_CHANGE", "REPLACE", "KERN_MODULE", "FANOTIFY", "TIME_INJOFFSET",
		"TIME_ADJNTPVAL", "BPF", "EVENT_LISTENER", "URINGOP", "OPENAT2", "DM_CTRL", "DM_EVENT", "LOGIN",
		"AVC", "AVC_PATH", "SELINUX_ERR", "INTEGRITY_DATA", "INTEGRITY_METADATA", "INTEGRITY_STATUS", "INTEGRITY_HASH",
		"INTEGRITY_PCR", "INTEGRITY_RULE", "INTEGRITY_EVM_XATTR", "INTEGRITY_POLICY_RULE",
		"ANOM_PROMISCUOUS", "ANOM_ABEND", "ANOM_LINK", "ANOM_CREAT":
		return false
	}
	for _, prefix := range [...]string{"MAC_", "APPARMOR", "LANDLOCK_", "IPE_", "UNKNOWN["} {
		if bytes.HasPrefix(kind, []byte(prefix)) {
			return false
		}
	}
	return true
}
