package symbol

import (
	"strings"
)

// State says what is known of a symbol in a program.
type State string

// The states.
const (
	Present     State = "present"
	NotObserved State = "not_observed"
	Unknown     State = "unknown"
)

// Query is what is looked for. The zero Query looks for nothing; it does not change while
// it is used.
type Query struct {
	wanted map[string]map[string][]int // by import path and symbol, "" for any
	n      int
}

// Add adds a symbol of a package, as golang/vulndb writes them: "Parse", or
// "Certificate.Verify" of a method, whether its receiver is a pointer or not. Without a symbol
// any function of the package will do. It returns the number of the symbol in what [Look] returns.
func (q *Query) Add(path, symbol string) int {
	if q.wanted == nil {
		q.wanted = map[string]map[string][]int{}
	}
	if q.wanted[path] == nil {
		q.wanted[path] = map[string][]int{}
	}
	q.wanted[path][symbol] = append(q.wanted[path][symbol], q.n)
	q.n++
	return q.n - 1
}

// Len is how many symbols were added.
func (q *Query) Len() int { return q.n }

// find returns the numbers that a function's name is one of: of its own, of what it is a
// closure in, and of its package.
func (q *Query) find(name string, found func(n int)) {
	path, rest := split(name)
	symbols := q.wanted[path]
	if symbols == nil {
		// A copy in a folder of another package is still the package. What the standard
		// library has a copy of is "vendor/...", with no "/" before it: that is its own.
		if i := strings.LastIndex(path, "/vendor/"); i >= 0 {
			symbols = q.wanted[path[i+len("/vendor/"):]]
		}
		if symbols == nil {
			return
		}
	}
	for _, n := range symbols[""] {
		found(n)
	}
	for rest = plain(rest); rest != ""; rest = enclosing(rest) {
		for _, n := range symbols[rest] {
			found(n)
		}
	}
}

// split parts the name of a function into the path of its package and the rest: the path
// ends at the first dot after its last slash. What a path may not have in a symbol is
// written as %xx (cmd/internal/objabi.PathToPrefix).
func split(name string) (path, rest string) {
	// A type argument may have slashes of its own.
	end := len(name)
	if i := strings.IndexByte(name, '['); i >= 0 {
		end = i
	}
	slash := strings.LastIndexByte(name[:end], '/') + 1
	dot := strings.IndexByte(name[slash:], '.')
	if dot < 0 {
		return "", name
	}
	return unescape(name[:slash+dot]), name[slash+dot+1:]
}

// unescape undoes %xx.
func unescape(path string) string {
	if strings.IndexByte(path, '%') < 0 {
		return path
	}
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if c := path[i]; c == '%' && i+2 < len(path) {
			hi, ok := digit(path[i+1])
			lo, ok2 := digit(path[i+2])
			if ok && ok2 {
				out = append(out, hi<<4|lo)
				i += 2
				continue
			}
		}
		out = append(out, path[i])
	}
	return string(out)
}

func digit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// plain writes "(*T[go.shape.int]).M" as "T.M".
func plain(name string) string {
	if !strings.ContainsAny(name, "[(*)") {
		return name
	}
	out := make([]byte, 0, len(name))
	depth := 0
	for i := range len(name) {
		switch c := name[i]; c {
		case '[':
			depth++
		case ']':
			depth = max(depth-1, 0)
		case '(', ')', '*':
		default:
			if depth == 0 {
				out = append(out, c)
			}
		}
	}
	return string(out)
}

// enclosing is the function that a closure, a method value or the like was made in: "F" of
// "F.func1", "F.func1.2", "T.M-fm", "F-range1", "F.gowrap1"; "" when it is none.
func enclosing(name string) string {
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		return name[:i]
	}
	i := strings.LastIndexByte(name, '.')
	if i <= 0 {
		return ""
	}
	last := strings.TrimRight(name[i+1:], "0123456789")
	switch last {
	case "", "func", "gowrap", "deferwrap", "init":
		return name[:i]
	}
	return ""
}
