package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// HostOwner is the owner of the host's own sections.
const HostOwner = "host"

// OriginKind says where a value came from.
type OriginKind string

// The origins, weakest first.
const (
	FromDefault OriginKind = "default"
	FromFile    OriginKind = "file"
	FromEnv     OriginKind = "env"
	FromFlag    OriginKind = "flag"
)

// rank orders problems for the reader: the file first, in the order of its
// lines, then the environment, the flags, and last what was never written down.
func (k OriginKind) rank() int {
	return slices.Index([]OriginKind{FromFile, FromEnv, FromFlag, FromDefault}, k)
}

// Origin is the place a value was given at.
type Origin struct {
	Kind OriginKind `json:"origin"`
	// File is the path as it was given to Load; set when Kind is FromFile.
	File string `json:"file,omitempty"`
	// Line counts from 1; 0 when the file as a whole is meant.
	Line int `json:"line,omitempty"`
	// Name is the variable or the flag, as IRONPOST_BUS_CREDITS or --data-dir.
	Name string `json:"name,omitempty"`
}

// String gives "default", "FILE:LINE", "env NAME" or "flag NAME".
func (o Origin) String() string {
	switch o.Kind {
	case FromFile:
		if o.Line == 0 {
			return o.File
		}
		return o.File + ":" + strconv.Itoa(o.Line)
	case FromEnv, FromFlag:
		return string(o.Kind) + " " + o.Name
	default:
		return string(FromDefault)
	}
}

// Problem is one thing that is wrong with the configuration. It is an error.
type Problem struct {
	Origin
	// Key is the full key, as bus.credits, or the section; "" when the
	// problem is with the file as a whole.
	Key string `json:"key"`
	// Owner is HostOwner, the plugin whose section it is, or "" when nobody
	// owns the section or variable.
	Owner string `json:"owner"`
	// Message is what is wrong. It never holds the value of a secret.
	Message string `json:"problem"`
	// Allowed is what may stand there instead; "" when there is no such list.
	Allowed string `json:"allowed,omitempty"`
	// Hint is the nearest thing that would be right, or the way to mend it.
	Hint string `json:"hint,omitempty"`
	// Warning is true for what is reported and stops nothing unless the
	// configuration is read strictly.
	Warning bool `json:"warning"`
	// Err is the cause, when there is one below this package.
	Err error `json:"-"`
}

// Error gives one line: where, key, what is wrong, what is allowed, the hint.
func (p Problem) Error() string {
	var b strings.Builder
	if p.Kind != FromDefault && p.Kind != "" {
		b.WriteString(p.Origin.String())
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key)
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	if p.Allowed != "" {
		b.WriteString("; allowed: ")
		b.WriteString(p.Allowed)
	}
	if p.Hint != "" {
		b.WriteString("; ")
		b.WriteString(p.Hint)
	}
	return b.String()
}

// Unwrap returns the cause, or nil.
func (p Problem) Unwrap() error { return p.Err }

// Problems are all problems of one Load in the order of file lines, then
// variables, then flags. As an error it prints one problem a line, and
// errors.As finds the first Problem in it.
type Problems []Problem

// Error joins the problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the single problems.
func (ps Problems) Unwrap() []error {
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errs
}

// Errors returns the problems that are not warnings.
func (ps Problems) Errors() Problems {
	return ps.filter(func(p Problem) bool { return !p.Warning })
}

// Warnings returns the problems that stop nothing.
func (ps Problems) Warnings() Problems {
	return ps.filter(func(p Problem) bool { return p.Warning })
}

// Of returns the problems, without warnings, in the sections of owner.
func (ps Problems) Of(owner string) Problems {
	return ps.filter(func(p Problem) bool { return !p.Warning && p.Owner == owner })
}

// filter returns nil rather than an empty list, so that callers may compare
// with nil before they use the result as an error.
func (ps Problems) filter(keep func(Problem) bool) Problems {
	var out Problems
	for _, p := range ps {
		if keep(p) {
			out = append(out, p)
		}
	}
	return out
}

// maxProblems bounds what one Load collects: a file of a megabyte can hold
// hundreds of thousands of wrong keys, and nobody reads past the first page.
const maxProblems = 200

// collector gathers problems within maxProblems. What does not fit is counted
// per owner, so that a plugin's last problem can not be lost behind others and
// leave the plugin running on a section that was refused.
type collector struct {
	list    Problems
	dropped map[dropKey]int
}

// dropKey is what must survive of a problem that is not kept in full.
type dropKey struct {
	owner   string
	warning bool
}

func (c *collector) add(p Problem) {
	if len(c.list) < maxProblems {
		c.list = append(c.list, p)
		return
	}
	if c.dropped == nil {
		c.dropped = make(map[dropKey]int)
	}
	c.dropped[dropKey{p.Owner, p.Warning}]++
}

// full reports whether another problem would only be counted; callers use it
// to skip the search for a suggestion.
func (c *collector) full() bool { return len(c.list) >= maxProblems }

// sorted returns the problems in their final order.
func (c *collector) sorted() Problems {
	if len(c.list) == 0 {
		return nil
	}
	out := slices.Clone(c.list)
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.Kind.rank(), b.Kind.rank()),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Key, b.Key),
			cmp.Compare(a.Message, b.Message),
		)
	})
	var rest Problems
	for k, n := range c.dropped {
		rest = append(rest, Problem{
			Origin: Origin{Kind: FromDefault}, Owner: k.owner, Warning: k.warning,
			Message: fmt.Sprintf("%d more problems%s are not shown", n, ownerSuffix(k.owner)),
		})
	}
	slices.SortFunc(rest, func(a, b Problem) int { return cmp.Compare(a.Message, b.Message) })
	return append(out, rest...)
}

func ownerSuffix(owner string) string {
	if owner == "" {
		return ""
	}
	return " of " + owner
}
