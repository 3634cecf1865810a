// Package priority reads syslog's PRI value and the names of levels, and maps
// them to Ironpost's severities.
package priority

import "github.com/ironpost/ironpost/sdk/event"

// Max is the greatest PRI value: facility 23, severity 7 (RFC 5424 6.2.1).
const Max = 191

// facilities are the names of RFC 5424 table 1, as syslog.conf spells them;
// 12 to 15 have no name there and take the table's words.
var facilities = [24]string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news",
	"uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock",
	"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

// Facility returns the name of a facility, and whether the number has one.
func Facility(number int) (string, bool) {
	if number < 0 || number >= len(facilities) {
		return "", false
	}
	return facilities[number], true
}

// severities maps syslog's severity, 0 (emergency) to 7 (debug).
var severities = [8]event.Severity{
	event.SeverityCritical, event.SeverityCritical, event.SeverityCritical, event.SeverityHigh,
	event.SeverityMedium, event.SeverityLow, event.SeverityInfo, event.SeverityInfo,
}

// Severity maps a syslog severity: emergency, alert and critical are critical,
// error is high, warning medium, notice low, the rest informational. It
// returns SeverityUnknown for a number outside 0 to 7.
func Severity(number int) event.Severity {
	if number < 0 || number >= len(severities) {
		return event.SeverityUnknown
	}
	return severities[number]
}

// FromName maps the name of a level in any case, as loggers spell it: fatal,
// ERROR, warn, notice, Info, debug, also the single letters of glog. It
// returns SeverityUnknown for any other text.
func FromName(name string) event.Severity {
	var buf [16]byte
	if len(name) > len(buf) {
		return event.SeverityUnknown
	}
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	switch string(buf[:len(name)]) {
	case "emerg", "emergency", "alert", "crit", "critical", "fatal", "panic", "dpanic", "f":
		return event.SeverityCritical
	case "err", "error", "severe", "high", "e":
		return event.SeverityHigh
	case "warn", "warning", "medium", "w":
		return event.SeverityMedium
	case "notice", "low", "n":
		return event.SeverityLow
	case "info", "information", "informational", "debug", "trace", "verbose", "i", "d":
		return event.SeverityInfo
	}
	return event.SeverityUnknown
}

// FromNumber maps a numeric level: 0 to 7 as syslog counts, 10 to 60 as bunyan
// and pino do (10 trace, 20 debug, 30 info, 40 warn, 50 error, 60 fatal). It
// returns SeverityUnknown for any other number.
func FromNumber(level int) event.Severity {
	if level < 8 {
		return Severity(level)
	}
	switch {
	case level < 10 || level > 60:
		return event.SeverityUnknown
	case level < 40:
		return event.SeverityInfo
	case level < 50:
		return event.SeverityMedium
	case level < 60:
		return event.SeverityHigh
	}
	return event.SeverityCritical
}
