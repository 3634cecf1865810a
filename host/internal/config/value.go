package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// fault is what is wrong with one value. The messages of a secret field never
// hold the value.
type fault struct {
	message string
	allowed string
	hint    string
	// item is the element of a list or map that is meant, as a path part; ""
	// when the value as a whole is.
	item string
}

// zero is the value of a field without a default.
func (f *field) zero() any {
	switch f.Type {
	case Int, Size:
		return int64(0)
	case Bool:
		return false
	case Float:
		return float64(0)
	case Duration:
		return time.Duration(0)
	case Strings:
		return []string{}
	case Map:
		return map[string]string{}
	default:
		if f.Secret {
			return Secret("")
		}
		return ""
	}
}

// fromText reads a value as the environment and declarations write it.
func (f *field) fromText(text string) (any, *fault) {
	switch f.Type {
	case Int:
		if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil {
			return f.value(n)
		}
		return nil, f.wrong(text, "is not a whole number")
	case Float:
		if x, err := parseFloat(strings.TrimSpace(text)); err == nil {
			return f.value(x)
		}
		return nil, f.wrong(text, "is not a number")
	case Bool:
		if b, err := strconv.ParseBool(strings.TrimSpace(text)); err == nil {
			return b, nil
		}
		return nil, f.wrong(text, "is neither true nor false")
	case Duration, Size:
		return f.value(strings.TrimSpace(text))
	case Strings:
		var items []any
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		return f.value(items)
	case Map:
		m := make(map[string]any)
		for item := range strings.SplitSeq(text, ",") {
			if strings.TrimSpace(item) == "" {
				continue
			}
			name, v, ok := strings.Cut(item, "=")
			if !ok {
				return nil, f.wrong(item, "is not a pair name=value")
			}
			m[strings.TrimSpace(name)] = strings.TrimSpace(v)
		}
		return f.value(m)
	default:
		return f.value(text)
	}
}

// value checks a decoded TOML value, or the Go value that a flag gave, and
// returns it in the Go type that the Type promises.
func (f *field) value(raw any) (any, *fault) {
	switch v := raw.(type) {
	case string:
		switch f.Type {
		case String:
			s, bad := f.text(v)
			if bad != nil {
				return nil, bad
			}
			if f.Secret {
				return Secret(s), nil
			}
			return s, nil
		case Strings:
			return f.list([]any{v})
		case Duration:
			d, err := parseDuration(v)
			if err != nil {
				return nil, f.wrong(v, "is not a duration")
			}
			return d, f.inRange(int64(d), v)
		case Size:
			n, err := parseSize(v)
			if err != nil {
				return nil, f.wrong(v, "is not a size")
			}
			return n, f.inRange(n, v)
		}
	case int:
		return f.value(int64(v))
	case int64:
		switch f.Type {
		case Int, Size:
			return v, f.inRange(v, strconv.FormatInt(v, 10))
		case Float:
			return f.value(float64(v))
		case Duration:
			return nil, f.wrong(raw, "has no unit")
		}
	case float64:
		if f.Type != Float {
			break
		}
		shown := strconv.FormatFloat(v, 'g', -1, 64)
		if math.IsNaN(v) || math.IsInf(v, 0) || f.flo != nil && v < *f.flo || f.fhi != nil && v > *f.fhi {
			return nil, f.wrong(bare(shown), "is out of range")
		}
		return v, nil
	case bool:
		if f.Type == Bool {
			return v, nil
		}
	case time.Duration:
		if f.Type == Duration {
			return v, f.inRange(int64(v), v.String())
		}
	case []string:
		return f.value(anySlice(v))
	case []any:
		if f.Type == Strings {
			return f.list(v)
		}
	case map[string]string:
		m := make(map[string]any, len(v))
		for k, s := range v {
			m[k] = s
		}
		return f.value(m)
	case map[string]any:
		if f.Type == Map {
			return f.table(v)
		}
	}
	return nil, f.wrong(raw, "is "+describe(raw))
}

// bare is text that a message shows without quotes.
type bare string

// wrong builds the fault "VALUE PROBLEM" with what is allowed.
func (f *field) wrong(raw any, problem string) *fault {
	out := &fault{message: problem, allowed: f.allowed()}
	if f.Secret {
		return out
	}
	switch v := raw.(type) {
	case bare:
		out.message = string(v) + " " + problem
	case string:
		out.message = quote(v) + " " + problem
		out.hint = didYouMean(nearest(v, f.Enum))
	case int64, float64, bool:
		out.message = fmt.Sprintf("%v %s", v, problem)
	}
	return out
}

// inRange checks a number against the bounds.
func (f *field) inRange(n int64, shown string) *fault {
	if f.lo != nil && n < *f.lo || f.hi != nil && n > *f.hi {
		return f.wrong(bare(shown), "is out of range")
	}
	return nil
}

// text checks one string, which is a value or an element of one.
func (f *field) text(s string) (string, *fault) {
	if !utf8.ValidString(s) {
		return "", f.wrong(nil, "is not valid UTF-8")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' || r == 0x7f }) {
		return "", f.wrong(nil, "holds control characters")
	}
	if s == "" && f.Type == String && f.Default == "" && f.Min == "" {
		return "", nil
	}
	if f.Type == String {
		if n := int64(len(s)); n < *f.lo || n > *f.hi {
			return "", f.wrong(nil, fmt.Sprintf("is %d bytes long", n))
		}
	}
	if len(f.Enum) > 0 && !slices.Contains(f.Enum, s) {
		return "", f.wrong(s, "is not known")
	}
	canonical, problem := f.Format.check(s)
	if problem != "" {
		return "", f.wrong(s, problem)
	}
	if f.Secret {
		if bad := checkReference(s); bad != "" {
			return "", f.wrong(nil, bad)
		}
	}
	return canonical, nil
}

// checkReference checks the form of a secret's reference, without its target.
func checkReference(s string) string {
	if path, ok := strings.CutPrefix(s, "file:"); ok && !strings.HasPrefix(path, "/") && !isWindowsPath(path) {
		return `refers to a file, and "file:" is not followed by an absolute path`
	}
	if name, ok := strings.CutPrefix(s, "env:"); ok && (name == "" || strings.ContainsAny(name, "= \t\n")) {
		return `refers to a variable, and "env:" is not followed by its name`
	}
	return ""
}

// isWindowsPath reports whether s begins with a drive, as C:\ or C:/.
func isWindowsPath(s string) bool {
	return len(s) > 2 && s[1] == ':' && (s[2] == '\\' || s[2] == '/')
}

func (f *field) list(items []any) (any, *fault) {
	if n := int64(len(items)); n < *f.lo || n > *f.hi {
		return nil, f.wrong(nil, fmt.Sprintf("has %d elements", n))
	}
	out := make([]string, 0, len(items))
	for i, item := range items {
		s, bad := f.element(item)
		if bad != nil {
			bad.item = strconv.Itoa(i)
			return nil, bad
		}
		out = append(out, s)
	}
	return out, nil
}

func (f *field) table(m map[string]any) (any, *fault) {
	if n := int64(len(m)); n < *f.lo || n > *f.hi {
		return nil, f.wrong(nil, fmt.Sprintf("has %d entries", n))
	}
	out := make(map[string]string, len(m))
	for _, name := range sortedKeys(m) {
		if name == "" || len(name) > 256 || !plainText(name) {
			return nil, &fault{message: "name " + quote(name) + " is empty, longer than 256 bytes or not plain text", item: name}
		}
		s, bad := f.element(m[name])
		if bad != nil {
			if _, nested := m[name].(map[string]any); nested {
				bad.hint = `a name with dots is written in quotes, as "a.b"`
			}
			bad.item = name
			return nil, bad
		}
		out[name] = s
	}
	return out, nil
}

func (f *field) element(item any) (string, *fault) {
	s, ok := item.(string)
	if !ok {
		return "", f.wrong(item, "is "+describe(item))
	}
	return f.text(s)
}

func anySlice(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}
