package jsonlog

import (
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/priority"
	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/sdk/event"
)

// slot is a key at the top level that has a meaning.
type slot int

// The slots; those that fill one member stand together, the first counts most.
const (
	slotMessage slot = iota
	slotMsg
	slotJournalMessage
	slotLog

	slotRealtime
	slotAtTimestamp
	slotTimestamp
	slotTime
	slotTS
	slotEpoch

	slotJournalHost
	slotHost
	slotHostname

	slotIdentifier
	slotProcess
	slotProgram
	slotComm

	slotJournalPID
	slotSyslogPID
	slotPID

	slotPriority
	slotLevel
	slotSeverity
	slotLvl
	slotLoglevel
	slotLogLevel

	slotFacility
	slotUnit
	slotUID
	slotGID
	slotExe
	slotCmdline
	slotTransport
	slotContainerID
	slotContainerIDFull
	slotContainerName

	slotCount
	slotNone slot = -1
)

// fieldNames are the names under which slots that fill no member are kept.
var fieldNames = [slotCount]string{
	slotMessage: "message", slotMsg: "msg", slotJournalMessage: "MESSAGE", slotLog: "log",
	slotRealtime: "__REALTIME_TIMESTAMP", slotAtTimestamp: "@timestamp", slotTimestamp: "timestamp",
	slotTime: "time", slotTS: "ts", slotEpoch: "epoch",
	slotJournalHost: "_HOSTNAME", slotHost: "host", slotHostname: "hostname",
	slotIdentifier: "SYSLOG_IDENTIFIER", slotProcess: "process", slotProgram: "program", slotComm: "comm",
	slotJournalPID: "_PID", slotSyslogPID: "SYSLOG_PID", slotPID: "pid",
	slotPriority: "PRIORITY", slotLevel: "level", slotSeverity: "severity", slotLvl: "lvl",
	slotLoglevel: "loglevel", slotLogLevel: "log.level",
	slotFacility: "SYSLOG_FACILITY", slotUnit: "unit", slotUID: "uid", slotGID: "gid", slotExe: "exe",
	slotCmdline: "cmdline", slotTransport: "transport",
	slotContainerID: "CONTAINER_ID", slotContainerIDFull: "CONTAINER_ID_FULL", slotContainerName: "CONTAINER_NAME",
}

// slotOf returns the slot of a key, slotNone for most.
func slotOf(key string) slot {
	switch key {
	case "message":
		return slotMessage
	case "msg":
		return slotMsg
	case "MESSAGE":
		return slotJournalMessage
	case "log":
		return slotLog
	case "__REALTIME_TIMESTAMP":
		return slotRealtime
	case "@timestamp":
		return slotAtTimestamp
	case "timestamp":
		return slotTimestamp
	case "time":
		return slotTime
	case "ts":
		return slotTS
	case "epoch":
		return slotEpoch
	case "_HOSTNAME":
		return slotJournalHost
	case "host":
		return slotHost
	case "hostname":
		return slotHostname
	case "SYSLOG_IDENTIFIER":
		return slotIdentifier
	case "process":
		return slotProcess
	case "program":
		return slotProgram
	case "_COMM":
		return slotComm
	case "_PID":
		return slotJournalPID
	case "SYSLOG_PID":
		return slotSyslogPID
	case "pid":
		return slotPID
	case "PRIORITY":
		return slotPriority
	case "level":
		return slotLevel
	case "severity":
		return slotSeverity
	case "lvl":
		return slotLvl
	case "loglevel":
		return slotLoglevel
	case "log.level":
		return slotLogLevel
	case "SYSLOG_FACILITY":
		return slotFacility
	case "_SYSTEMD_UNIT":
		return slotUnit
	case "_UID":
		return slotUID
	case "_GID":
		return slotGID
	case "_EXE":
		return slotExe
	case "_CMDLINE":
		return slotCmdline
	case "_TRANSPORT":
		return slotTransport
	case "CONTAINER_ID":
		return slotContainerID
	case "CONTAINER_ID_FULL":
		return slotContainerIDFull
	case "CONTAINER_NAME":
		return slotContainerName
	}
	return slotNone
}

// assign fills the members from the slots and keeps the rest as fields. It
// returns how far the claimed sender can be believed.
func (r *record) assign(ref stamp.Reference) sender {
	out := r.out
	journal := r.slots[slotRealtime].set || r.slots[slotTransport].set
	if v := r.take(slotMessage, slotLog, isText); v != nil {
		out.Message = strings.TrimRight(v.text, " \t\r\n")
		r.line = v == &r.slots[slotLog]
	}
	r.host()
	r.process()
	r.pid()
	r.time(ref)
	r.severity()
	if v := &r.slots[slotFacility]; v.set {
		if n, err := strconv.Atoi(v.text); err == nil {
			if name, ok := priority.Facility(n); ok {
				out.Set("facility", name)
				v.set = false
			}
		}
	}
	who := senderTrusted
	if journal {
		who = r.sender()
		if who == senderTrusted {
			r.rename(slotContainerID, "container_id")
			r.rename(slotContainerIDFull, "container_id_full")
			r.rename(slotContainerName, "container_name")
		}
	}
	r.rest()
	return who
}

func (r *record) host() {
	if v := r.take(slotJournalHost, slotHostname, isText); v != nil {
		r.out.Host = v.text
	}
}

func (r *record) process() {
	if v := r.take(slotIdentifier, slotComm, isText); v != nil {
		r.out.Process = v.text
	}
}

func (r *record) pid() {
	if v := r.take(slotJournalPID, slotPID, isPID); v != nil {
		n, _ := strconv.ParseUint(v.text, 10, 32) // isPID checked it
		r.out.PID = uint32(n)
	}
}

// rest keeps the slots that filled no member as fields.
func (r *record) rest() {
	for i := range r.slots {
		if r.slots[i].set {
			r.field("", fieldNames[i], r.slots[i].text)
		}
	}
}

// take returns the first slot of a row that is set and fits, which is then no
// field any more; nil when none is.
func (r *record) take(first, last slot, fits func(*scalar) bool) *scalar {
	for i := first; i <= last; i++ {
		if v := &r.slots[i]; v.set && fits(v) {
			v.set = false
			return v
		}
	}
	return nil
}

func isText(v *scalar) bool { return v.kind == kindString && v.text != "" }

func isPID(v *scalar) bool {
	_, err := strconv.ParseUint(v.text, 10, 32)
	return err == nil
}

// rename keeps a slot as a field of another name.
func (r *record) rename(s slot, name string) {
	if v := &r.slots[s]; v.set {
		r.field("", name, v.text)
		v.set = false
	}
}

// time sets Time from the first slot that can be read as one.
func (r *record) time(ref stamp.Reference) {
	for i := slotRealtime; i <= slotEpoch; i++ {
		v := &r.slots[i]
		if !v.set || v.kind == kindBool {
			continue
		}
		t, inferred, ok := readTime(i, v.text, ref)
		if !ok {
			continue
		}
		v.set = false
		r.out.Time = t
		if inferred {
			r.out.Flags |= event.FlagTimeInferred
		}
		return
	}
}

// readTime reads the value of a time slot.
func readTime(s slot, text string, ref stamp.Reference) (t time.Time, inferred, ok bool) {
	if s == slotRealtime {
		t, ok = stamp.Microseconds(text)
		return t, false, ok
	}
	if st, ok := stamp.Leading(text, ref); ok && st.Len == len(text) && !st.Time.IsZero() {
		return st.Time, st.Inferred, true
	}
	t, ok = stamp.Epoch(text)
	return t, false, ok
}

// severity sets Severity from the first slot that names one. All but PRIORITY
// stay fields.
func (r *record) severity() {
	for i := slotPriority; i <= slotLogLevel; i++ {
		v := &r.slots[i]
		if !v.set {
			continue
		}
		found := event.SeverityUnknown
		if v.text == "" {
			continue
		}
		if !isDigit(v.text[0]) {
			found = priority.FromName(v.text)
		} else if n, err := strconv.Atoi(v.text); err == nil {
			if i == slotPriority {
				found = priority.Severity(n)
			} else {
				found = priority.FromNumber(n)
			}
		}
		if found != event.SeverityUnknown {
			r.out.Severity = found
			v.set = i != slotPriority
			return
		}
	}
}

// sender says how far the claimed sender of a record can be believed.
type sender uint8

const (
	// senderTrusted: root, the kernel, or a log that says nothing about senders.
	senderTrusted sender = iota
	// senderTool: another user, running the tool that the record claims.
	senderTool
	// senderUnverified: another user, or no one known.
	senderUnverified
)

// sender judges a record of the journal by the fields that journald itself
// adds, whose names begin with an underscore.
func (r *record) sender() sender {
	uid, exe := &r.slots[slotUID], &r.slots[slotExe]
	switch {
	case uid.set && uid.text == "0":
		return senderTrusted
	case !uid.set:
		switch r.slots[slotTransport].text {
		case "kernel", "audit", "driver":
			return senderTrusted
		}
		return senderUnverified
	case exe.set && isTool(r.out.Process, exe.text):
		return senderTool
	}
	return senderUnverified
}

// isTool reports whether a program of a directory that only root writes to has
// the name that the record claims.
func isTool(process, exe string) bool {
	at := strings.LastIndexByte(exe, '/')
	base := exe[at+1:]
	if base != process && !(process == "su-l" && base == "su") && !(process == "sudo" && strings.HasPrefix(base, "sudo")) {
		return false
	}
	return strings.HasPrefix(exe, "/usr/") || strings.HasPrefix(exe, "/bin/") || strings.HasPrefix(exe, "/sbin/")
}
