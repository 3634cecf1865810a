package advisory

import (
	"slices"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/version"
)

// grammar says whose ranges are read: they differ in what a bare version means.
type grammar uint8

const (
	cargo grammar = iota // "1.2" is ^1.2, conditions are separated by commas
	node                 // "1.2" is 1.2.x, by spaces, alternatives by ||
)

// maxConditions bounds a range; the longest that is known has 23.
const maxConditions = 4096

// bound is one end of an interval of semantic versions.
type bound struct {
	version string // "" is without end
	closed  bool   // the version itself belongs to the interval
}

// interval is what lies between two bounds.
type interval struct{ low, high bound }

// semver is a version whose missing parts are known to be missing.
type semver struct {
	parts [3]uint64
	n     int // how many parts were written
	pre   string
}

// ranges reads alternatives, each of which is a list of conditions.
func ranges(alternatives []string, g grammar) ([]interval, error) {
	var out []interval
	for _, text := range alternatives {
		list := []string{text}
		if g == node {
			list = strings.Split(text, "||")
		}
		for _, conditions := range list {
			i, ok, err := conjunction(conditions, g)
			if err != nil {
				return nil, err
			}
			if ok {
				out = append(out, i)
			}
			if len(out) > maxConditions {
				return nil, fail(CodeTooLarge, "a range of more than %d parts", maxConditions)
			}
		}
	}
	return union(out), nil
}

// conjunction reads conditions that hold all together; ok is false when nothing can
// meet them.
func conjunction(text string, g grammar) (interval, bool, error) {
	all := interval{low: bound{closed: true}}
	if g == node {
		if low, high, ok := strings.Cut(text, " - "); ok {
			text = ">=" + low + " <=" + high
		}
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
	if len(words) > maxConditions {
		return all, false, fail(CodeTooLarge, "a range of more than %d conditions", maxConditions)
	}
	operator := ""
	for _, w := range words {
		rest := strings.TrimLeft(w, "<>=^~")
		operator += w[:len(w)-len(rest)]
		if rest == "" {
			continue // the version comes after a space
		}
		i, err := condition(operator, rest, g)
		if err != nil {
			return all, false, err
		}
		operator = ""
		if lower(i.low, all.low) > 0 {
			all.low = i.low
		}
		if upper(i.high, all.high) < 0 {
			all.high = i.high
		}
	}
	if operator != "" {
		return all, false, fail(CodeMalformed, "a range without a version: %.80q", text)
	}
	if all.low.version != "" && all.high.version != "" {
		n := order(all.low.version, all.high.version)
		if n > 0 || n == 0 && !(all.low.closed && all.high.closed) {
			return all, false, nil
		}
	}
	return all, true, nil
}

// condition reads one operator and version.
func condition(operator, text string, g grammar) (interval, error) {
	v, err := parseSemver(text)
	if err != nil {
		return interval{}, err
	}
	if operator == "" {
		operator = "^"
		if g == node {
			operator = "="
		}
	}
	if v.n == 0 {
		return interval{low: bound{closed: true}}, nil // "*"
	}
	first := bound{v.String(), true}
	switch operator {
	case ">=", "=>":
		return interval{low: first}, nil
	case "<":
		return interval{bound{closed: true}, bound{v.String(), false}}, nil
	case ">":
		if v.n < 3 {
			return interval{low: v.next(v.n)}, nil
		}
		return interval{low: bound{v.String(), false}}, nil
	case "<=", "=<":
		if v.n < 3 {
			return interval{bound{closed: true}, v.next(v.n).open()}, nil
		}
		return interval{bound{closed: true}, first}, nil
	case "=", "==":
		if v.n < 3 {
			return interval{first, v.next(v.n).open()}, nil
		}
		return interval{first, first}, nil
	case "~", "~>":
		return interval{first, v.next(min(v.n, 2)).open()}, nil
	case "^":
		// The first part that is not zero may not change; of those that were written.
		part := 1
		for part < v.n && v.parts[part-1] == 0 {
			part++
		}
		return interval{first, v.next(part).open()}, nil
	}
	return interval{}, fail(CodeMalformed, "a range with the operator %.20q", operator)
}

// next is the lowest version, prereleases included, after all that begin with the
// first n parts, of which there is one at least.
func (v semver) next(n int) bound {
	up := semver{n: 3, pre: "0"}
	copy(up.parts[:n], v.parts[:n])
	up.parts[n-1]++
	return bound{up.String(), true}
}

func (b bound) open() bound { return bound{b.version, false} }

func (v semver) String() string {
	s := strconv.FormatUint(v.parts[0], 10) + "." + strconv.FormatUint(v.parts[1], 10) + "." + strconv.FormatUint(v.parts[2], 10)
	if v.pre != "" {
		s += "-" + v.pre
	}
	return s
}

func parseSemver(text string) (semver, error) {
	var v semver
	bad := fail(CodeMalformed, "not a semantic version: %.80q", text)
	if len(text) > 200 {
		return v, bad
	}
	core, _, _ := strings.Cut(strings.TrimPrefix(text, "v"), "+")
	core, pre, _ := strings.Cut(core, "-")
	for i, part := range strings.Split(core, ".") {
		if part == "*" || part == "x" || part == "X" {
			return v, nil // what comes after it says nothing
		}
		if i > 2 {
			return v, bad
		}
		n, err := strconv.ParseUint(part, 10, 63)
		if err != nil || n == 1<<63-1 {
			return v, bad
		}
		v.parts[i], v.n = n, i+1
	}
	for part := range strings.SplitSeq(pre, ".") {
		if strings.Trim(part, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" || pre != "" && part == "" {
			return v, bad
		}
	}
	v.pre = pre
	return v, nil
}

// union sorts intervals and joins those that overlap or touch.
func union(list []interval) []interval {
	slices.SortFunc(list, func(a, b interval) int { return lower(a.low, b.low) })
	var out []interval
	for _, i := range list {
		if n := len(out); n > 0 && joins(out[n-1].high, i.low) {
			if upper(i.high, out[n-1].high) > 0 {
				out[n-1].high = i.high
			}
			continue
		}
		out = append(out, i)
	}
	return out
}

// complement returns what lies between sorted, disjoint intervals, and beside them.
func complement(list []interval) []interval {
	var out []interval
	low := bound{closed: true}
	for _, i := range list {
		if i.low.version != "" {
			out = append(out, interval{low, bound{i.low.version, !i.low.closed}})
		}
		if i.high.version == "" {
			return out
		}
		low = bound{i.high.version, !i.high.closed}
	}
	return append(out, interval{low: low})
}

// events writes intervals as OSV does. Its introduced belongs to the range; an open
// lower end becomes the version right after it.
func events(list []interval) []Event {
	var out []Event
	for _, i := range list {
		low := i.low.version
		switch {
		case low == "":
			low = "0"
		case !i.low.closed:
			low = successor(low)
		}
		out = append(out, Event{Introduced: low})
		switch {
		case i.high.version == "":
		case i.high.closed:
			out = append(out, Event{LastAffected: i.high.version})
		default:
			out = append(out, Event{Fixed: i.high.version})
		}
	}
	return out
}

// successor is the version right after one: of 1.2.3 that is 1.2.4-0, of 1.2.3-rc
// it is 1.2.3-rc.0.
func successor(text string) string {
	v, err := parseSemver(text)
	if err != nil {
		return text
	}
	if v.pre != "" {
		return text + ".0"
	}
	return v.next(3).version
}

// joins reports whether an interval that ends at high meets one that begins at low.
func joins(high, low bound) bool {
	if high.version == "" || low.version == "" {
		return true
	}
	n := order(low.version, high.version)
	return n < 0 || n == 0 && (high.closed || low.closed)
}

// lower orders lower ends: without end first, then closed before open.
func lower(a, b bound) int {
	switch {
	case a.version == "" && b.version == "":
		return 0
	case a.version == "":
		return -1
	case b.version == "":
		return 1
	}
	if n := order(a.version, b.version); n != 0 || a.closed == b.closed {
		return n
	}
	if a.closed {
		return -1
	}
	return 1
}

// upper orders upper ends: open before closed, without end last.
func upper(a, b bound) int {
	switch {
	case a.version == "" && b.version == "":
		return 0
	case a.version == "":
		return 1
	case b.version == "":
		return -1
	}
	if n := order(a.version, b.version); n != 0 || a.closed == b.closed {
		return n
	}
	if a.closed {
		return 1
	}
	return -1
}

// order compares versions that parseSemver let through, all of which compare.
func order(a, b string) int {
	n, err := version.SemVer.Compare(a, b)
	if err != nil {
		return strings.Compare(a, b)
	}
	return n
}
