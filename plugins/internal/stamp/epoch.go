package stamp

import (
	"strconv"
	"time"
)

// Epoch reads a count since 1970 from decimal digits, with an optional
// fraction. The unit follows from the size: below 1e11 seconds, below 1e14
// milliseconds, below 1e17 microseconds, else nanoseconds. A fraction counts in
// that unit, down to nanoseconds. Exponents are read too, at the precision of
// a float.
func Epoch(text string) (time.Time, bool) {
	whole, fraction, n := uint64(0), uint64(0), 0
	for n < len(text) && isDigit(text[n]) {
		if n >= 19 {
			return time.Time{}, false
		}
		whole = whole*10 + uint64(text[n]-'0')
		n++
	}
	if n == 0 {
		return time.Time{}, false
	}
	// The fraction is kept as billionths of the unit.
	if n < len(text) && text[n] == '.' {
		n++
		scale := uint64(100_000_000)
		start := n
		for n < len(text) && isDigit(text[n]) {
			fraction += uint64(text[n]-'0') * scale
			scale /= 10
			n++
		}
		if n == start {
			return time.Time{}, false
		}
	}
	if n < len(text) {
		if text[n] != 'e' && text[n] != 'E' {
			return time.Time{}, false
		}
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || f < 0 || f >= 1e19 {
			return time.Time{}, false
		}
		whole = uint64(f)
		fraction = uint64((f - float64(whole)) * 1e9)
	}
	switch {
	case whole < 1e11:
		return epoch(whole, fraction, time.Second)
	case whole < 1e14:
		return epoch(whole, fraction, time.Millisecond)
	case whole < 1e17:
		return epoch(whole, fraction, time.Microsecond)
	}
	return epoch(whole, fraction, time.Nanosecond)
}

// Microseconds reads a count of microseconds since 1970, as journald writes it.
func Microseconds(text string) (time.Time, bool) {
	whole, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return time.Time{}, false
	}
	return epoch(whole, 0, time.Microsecond)
}

// epoch returns whole units and billionths of a unit after 1970.
func epoch(whole, billionths uint64, unit time.Duration) (time.Time, bool) {
	perSecond := uint64(time.Second / unit)
	seconds := whole / perSecond
	nanoseconds := (whole%perSecond)*uint64(unit) + billionths*uint64(unit)/1_000_000_000
	// 2262-01-01T00:00:00Z.
	if seconds >= 9214646400 {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), int64(nanoseconds)).UTC(), true
}
