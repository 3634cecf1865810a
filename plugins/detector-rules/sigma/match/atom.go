package match

import (
	"net/netip"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// holds decides an atom that needles do not, once per event.
func (s *Scratch) holds(id int32) bool {
	switch s.atomState[id] {
	case s.epoch:
		return false
	case s.epoch | yes:
		return true
	}
	got := s.decide(&s.m.atoms[id])
	s.atomState[id] = s.state(got)
	return got
}

// decide asks a test of all values of its field.
func (s *Scratch) decide(a *atom) bool {
	if a.field == everything {
		for i := range s.values {
			if !s.values[i].null && s.fits(a, int32(i)) {
				return true
			}
		}
		return false
	}
	if s.fields[a.field].present != s.epoch {
		return a.kind == sigma.IsNull
	}
	if a.kind == sigma.Exists {
		return true
	}
	for i := s.fields[a.field].first; i >= 0; i = s.values[i].next {
		if null := s.values[i].null; null || a.kind == sigma.IsNull {
			if null && a.kind == sigma.IsNull {
				return true
			}
			continue
		}
		if s.fits(a, i) {
			return true
		}
	}
	return false
}

// fits asks a test of a value.
func (s *Scratch) fits(a *atom, number int32) bool {
	v := &s.values[number]
	switch a.kind {
	case sigma.IsText:
		if a.cased {
			return a.fits(v.text)
		}
		return a.fits(s.folded(number))
	case sigma.IsMatch:
		return s.mayMatch(a.more, number) && a.more.re.MatchString(v.text)
	case sigma.IsNumber:
		f, ok := sigma.ParseNumber(v.text)
		return ok && compare(a.more.comparison, f, a.more.number)
	case sigma.IsTime:
		n, ok := timePart(v.text, a.more.part)
		return ok && compare(a.more.comparison, float64(n), a.more.number)
	case sigma.InNetwork:
		return inNetwork(a.more.network, v.text)
	case sigma.IsField:
		return s.fitsField(a, number)
	}
	return false
}

// fitsField compares a value with those of another field.
func (s *Scratch) fitsField(a *atom, number int32) bool {
	if s.fields[a.more.other].present != s.epoch {
		return false
	}
	for i := s.fields[a.more.other].first; i >= 0; i = s.values[i].next {
		if s.values[i].null {
			continue
		}
		x, y := s.values[number].text, s.values[i].text
		if !a.cased {
			x, y = s.folded(number), s.folded(i)
		}
		var got bool
		switch a.more.comparison {
		case sigma.Contains:
			got = strings.Contains(x, y)
		case sigma.StartsWith:
			got = strings.HasPrefix(x, y)
		case sigma.EndsWith:
			got = strings.HasSuffix(x, y)
		default:
			got = x == y
		}
		if got {
			return true
		}
	}
	return false
}

func compare(c sigma.Comparison, x, y float64) bool {
	switch c {
	case sigma.Less:
		return x < y
	case sigma.LessEqual:
		return x <= y
	case sigma.Greater:
		return x > y
	case sigma.GreaterEqual:
		return x >= y
	}
	return x == y
}

// inNetwork reports whether a text is an address of a network. A mapped IPv4
// address is an IPv4 one.
func inNetwork(network netip.Prefix, text string) bool {
	if !mayBeAddress(text) {
		return false
	}
	addr, err := netip.ParseAddr(text)
	return err == nil && network.Contains(addr.Unmap())
}

// mayBeAddress tells most texts apart that are no addresses, because the error of
// ParseAddr is an allocation. Zones are no part of a network.
func mayBeAddress(text string) bool {
	if len(text) < 2 || len(text) > 45 {
		return false
	}
	dots, colons := 0, 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '.':
			dots++
		case c == ':':
			colons++
		case c >= '0' && c <= '9':
		case c|0x20 < 'a', c|0x20 > 'f':
			return false
		}
	}
	return dots == 3 || colons >= 2
}

// timePart reads a part of a date of the form 2006-01-02, with a T or a blank and
// 15:04 behind it for parts of the day. What follows is not looked at: the date is
// taken as it is written.
func timePart(s string, part sigma.TimePart) (n int, ok bool) {
	if len(s) < 10 || s[4] != '-' || s[7] != '-' {
		return 0, false
	}
	year, ok1 := digits(s[:4])
	month, ok2 := digits(s[5:7])
	day, ok3 := digits(s[8:10])
	if !ok1 || !ok2 || !ok3 || month < 1 || month > 12 || day < 1 || day > 31 {
		return 0, false
	}
	switch part {
	case sigma.Year:
		return year, true
	case sigma.Month:
		return month, true
	case sigma.Day:
		return day, true
	case sigma.Week:
		_, week := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).ISOWeek()
		return week, true
	}
	if len(s) < 16 || s[10] != 'T' && s[10] != 't' && s[10] != ' ' || s[13] != ':' {
		return 0, false
	}
	hour, ok1 := digits(s[11:13])
	minute, ok2 := digits(s[14:16])
	if !ok1 || !ok2 || hour > 23 || minute > 59 {
		return 0, false
	}
	if part == sigma.Hour {
		return hour, true
	}
	return minute, true
}

func digits(s string) (n int, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + int(s[i]-'0')
	}
	return n, true
}
