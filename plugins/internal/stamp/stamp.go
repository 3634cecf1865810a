package stamp

import "time"

// Ahead is how far a stamp without a year may lie after the time of
// observation and still belong to the year of the observation.
const Ahead = 24 * time.Hour

// The years that a stamp may name.
const (
	minYear = 1970
	maxYear = 2261
)

// Reference completes what a stamp leaves out.
type Reference struct {
	// Observed is when the record was read; it supplies the year. When it is
	// zero, a stamp without a year is read but gives the zero time.
	Observed time.Time
	// Location is the zone of stamps that name none; nil means UTC.
	Location *time.Location
}

// Stamp is a time stamp that was found at the start of a text.
type Stamp struct {
	// Time is in UTC; zero when the stamp has no year and none can be inferred.
	Time time.Time
	// Len is how many bytes of the text the stamp takes.
	Len int
	// Inferred says that the year or the zone was not in the text.
	Inferred bool
}

// clock is a date and a time of day as written.
type clock struct {
	year, month, day, hour, minute, second, nanosecond int
}

// Leading reads a stamp of the RFC 3339 or the RFC 3164 family at the start of
// s. What follows the stamp must be the end of the text or no letter or digit.
func Leading(s string, ref Reference) (Stamp, bool) {
	var st Stamp
	var ok bool
	if len(s) > 4 && s[4] == '-' {
		st, ok = ISO(s, ref)
	} else {
		st, ok = BSD(s, ref)
	}
	if !ok || st.Len < len(s) && isAlnum(s[st.Len]) {
		return Stamp{}, false
	}
	return st, true
}

// ISO reads "2006-01-02T15:04:05" at the start of s, with an optional
// fraction of 1 to 9 digits (more are read and cut) and an optional zone: Z,
// +01:00 or +0100. A space may stand for the T and a comma for the point. The
// year 0000 counts as left out: clocks that were never set write it.
func ISO(s string, ref Reference) (Stamp, bool) {
	if len(s) < 19 || s[4] != '-' || s[7] != '-' || s[10] != 'T' && s[10] != ' ' && s[10] != 't' {
		return Stamp{}, false
	}
	var c clock
	var ok [4]bool
	c.year, ok[0] = digits4(s)
	c.month, ok[1] = digits2(s[5:])
	c.day, ok[2] = digits2(s[8:])
	ok[3] = c.readTime(s[11:])
	if !ok[0] || !ok[1] || !ok[2] || !ok[3] {
		return Stamp{}, false
	}
	n := 19 + c.readFraction(s[19:])
	offset, zone, ok5 := readZone(s[n:])
	if !ok5 {
		return Stamp{}, false
	}
	n += zone
	if zone == 0 || c.year == 0 {
		if zone > 0 {
			ref.Location = time.UTC
		}
		t, ok := c.complete(ref)
		if ok && zone > 0 && !t.IsZero() {
			t = t.Add(-offset)
		}
		return Stamp{Time: t, Len: n, Inferred: true}, ok
	}
	if !c.valid() {
		return Stamp{}, false
	}
	return Stamp{Time: c.in(time.UTC).Add(-offset), Len: n}, true
}

// BSD reads "Jan _2 15:04:05" at the start of s, the stamp of RFC 3164. The
// day may have one digit or two, with one space or two before it. A fraction
// may follow, and a year may stand first, before the time or after it; the
// year 0000 counts as left out.
func BSD(s string, ref Reference) (Stamp, bool) {
	var c clock
	n := 0
	if y, ok := yearAt(s); ok && len(s) > 5 && s[4] == ' ' {
		c.year, n = y, 5
	}
	if len(s) < n+14 {
		return Stamp{}, false
	}
	var ok bool
	if c.month, ok = month(s[n], s[n+1], s[n+2]); !ok || s[n+3] != ' ' {
		return Stamp{}, false
	}
	n += 4
	if s[n] == ' ' {
		n++
	}
	for start := n; n < len(s) && n-start < 2 && isDigit(s[n]); n++ {
		c.day = c.day*10 + int(s[n]-'0')
	}
	if n >= len(s) || s[n] != ' ' {
		return Stamp{}, false
	}
	n++
	if y, ok := yearAt(s[n:]); ok && len(s) > n+4 && s[n+4] == ' ' {
		c.year = y
		n += 5
	}
	if len(s) < n+8 || !c.readTime(s[n:]) {
		return Stamp{}, false
	}
	n += 8
	n += c.readFraction(s[n:])
	if len(s) > n+5 && s[n] == ' ' && s[n+5] == ' ' {
		if y, ok := yearAt(s[n+1:]); ok {
			c.year = y
			n += 5
		}
	}
	t, ok := c.complete(ref)
	return Stamp{Time: t, Len: n, Inferred: true}, ok
}

// complete supplies the zone and, where the year is 0, the year.
func (c clock) complete(ref Reference) (time.Time, bool) {
	loc := ref.Location
	if loc == nil {
		loc = time.UTC
	}
	if c.year != 0 {
		if !c.valid() {
			return time.Time{}, false
		}
		return c.in(loc).UTC(), true
	}
	c.year = 2000 // a leap year, so that 29 February is a day
	if !c.valid() {
		return time.Time{}, false
	}
	if ref.Observed.IsZero() {
		return time.Time{}, true
	}
	latest := ref.Observed.Add(Ahead)
	c.year = latest.In(loc).Year()
	// At most 8 years lie between two 29ths of February.
	for range 10 {
		if c.valid() {
			if t := c.in(loc); !t.After(latest) {
				return t.UTC(), true
			}
		}
		c.year--
	}
	return time.Time{}, false
}

// in returns the time in a zone; the fields must be valid.
func (c clock) in(loc *time.Location) time.Time {
	return time.Date(c.year, time.Month(c.month), c.day, c.hour, c.minute, c.second, c.nanosecond, loc)
}

var monthDays = [13]int{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// valid reports whether the date exists and its year is in range. A second of
// 60 is a leap second and becomes the first of the next minute.
func (c clock) valid() bool {
	if c.year < minYear || c.year > maxYear || c.month < 1 || c.month > 12 || c.day < 1 || c.day > monthDays[c.month] {
		return false
	}
	return c.month != 2 || c.day != 29 || c.year%4 == 0 && (c.year%100 != 0 || c.year%400 == 0)
}

// readTime reads "15:04:05", which must be there in full.
func (c *clock) readTime(s string) bool {
	if len(s) < 8 || s[2] != ':' || s[5] != ':' {
		return false
	}
	var a, b, d bool
	c.hour, a = digits2(s)
	c.minute, b = digits2(s[3:])
	c.second, d = digits2(s[6:])
	return a && b && d && c.hour < 24 && c.minute < 60 && c.second <= 60
}

// readFraction reads ".123" or ",123" and returns its length, 0 when there is
// none.
func (c *clock) readFraction(s string) int {
	if len(s) < 2 || s[0] != '.' && s[0] != ',' || !isDigit(s[1]) {
		return 0
	}
	n := 1
	unit := 100_000_000
	for n < len(s) && isDigit(s[n]) {
		c.nanosecond += int(s[n]-'0') * unit
		unit /= 10
		n++
	}
	return n
}

// readZone reads Z, +hh:mm or +hhmm. A text that does not begin with a sign or
// Z has no zone, of length 0.
func readZone(s string) (offset time.Duration, n int, ok bool) {
	if s == "" {
		return 0, 0, true
	}
	switch s[0] {
	case 'Z', 'z':
		return 0, 1, true
	case '+', '-':
	default:
		return 0, 0, true
	}
	minutes := 3
	if len(s) > 3 && s[3] == ':' {
		minutes = 4
	}
	if len(s) < minutes+2 {
		return 0, 0, false
	}
	h, ok1 := digits2(s[1:])
	m, ok2 := digits2(s[minutes:])
	if !ok1 || !ok2 || h > 23 || m > 59 {
		return 0, 0, false
	}
	offset = time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
	if s[0] == '-' {
		offset = -offset
	}
	return offset, minutes + 2, true
}

// yearAt reads four digits that name a possible year, or 0000.
func yearAt(s string) (int, bool) {
	if len(s) < 4 {
		return 0, false
	}
	y, ok := digits4(s)
	return y, ok && (y == 0 || y >= minYear && y <= maxYear)
}

func month(a, b, c byte) (int, bool) {
	switch uint32(a)<<16 | uint32(b)<<8 | uint32(c) {
	case 'J'<<16 | 'a'<<8 | 'n':
		return 1, true
	case 'F'<<16 | 'e'<<8 | 'b':
		return 2, true
	case 'M'<<16 | 'a'<<8 | 'r':
		return 3, true
	case 'A'<<16 | 'p'<<8 | 'r':
		return 4, true
	case 'M'<<16 | 'a'<<8 | 'y':
		return 5, true
	case 'J'<<16 | 'u'<<8 | 'n':
		return 6, true
	case 'J'<<16 | 'u'<<8 | 'l':
		return 7, true
	case 'A'<<16 | 'u'<<8 | 'g':
		return 8, true
	case 'S'<<16 | 'e'<<8 | 'p':
		return 9, true
	case 'O'<<16 | 'c'<<8 | 't':
		return 10, true
	case 'N'<<16 | 'o'<<8 | 'v':
		return 11, true
	case 'D'<<16 | 'e'<<8 | 'c':
		return 12, true
	}
	return 0, false
}

// digits2 reads two digits; s holds at least two bytes.
func digits2(s string) (int, bool) {
	return int(s[0]-'0')*10 + int(s[1]-'0'), isDigit(s[0]) && isDigit(s[1])
}

// digits4 reads four digits; s holds at least four bytes.
func digits4(s string) (int, bool) {
	high, ok1 := digits2(s)
	low, ok2 := digits2(s[2:])
	return high*100 + low, ok1 && ok2
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isAlnum(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
