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

	span *span // of Observed and Location; nil when it is to be found
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

// date is a day as written.
type date struct{ year, month, day int32 }

// clock is a date and a time of day as written. It is small enough for the
// compiler to keep it in registers.
type clock struct {
	date
	second     int32 // of the day; more than 86,399 in a leap second
	nanosecond int32
}

// Leading reads a stamp of the RFC 3339 or the RFC 3164 family at the start of
// s. What follows the stamp must be the end of the text or no letter or digit.
func Leading(s string, ref Reference) (Stamp, bool) {
	t, n, inferred := ref.Leading(s)
	return Stamp{t, n, inferred}, n > 0
}

// Leading is the function Leading, which copies more: it returns the members of
// a Stamp one by one, and a length of 0 when there is none.
func (r *Reference) Leading(s string) (t time.Time, n int, inferred bool) {
	c, ok := plain(s)
	switch {
	case ok:
		n = plainLen
	case len(s) > 4 && s[4] == '-':
		if t, n, inferred = r.ISO(s); n < len(s) && isAlnum(s[n]) {
			return time.Time{}, 0, false
		}
		return t, n, inferred
	default:
		if c, n = bsd(s); n == 0 || n < len(s) && isAlnum(s[n]) {
			return time.Time{}, 0, false
		}
	}
	if t, ok = c.complete(r); !ok {
		return time.Time{}, 0, false
	}
	return t, n, true
}

// ISO reads "2006-01-02T15:04:05" at the start of s, with an optional
// fraction of 1 to 9 digits (more are read and cut) and an optional zone: Z,
// +01:00 or +0100. A space may stand for the T and a comma for the point. The
// year 0000 counts as left out: clocks that were never set write it. The results
// are those of Leading.
func (r *Reference) ISO(s string) (t time.Time, n int, inferred bool) {
	if len(s) < 19 || s[4] != '-' || s[7] != '-' || s[10] != 'T' && s[10] != ' ' && s[10] != 't' {
		return time.Time{}, 0, false
	}
	year, ok0 := digits4(s)
	month, ok1 := digits2(s[5:])
	day, ok2 := digits2(s[8:])
	second, ok3 := timeOfDay(s[11:])
	if !ok0 || !ok1 || !ok2 || !ok3 {
		return time.Time{}, 0, false
	}
	nanosecond, length := fraction(s[19:])
	n = 19 + length
	offset, length, ok := readZone(s[n:])
	if !ok {
		return time.Time{}, 0, false
	}
	n += length
	c := clock{date{year, month, day}, second, nanosecond}
	switch {
	case length == 0:
		t, ok = c.complete(r)
		inferred = true
	case year == 0:
		t, ok = c.complete(&Reference{Observed: r.Observed})
		if ok && !t.IsZero() {
			t = t.Add(-offset)
		}
		inferred = true
	default:
		if ok = c.valid(); ok {
			t = c.utc(c.reading() - int64(offset/time.Second))
		}
	}
	if !ok {
		return time.Time{}, 0, false
	}
	return t, n, inferred
}

// bsd reads "Jan _2 15:04:05" at the start of s, the stamp of RFC 3164, and
// returns its length, 0 when there is none. The day may have one digit or two,
// with one space or two before it. A fraction may follow, and a year may stand
// first, before the time or after it; the year 0000 counts as left out.
func bsd(s string) (c clock, n int) {
	if y, ok := yearAt(s); ok && len(s) > 5 && s[4] == ' ' {
		c.year, n = y, 5
	}
	if len(s) < n+14 {
		return clock{}, 0
	}
	var ok bool
	if c.month, ok = month(s[n:]); !ok || s[n+3] != ' ' {
		return clock{}, 0
	}
	n += 4
	if s[n] == ' ' {
		n++
	}
	for start := n; n < len(s) && n-start < 2 && isDigit(s[n]); n++ {
		c.day = c.day*10 + int32(s[n]-'0')
	}
	if n >= len(s) || s[n] != ' ' {
		return clock{}, 0
	}
	n++
	if y, ok := yearAt(s[n:]); ok && len(s) > n+4 && s[n+4] == ' ' {
		c.year = y
		n += 5
	}
	if c.second, ok = timeOfDay(s[n:]); !ok {
		return clock{}, 0
	}
	n += 8
	nanosecond, length := fraction(s[n:])
	c.nanosecond = nanosecond
	n += length
	if len(s) > n+5 && s[n] == ' ' && s[n+5] == ' ' {
		if y, ok := yearAt(s[n+1:]); ok {
			c.year = y
			n += 5
		}
	}
	return c, n
}

// plainLen is the length of "Jan _2 15:04:05", the form that RFC 3164 asks for.
const plainLen = 15

// plain is bsd for that form where a space or the end follows, and no year; it
// returns false for all else.
func plain(s string) (clock, bool) {
	if len(s) < plainLen || s[3] != ' ' || s[6] != ' ' || !isDigit(s[5]) {
		return clock{}, false
	}
	if len(s) > plainLen {
		next := s[plainLen:]
		if next[0] != ' ' || len(next) > 5 && next[5] == ' ' && isDigit(next[1]) {
			return clock{}, false
		}
	}
	day := int32(s[5] - '0')
	if isDigit(s[4]) {
		day += 10 * int32(s[4]-'0')
	} else if s[4] != ' ' {
		return clock{}, false
	}
	month, ok1 := month(s)
	second, ok2 := timeOfDay(s[7:])
	return clock{date: date{month: month, day: day}, second: second}, ok1 && ok2
}

// complete supplies the zone and, where the year is 0, the year.
func (c clock) complete(ref *Reference) (time.Time, bool) {
	loc := ref.Location
	if loc == nil {
		loc = time.UTC
	}
	if c.year != 0 {
		if !c.valid() {
			return time.Time{}, false
		}
		if ref.span == nil {
			return c.in(loc).UTC(), true
		}
		return c.utc(ref.span.unix(c)), true
	}
	if ref.Observed.IsZero() {
		return time.Time{}, date{2000, c.month, c.day}.valid() // a leap year, so that 29 February is a day
	}
	span := ref.span
	if span == nil {
		found := spanAt(loc, ref.Observed.Add(Ahead))
		span = &found
	}
	latest := ref.Observed.Unix() + int64(Ahead/time.Second)
	// At most 8 years lie between two 29ths of February.
	for c.year = span.year; c.year > span.year-10; c.year-- {
		if !c.valid() {
			continue
		}
		if t := span.unix(c); t < latest || t == latest && int(c.nanosecond) <= ref.Observed.Nanosecond() {
			return c.utc(t), true
		}
	}
	return time.Time{}, false
}

// utc returns the time in UTC at a second since 1970 and the clock's part of it.
func (c clock) utc(second int64) time.Time {
	return time.Unix(second, int64(c.nanosecond)).UTC()
}

// in returns the time in a zone; the fields must be valid.
func (c clock) in(loc *time.Location) time.Time {
	return time.Date(int(c.year), time.Month(c.month), int(c.day), 0, 0, int(c.second), int(c.nanosecond), loc)
}

var monthDays = [13]int32{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// valid reports whether the date exists and its year is in range.
func (d date) valid() bool {
	if d.year < minYear || d.year > maxYear || d.month < 1 || d.month > 12 || d.day < 1 || d.day > monthDays[d.month] {
		return false
	}
	return d.month != 2 || d.day != 29 || isLeap(d.year)
}

// timeOfDay reads "15:04:05", which must be there in full, as seconds. A second
// of 60 is a leap second and becomes the first of the next minute.
//
// All eight bytes are checked and read at once, as numbers side by side in one
// word: a digit less '0' is at most 9, so that adding 0x76 leaves its highest
// bit clear, and a colon less ':' is 0, so that adding 0x7f does. (Anderson, Bit
// Twiddling Hacks, "Determine if a word has a byte greater than n".)
func timeOfDay(s string) (second int32, ok bool) {
	if len(s) < 8 {
		return 0, false
	}
	x := load8(s) ^ 0x3030_3a30_303a_3030
	if (x|(x+0x7676_7f76_767f_7676))&0x8080_8080_8080_8080 != 0 {
		return 0, false
	}
	h := int32(x)&0xf*10 + int32(x>>8)&0xf
	m := int32(x>>24)&0xf*10 + int32(x>>32)&0xf
	sec := int32(x>>48)&0xf*10 + int32(x>>56)
	return h*3600 + m*60 + sec, h < 24 && m < 60 && sec <= 60
}

// load8 returns the first eight bytes of s, the first the lowest; the compiler
// makes it one instruction.
func load8(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// fraction reads ".123" or ",123" and returns its length, 0 when there is none.
func fraction(s string) (nanosecond int32, n int) {
	if len(s) < 2 || s[0] != '.' && s[0] != ',' || !isDigit(s[1]) {
		return 0, 0
	}
	n = 1
	unit := int32(100_000_000)
	for n < len(s) && isDigit(s[n]) {
		nanosecond += int32(s[n]-'0') * unit
		unit /= 10
		n++
	}
	return nanosecond, n
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
func yearAt(s string) (int32, bool) {
	if len(s) < 4 {
		return 0, false
	}
	y, ok := digits4(s)
	return y, ok && (y == 0 || y >= minYear && y <= maxYear)
}

// month reads "Jan" to "Dec"; s holds at least three bytes.
func month(s string) (int32, bool) {
	switch uint32(s[0])<<16 | uint32(s[1])<<8 | uint32(s[2]) {
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
func digits2(s string) (int32, bool) {
	return int32(s[0]-'0')*10 + int32(s[1]-'0'), isDigit(s[0]) && isDigit(s[1])
}

// digits4 reads four digits; s holds at least four bytes.
func digits4(s string) (int32, bool) {
	high, ok1 := digits2(s)
	low, ok2 := digits2(s[2:])
	return high*100 + low, ok1 && ok2
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isAlnum(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
