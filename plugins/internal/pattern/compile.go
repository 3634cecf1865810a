package pattern

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/sdk/event"
)

// Compile makes a set of files. Of two files of one name the first counts, and
// for one program the patterns of the first file are tried first, so that users'
// files stand before those that are built in. The problem, nil when there is
// none, names the first pattern that is one too many.
func Compile(files ...*File) (*Set, *Problem) {
	s := &Set{programs: map[string]*origin{}}
	taken := map[string]bool{}
	var kept []*File
	for _, f := range files {
		if !taken[f.Name] {
			taken[f.Name] = true
			kept = append(kept, f)
		}
	}
	for _, f := range kept {
		for _, name := range f.Programs {
			if name == "*" {
				continue
			}
			g, _ := parseGlob(name) // Load checked it
			if g.isExact() {
				if s.programs[name] == nil {
					s.programs[name] = &origin{}
				}
			} else if s.glob(g) == nil {
				g.origin = &origin{}
				if g.suffix != "" {
					g.last = g.suffix[len(g.suffix)-1]
				}
				s.globs = append(s.globs, g)
			}
		}
	}
	for _, f := range kept {
		if p := s.add(f); p != nil {
			return nil, p
		}
	}
	for name, o := range s.programs {
		key := keyOf(name)
		if n := &s.table[slotOf(key)]; n.origin != nil {
			n.shared = true
		} else {
			n.name, n.key, n.origin = name, key, o
		}
	}
	s.first()
	// The longer name is the more exact one.
	slices.SortStableFunc(s.globs, func(a, b glob) int {
		return len(b.prefix) + len(b.suffix) - len(a.prefix) - len(a.suffix)
	})
	return s, nil
}

// first finds out with what the messages of every program, and the names that a
// glob fits, may begin or end.
func (s *Set) first() {
	for i := range s.any {
		c := &s.any[i]
		for b := range 256 {
			head := len(c.heads) > 0 && (c.head == 0 || c.head == byte(b))
			stripped := len(c.stripped)+len(c.stripPattern) > 0
			if head || stripped || len(c.heads) == 0 && c.first[b] != 0 {
				s.anyFirst[b] = true
			}
		}
	}
	for _, g := range s.globs {
		switch {
		case g.prefix != "":
			s.globFirst[g.prefix[0]] = true
		case g.suffix != "":
			s.globLast[g.last] = true
		default:
			for b := range 256 {
				s.globFirst[b] = true
			}
		}
	}
}

// glob returns the entry of a glob, nil when there is none.
func (s *Set) glob(g glob) *glob {
	for i := range s.globs {
		if s.globs[i].prefix == g.prefix && s.globs[i].suffix == g.suffix && s.globs[i].field == g.field {
			return &s.globs[i]
		}
	}
	return nil
}

// add adds the patterns of a file to its programs.
func (s *Set) add(f *File) *Problem {
	s.count += f.Patterns()
	for _, e := range f.lines {
		for i := range e.texts {
			s.lines = append(s.lines, newLine(f, &e, &e.texts[i]))
		}
	}
	if len(f.entries) == 0 {
		return nil
	}
	c, problem := newSection(f)
	if problem != nil {
		return problem
	}
	for _, name := range f.Programs {
		if name == "*" {
			s.any = append(s.any, c)
			continue
		}
		g, _ := parseGlob(name)
		if g.isExact() {
			own := c
			if own.process == name {
				own.process = "" // it has that name already
			}
			s.programs[name].add(own, f.local)
			continue
		}
		s.glob(g).origin.add(c, f.local)
		for exact, o := range s.programs {
			if _, ok := g.match(exact); ok && !slices.Contains(f.Programs, exact) {
				o.add(c, f.local)
			}
		}
	}
	return nil
}

func (o *origin) add(c section, local bool) {
	o.sections = append(o.sections, c)
	o.local = o.local || local
}

// newSection compiles the patterns of a file for its programs.
func newSection(f *File) (section, *Problem) {
	c := section{process: f.process, ending: f.end}
	for _, s := range f.start {
		prog, _ := compile(s, false) // Load checked it
		if len(prog.ops) == 1 {
			c.stripped = append(c.stripped, prog.ops[0].lit)
		} else {
			c.stripPattern = append(c.stripPattern, prog)
		}
	}
	for i := range f.heads {
		c.heads = append(c.heads, newPattern(f, &entry{}, &f.heads[i]))
	}
	for i, h := range c.heads {
		switch {
		case h.lit == "":
			c.head = 0
		case i == 0:
			c.head = h.lit[0]
		case c.head != h.lit[0]:
			c.head = 0
		}
	}
	if len(c.heads) > 0 && cacheable(c.heads) {
		c.cache = new(headCache)
	}
	var all []*pattern
	for i := range f.entries {
		for j := range f.entries[i].texts {
			all = append(all, newPattern(f, &f.entries[i], &f.entries[i].texts[j]))
		}
	}
	var problem *Problem
	c.dispatch, problem = newDispatch(f, all)
	return c, problem
}

func newPattern(f *File, e *entry, t *text) *pattern {
	p := &pattern{program: *t.prog, lit: t.prog.prefix(), file: f.Path, line: t.line, kept: len(e.guard) > 0}
	if p.lit == "" {
		p.within = t.prog.needle()
	}
	for _, s := range e.set {
		p.set = append(p.set, event.Field{Key: s[0], Value: s[1]})
	}
	p.hosts = make([]host, len(p.names))
	for slot, name := range p.names {
		switch p.kinds[slot] {
		case opHost:
			p.hosts[slot] = host{name + "_ip", name + "_host"}
			p.guard |= 1 << slot
		case opAddress:
			p.guard |= 1 << slot
		case opPort:
			p.guard |= 1 << slot
			p.ports |= 1 << slot
		default:
			p.texts |= 1 << slot
		}
		if slices.Contains(e.guard, name) {
			p.guard |= 1 << slot
		}
	}
	p.members = slices.ContainsFunc(p.set, func(f event.Field) bool { return f.Key == "process" || f.Key == "pid" }) ||
		p.slot("process") >= 0 || p.slot("pid") >= 0
	p.both = p.guard != 0 && !p.isUnique()
	texts, ok := p.anchorsOf(p.guard)
	p.anchored = ok
	for _, text := range texts {
		p.anchors = append(p.anchors, newLiteral(text))
	}
	return p
}

// isUnique reports whether no message can have two readings. That is so when
// one text at most has its end told by what follows it, and what follows cannot
// come once more inside of what the pattern wants after the text.
func (p *program) isUnique() bool {
	floating := -1
	for i := range p.ops {
		o := &p.ops[i]
		if !o.isFree() || len(o.stops) == 0 {
			continue
		}
		if !o.isChoice() {
			continue
		}
		if floating >= 0 {
			return false
		}
		floating = i
	}
	if floating < 0 {
		return true
	}
	if p.ops[floating].end || p.ops[floating].greedy {
		return false
	}
	// What follows the text once more would need as many blanks again.
	blanks := 0
	if len(p.ops[floating].stops) == 1 {
		for i := floating + 1; i < len(p.ops); i++ {
			switch o := &p.ops[i]; o.kind {
			case opLiteral:
				blanks += strings.Count(o.lit, " ")
			case opOpen:
				i = o.skip - 1
			}
		}
	}
	for _, stop := range p.ops[floating].stops {
		if stop[0] != ' ' {
			return false
		}
		for i := floating + 1; i < len(p.ops); i++ {
			switch o := &p.ops[i]; {
			case o.kind == opText || o.kind == opTime || o.kind == opBlank:
				return false
			case o.kind == opLiteral && p.comesAgain(i, stop, i == floating+1, blanks):
				return false
			}
		}
	}
	return true
}

// comesAgain reports whether a text that begins with a blank can begin inside of
// a literal, of which it may itself be the start, with so many blanks from there
// to the end. Only literals hold blanks.
func (p *program) comesAgain(op int, text string, first bool, blanks int) bool {
	lit, after := p.ops[op].lit, 0
	for _, o := range p.ops[op+1:] {
		after += strings.Count(o.lit, " ")
	}
	for at := range len(lit) {
		if lit[at] != ' ' || strings.Count(lit[at:], " ")+after < blanks || at == 0 && first && lit == text {
			continue
		}
		n := min(len(text), len(lit)-at)
		if lit[at:at+n] == text[:n] && (n == len(text) || p.mayBegin(op+1, text[n:])) {
			return true
		}
	}
	return false
}

// mayBegin reports whether what an op reads may begin with the start of a text.
func (p *program) mayBegin(op int, text string) bool {
	if op == len(p.ops) {
		return false
	}
	switch p.ops[op].kind {
	case opAddress: // of two characters at least
		return isAddressByte(text[0]) && (len(text) == 1 || isAddressByte(text[1]))
	case opPort:
		return isDigit(text[0])
	case opNumber:
		return isDigit(text[0]) || text[0] == '-'
	case opWord, opHost:
		// Its blank would be that of what follows the word.
		blank := strings.IndexByte(text, ' ')
		return blank < 0 || p.mayBegin(op+1, text[blank:])
	case opLiteral:
		n := min(len(text), len(p.ops[op].lit))
		return p.ops[op].lit[:n] == text[:n] && (n == len(text) || p.mayBegin(op+1, text[n:]))
	}
	return true
}

// isAddressByte reports whether an address may hold a byte.
func isAddressByte(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' || c == ':' || c == '.' || c == '%'
}

// parseGlob reads the name of a program: one star in it stands for any text,
// and so does <field>, which keeps it.
func parseGlob(name string) (glob, error) {
	switch open, star := strings.IndexByte(name, '<'), strings.IndexByte(name, '*'); {
	case name == "":
		return glob{}, fmt.Errorf("the name is empty")
	case open >= 0:
		end := strings.IndexByte(name, '>')
		if end < open || star >= 0 || strings.Count(name, "<") > 1 || strings.Count(name, ">") > 1 {
			return glob{}, fmt.Errorf("%q: want at most one star or one <field>", name)
		}
		if err := checkField(name[open+1:end], false); err != nil {
			return glob{}, err
		}
		return glob{prefix: name[:open], suffix: name[end+1:], field: name[open+1 : end], star: true}, nil
	case star >= 0:
		if strings.Count(name, "*") > 1 {
			return glob{}, fmt.Errorf("%q: want at most one star or one <field>", name)
		}
		return glob{prefix: name[:star], suffix: name[star+1:], star: true}, nil
	}
	return glob{prefix: name}, nil
}

// isExact reports whether the glob stands for one name alone.
func (g *glob) isExact() bool { return !g.star }
