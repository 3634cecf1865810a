package stamp

import (
	"math"
	"time"
)

// span is what one time of observation says about the stamps of a zone: the
// offset in force at the latest time that a stamp without a year may mean, and
// the year there. Finding them takes longer than reading a stamp, and they
// change a few times a year. A span is immutable.
type span struct {
	location *time.Location
	// start and end bound the stretch [start, end) of seconds since 1970 in
	// which the clocks of the location are offset seconds ahead of UTC.
	start, end, offset int64
	// year is that of the location's clocks in [from, until), a part of the
	// stretch.
	from, until int64
	year        int32
}

// spanAt returns the span of a location at the latest time that a stamp may
// mean.
func spanAt(location *time.Location, latest time.Time) span {
	local := latest.In(location)
	_, offset := local.Zone()
	s := span{location: location, start: math.MinInt64, end: math.MaxInt64, offset: int64(offset), year: int32(local.Year())}
	start, end := local.ZoneBounds()
	if !start.IsZero() {
		s.start = start.Unix()
	}
	if !end.IsZero() {
		s.end = end.Unix()
	}
	newYear := func(year int32) int64 {
		return time.Date(int(year), time.January, 1, 0, 0, 0, 0, time.UTC).Unix() - s.offset
	}
	s.from, s.until = max(s.start, newYear(s.year)), min(s.end, newYear(s.year+1))
	return s
}

// holds reports whether the span is also that of another latest time, in
// seconds since 1970.
func (s *span) holds(latest int64) bool { return s.from <= latest && latest < s.until }

// unix returns when the location's clocks show c, in seconds since 1970; the
// fields of c must be valid.
//
// It is what [time.Date] returns. That takes the offset in force at the reading
// itself taken as UTC, or else the one in force at the reading less that offset.
// Where both lie in the stretch, both have the stretch's offset; near a change
// of the clocks and beyond, time.Date itself decides.
func (s *span) unix(c clock) int64 {
	reading := c.reading()
	utc := reading - s.offset
	if s.start <= min(reading, utc) && max(reading, utc) < s.end {
		return utc
	}
	return c.in(s.location).Unix()
}

// daysBefore are the days of a common year before each month.
var daysBefore = [13]int32{0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334}

// reading returns the date and time as seconds since 1970 as though they were
// UTC; the fields must be valid.
func (c clock) reading() int64 { return int64(c.days())*86_400 + int64(c.second) }

// days returns the days since 1970 by the Gregorian rule: a leap year every 4
// years, but not every 100, but every 400; the fields must be valid.
func (d date) days() int32 {
	past := d.year - 1 // whole years since the year 1, which lies 719,162 days before 1970
	days := past*365 + past/4 - past/100 + past/400 - 719_162 + daysBefore[d.month] + d.day - 1
	if d.month > 2 && isLeap(d.year) {
		days++
	}
	return days
}

func isLeap(year int32) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }
