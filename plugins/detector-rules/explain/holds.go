package explain

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// Holds reports whether a condition holds for an event. Which log source a rule is
// for is not part of its condition; see Event.Belongs.
func Holds(x *sigma.Expr, e *Event) bool {
	switch x.Op {
	case sigma.And:
		return !slices.ContainsFunc(x.Subs, func(s *sigma.Expr) bool { return !Holds(s, e) })
	case sigma.Or:
		return slices.ContainsFunc(x.Subs, func(s *sigma.Expr) bool { return Holds(s, e) })
	case sigma.Not:
		return !Holds(x.Subs[0], e)
	}
	return holds(x.Test, e)
}

// holds asks a test of an event.
func holds(t *sigma.Test, e *Event) bool {
	texts, null, present := e.values(t.Field)
	switch {
	case t.Kind == sigma.Exists:
		return present
	case t.Kind == sigma.IsNull:
		return !present || null
	case t.Field == "":
		texts = e.everything()
	}
	return slices.ContainsFunc(texts, func(text string) bool { return fits(t, text, e) })
}

// fits asks a test of a value.
func fits(t *sigma.Test, text string, e *Event) bool {
	switch t.Kind {
	case sigma.IsText:
		return fitsText(t.Text, text, t.Cased)
	case sigma.IsMatch:
		return t.Regexp.MatchString(text)
	case sigma.IsNumber:
		n, ok := number(text)
		return ok && compares(t.Comparison, n, t.Number)
	case sigma.IsTime:
		n, ok := partOfTime(text, t.Part)
		return ok && compares(t.Comparison, n, t.Number)
	case sigma.InNetwork:
		a, err := netip.ParseAddr(text)
		return err == nil && a.Zone() == "" && t.Network.Contains(a.Unmap())
	case sigma.IsField:
		others, _, _ := e.values(t.Other)
		return slices.ContainsFunc(others, func(other string) bool { return fitsText(beside(t.Comparison, other), text, t.Cased) })
	}
	return false
}

// beside is what a value must look like to compare with another field's.
func beside(c sigma.Comparison, other string) sigma.Text {
	many, text := sigma.Text{{Wild: sigma.Many}}, sigma.Text{{Text: other}}
	if other == "" {
		text = nil
	}
	switch c {
	case sigma.Contains:
		return many.Join(text).Join(many)
	case sigma.StartsWith:
		return text.Join(many)
	case sigma.EndsWith:
		return many.Join(text)
	}
	return text
}

// fitsText reports whether the whole of a value is what a text with wildcards
// means. Case counts only when cased.
func fitsText(t sigma.Text, value string, cased bool) bool {
	chars := characters(value)
	// reach has the places that can be come to: before each character, and the end.
	reach := make([]bool, len(chars)+1)
	reach[0] = true
	step := func(fits func(string) bool) {
		for i := len(chars); i > 0; i-- {
			reach[i] = reach[i-1] && fits(chars[i-1])
		}
		reach[0] = false
	}
	for _, p := range t {
		switch p.Wild {
		case sigma.Many:
			for i := range chars {
				reach[i+1] = reach[i+1] || reach[i]
			}
		case sigma.One:
			step(func(string) bool { return true })
		default:
			for _, want := range characters(p.Text) {
				step(func(c string) bool { return c == want || !cased && isSame(c, want) })
			}
		}
	}
	return reach[len(chars)]
}

// isSame compares characters without regard to case. A byte that is no UTF-8 is the
// same as itself alone.
func isSame(a, b string) bool {
	return utf8.ValidString(a) && utf8.ValidString(b) && strings.EqualFold(a, b)
}

// characters splits a text; a byte that is no UTF-8 stands alone.
func characters(s string) []string {
	out := make([]string, 0, len(s))
	for len(s) > 0 {
		_, n := utf8.DecodeRuneInString(s)
		out = append(out, s[:n])
		s = s[n:]
	}
	return out
}

func compares(c sigma.Comparison, x, y float64) bool {
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

// number reads a decimal number; words such as inf, and hexadecimal ones, are none.
func number(s string) (float64, bool) {
	if len(s) > 64 || strings.Trim(s, "0123456789.+-eE") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}

// partOfTime reads a part of a date of the form 2006-01-02, with a T or a blank and
// 15:04 behind it for the parts of a day, as it is written. Every month may have 31
// days.
func partOfTime(s string, part sigma.TimePart) (float64, bool) {
	s = strings.ToUpper(s)
	at := func(from, upto, low, high int) (int, bool) {
		if len(s) < upto || strings.Trim(s[from:upto], "0123456789") != "" {
			return 0, false
		}
		n, err := strconv.Atoi(s[from:upto])
		return n, err == nil && n >= low && n <= high
	}
	year, ok1 := at(0, 4, 0, 9999)
	month, ok2 := at(5, 7, 1, 12)
	day, ok3 := at(8, 10, 1, 31)
	if !ok1 || !ok2 || !ok3 || s[4] != '-' || s[7] != '-' {
		return 0, false
	}
	switch part {
	case sigma.Year:
		return float64(year), true
	case sigma.Month:
		return float64(month), true
	case sigma.Day:
		return float64(day), true
	case sigma.Week:
		_, week := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).ISOWeek()
		return float64(week), true
	}
	hour, ok1 := at(11, 13, 0, 23)
	minute, ok2 := at(14, 16, 0, 59)
	if !ok1 || !ok2 || s[10] != 'T' && s[10] != ' ' || s[13] != ':' {
		return 0, false
	}
	if part == sigma.Hour {
		return float64(hour), true
	}
	return float64(minute), true
}
