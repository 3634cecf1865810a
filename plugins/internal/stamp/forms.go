package stamp

import (
	"strings"
	"time"
)

// Any reads, at the start of s, a stamp of any form that logs are met with: those
// of Leading, and
//
//	02/Jan/2006:15:04:05 -0700      web servers (the common log format)
//	2006/01/02 15:04:05             nginx's error log, Go's log package
//	Mon Jan _2 15:04:05.000000 2006 Apache's error log, vsftpd, OpenVPN
//	02-Jan-2006 15:04:05.000        BIND
//	2006-01-02 15:04:05.000 UTC     PostgreSQL
//	060102 15:04:05                 MySQL before 5.7
//
// with or without a fraction. The results are those of Leading.
func (r *Reference) Any(s string) (t time.Time, n int, inferred bool) {
	if len(s) < 15 {
		return time.Time{}, 0, false
	}
	switch {
	case s[2] == '/' && s[6] == '/':
		return r.common(s)
	case s[4] == '/' && s[7] == '/':
		return r.dated(s, s[:4], s[5:7], s[8:10], 10)
	case s[2] == '-' && s[6] == '-':
		if len(s) < 20 {
			return time.Time{}, 0, false
		}
		m, ok := month(s[3:])
		if !ok {
			return time.Time{}, 0, false
		}
		return r.dated(s, s[7:11], twoDigits(m), s[:2], 11)
	case s[3] == ' ' && isWeekday(s) && len(s) > 19:
		return r.ctime(s)
	case s[6] == ' ' && isDigit(s[0]) && isDigit(s[5]):
		return r.dated(s, "20"+s[:2], s[2:4], s[4:6], 6)
	}
	if t, n, inferred = r.Leading(s); n == 0 || !inferred {
		return t, n, inferred
	}
	for _, zone := range []string{" UTC", " GMT", " Z"} {
		if rest, ok := strings.CutPrefix(s[n:], zone); ok && (rest == "" || !isAlnum(rest[0])) {
			utc := Reference{Observed: r.Observed}
			t, n, inferred = utc.Leading(s)
			return t, n + len(zone), inferred && !isISO(s)
		}
	}
	return t, n, inferred
}

// ctime reads "Mon Jan _2 15:04:05.000000 2006"; the year may be missing.
func (r *Reference) ctime(s string) (t time.Time, n int, inferred bool) {
	c, n := bsd(s[4:])
	if n == 0 {
		return time.Time{}, 0, false
	}
	n += 4
	if c.year == 0 && len(s) >= n+5 && s[n] == ' ' {
		if y, ok := yearAt(s[n+1:]); ok && (len(s) == n+5 || !isAlnum(s[n+5])) {
			c.year = y
			n += 5
		}
	}
	if n < len(s) && isAlnum(s[n]) {
		return time.Time{}, 0, false
	}
	t, ok := c.complete(r)
	if !ok {
		return time.Time{}, 0, false
	}
	return t, n, true
}

// common reads "02/Jan/2006:15:04:05 -0700".
func (r *Reference) common(s string) (t time.Time, n int, inferred bool) {
	if len(s) < 20 || s[11] != ':' {
		return time.Time{}, 0, false
	}
	m, ok := month(s[3:])
	if !ok {
		return time.Time{}, 0, false
	}
	var buf [32]byte
	b := append(buf[:0], s[7:11]...)
	b = append(b, '-', byte('0'+m/10), byte('0'+m%10), '-')
	b = append(b, s[:2]...)
	b = append(b, 'T')
	b = append(b, s[12:20]...)
	n = 20
	if len(s) >= 26 && s[20] == ' ' && (s[21] == '+' || s[21] == '-') {
		b = append(b, s[21:26]...)
		n = 26
	}
	t, length, inferred := r.ISO(string(b))
	if length != len(b) {
		return time.Time{}, 0, false
	}
	return t, n, inferred
}

// dated reads the time of day that follows a date of other forms, after one
// blank at byte at.
func (r *Reference) dated(s, year, month, day string, at int) (t time.Time, n int, inferred bool) {
	if len(s) < at+9 || s[at] != ' ' {
		return time.Time{}, 0, false
	}
	clock := s[at+1:]
	_, fractionLen := fraction(clock[8:])
	text := year + "-" + month + "-" + day + "T" + clock[:8+fractionLen]
	t, n, inferred = r.ISO(text)
	if n != len(text) {
		return time.Time{}, 0, false
	}
	return t, at + 1 + 8 + fractionLen, inferred
}

func twoDigits(n int32) string { return string([]byte{byte('0' + n/10), byte('0' + n%10)}) }

// isISO reports whether a stamp begins with a year.
func isISO(s string) bool { return len(s) > 4 && s[4] == '-' }

// isWeekday reports whether s begins with "Mon" to "Sun"; it holds at least
// three bytes.
func isWeekday(s string) bool {
	switch s[:3] {
	case "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun":
		return true
	}
	return false
}
