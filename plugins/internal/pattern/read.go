package pattern

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// reader turns YAML nodes into a File. Aliases are refused, so that a file is as
// large as it looks.
type reader struct{ file string }

func (r *reader) problem(n *yaml.Node, code, format string, args ...any) *Problem {
	return &Problem{r.file, n.Line, code, fmt.Sprintf(format, args...)}
}

// mapping calls visit for every key of a mapping.
func (r *reader) mapping(n *yaml.Node, visit func(key string, k, v *yaml.Node) *Problem) *Problem {
	if n.Kind != yaml.MappingNode {
		return r.problem(n, CodeValue, "want keys with values here")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode || v.Kind == yaml.AliasNode || v.Anchor != "" {
			return r.problem(k, CodeYAML, "anchors and aliases are not read")
		}
		if seen[k.Value] {
			return r.problem(k, CodeKey, "the key %s stands twice", k.Value)
		}
		seen[k.Value] = true
		if p := visit(k.Value, k, v); p != nil {
			return p
		}
	}
	return nil
}

// list calls visit for every element of a list.
func (r *reader) list(n *yaml.Node, visit func(*yaml.Node) *Problem) *Problem {
	if n.Kind != yaml.SequenceNode {
		return r.problem(n, CodeValue, "want a list here")
	}
	for _, e := range n.Content {
		if e.Kind == yaml.AliasNode {
			return r.problem(e, CodeYAML, "anchors and aliases are not read")
		}
		if p := visit(e); p != nil {
			return p
		}
	}
	return nil
}

func (r *reader) scalar(n *yaml.Node, into *string) *Problem {
	if n.Kind != yaml.ScalarNode {
		return r.problem(n, CodeValue, "want a text here")
	}
	*into = n.Value
	return nil
}

// strings reads a list of texts, or one text.
func (r *reader) strings(n *yaml.Node, into *[]string) *Problem {
	if n.Kind == yaml.ScalarNode {
		*into = []string{n.Value}
		return nil
	}
	return r.list(n, func(e *yaml.Node) *Problem {
		var s string
		p := r.scalar(e, &s)
		*into = append(*into, s)
		return p
	})
}

func (r *reader) unknown(k *yaml.Node, known ...string) *Problem {
	return r.problem(k, CodeKey, "there is no key %s here; there are %s", k.Value, strings.Join(known, ", "))
}

func (r *reader) document(n *yaml.Node, f *File) *Problem {
	p := r.mapping(n, func(key string, k, v *yaml.Node) *Problem {
		switch key {
		case "name":
			return r.scalar(v, &f.Name)
		case "description":
			return r.scalar(v, &f.Description)
		case "programs":
			return r.strings(v, &f.Programs)
		case "process":
			return r.scalar(v, &f.process)
		case "local":
			if v.Kind != yaml.ScalarNode || v.Value != "true" && v.Value != "false" {
				return r.problem(v, CodeValue, "local is true or false")
			}
			f.local = v.Value == "true"
			return nil
		case "strip_start":
			return r.strings(v, &f.start)
		case "strip_end":
			return r.strings(v, &f.end)
		case "prefix":
			if v.Kind == yaml.ScalarNode {
				f.heads = []text{{line: v.Line, value: v.Value}}
				return nil
			}
			return r.list(v, func(t *yaml.Node) *Problem {
				f.heads = append(f.heads, text{line: t.Line, value: t.Value})
				return r.scalar(t, new(string))
			})
		case "patterns":
			return r.list(v, func(e *yaml.Node) *Problem { return r.entry(e, &f.entries, false) })
		case "lines":
			return r.list(v, func(e *yaml.Node) *Problem { return r.entry(e, &f.lines, true) })
		case "examples":
			return r.examples(v, &f.examples)
		}
		return r.unknown(k, "name", "description", "programs", "process", "local", "strip_start", "strip_end", "prefix", "patterns", "lines", "examples")
	})
	switch {
	case p != nil:
		return p
	case f.Name == "":
		return r.problem(n, CodeNotThere, "the key name is missing")
	case len(f.Programs) == 0 && len(f.entries) > 0:
		return r.problem(n, CodeNotThere, "the key programs is missing: the names of the processes that write these messages")
	case len(f.entries)+len(f.lines) == 0:
		return r.problem(n, CodeNotThere, "there are neither patterns nor lines")
	}
	return nil
}

func (r *reader) entry(n *yaml.Node, into *[]entry, whole bool) *Problem {
	e := entry{line: n.Line}
	p := r.mapping(n, func(key string, k, v *yaml.Node) *Problem {
		switch {
		case key == "pattern":
			if v.Kind == yaml.ScalarNode {
				e.texts = []text{{line: v.Line, value: v.Value}}
				return nil
			}
			return r.list(v, func(t *yaml.Node) *Problem {
				e.texts = append(e.texts, text{line: t.Line, value: t.Value})
				return r.scalar(t, new(string))
			})
		case key == "set":
			return r.pairs(v, &e.set)
		case key == "guard":
			return r.strings(v, &e.guard)
		case key == "process" && whole:
			return r.scalar(v, &e.process)
		case key == "examples":
			return r.examples(v, &e.examples)
		}
		if whole {
			return r.unknown(k, "pattern", "set", "process", "guard", "examples")
		}
		return r.unknown(k, "pattern", "set", "guard", "examples")
	})
	if p == nil && len(e.texts) == 0 {
		return r.problem(n, CodeNotThere, "the key pattern is missing")
	}
	*into = append(*into, e)
	return p
}

// pairs reads fields and their values.
func (r *reader) pairs(n *yaml.Node, into *[][2]string) *Problem {
	return r.mapping(n, func(key string, k, v *yaml.Node) *Problem {
		if err := checkField(key, false); err != nil {
			return r.problem(k, CodeValue, "%v", err)
		}
		var s string
		p := r.scalar(v, &s)
		*into = append(*into, [2]string{key, s})
		return p
	})
}

func (r *reader) examples(n *yaml.Node, into *[]example) *Problem {
	return r.list(n, func(e *yaml.Node) *Problem {
		x := example{line: e.Line}
		has := false
		p := r.mapping(e, func(key string, k, v *yaml.Node) *Problem {
			switch key {
			case "line":
				has = true
				return r.scalar(v, &x.input)
			case "process":
				return r.scalar(v, &x.process)
			case "fields":
				return r.mapping(v, func(key string, _, v *yaml.Node) *Problem {
					var s string
					p := r.scalar(v, &s)
					x.fields = append(x.fields, [2]string{key, s})
					return p
				})
			}
			return r.unknown(k, "line", "process", "fields")
		})
		if p == nil && !has {
			return r.problem(e, CodeNotThere, "the key line is missing")
		}
		*into = append(*into, x)
		return p
	})
}

// compile compiles the patterns of a file and checks how they fit together.
func (r *reader) compile(f *File) *Problem {
	for i, name := range f.Programs {
		if _, err := parseGlob(name); err != nil {
			return &Problem{r.file, 1, CodeValue, fmt.Sprintf("program %d: %v", i+1, err)}
		}
	}
	taken := map[string]bool{}
	for _, name := range f.Programs {
		if g, _ := parseGlob(name); g.field != "" {
			taken[g.field] = true
		}
	}
	every := slices.Contains(f.Programs, "*")
	for i := range f.heads {
		h := &f.heads[i]
		prog, err := compile(h.value, false)
		switch {
		case err != nil:
			return &Problem{r.file, h.line, CodePattern, err.Error()}
		case prog.ops[len(prog.ops)-1].kind != opLiteral || every && len(prog.prefix()) < 3:
			return &Problem{r.file, h.line, CodePattern, "a prefix ends with text, and for every program it begins with at least 3 characters of text"}
		}
		h.prog = prog
	}
	for _, h := range f.heads {
		for _, name := range h.prog.names {
			taken[name] = true
		}
	}
	for whole, entries := range map[bool][]entry{false: f.entries, true: f.lines} {
		for i := range entries {
			if p := r.compileEntry(&entries[i], whole, every && len(f.heads) == 0, taken); p != nil {
				return p
			}
		}
	}
	for _, s := range f.start {
		if prog, err := compile(s, false); err != nil || prog.ops[0].kind != opLiteral ||
			len(prog.ops) > 1 && (len(prog.ops) != 3 || prog.ops[1].kind != opText || prog.ops[1].slot >= 0) {
			return &Problem{r.file, 1, CodePattern, fmt.Sprintf("strip_start %q: want a text, or text <_> text", s)}
		}
	}
	return nil
}

func (r *reader) compileEntry(e *entry, whole, every bool, taken map[string]bool) *Problem {
	for i := range e.texts {
		t := &e.texts[i]
		prog, err := compile(t.value, whole)
		if err != nil {
			return &Problem{r.file, t.line, CodePattern, err.Error()}
		}
		if every && len(prog.prefix()) < 3 && !whole {
			return &Problem{r.file, t.line, CodePattern, "a pattern for every program begins with at least 3 characters of text"}
		}
		if !whole && len(prog.needle()) < 2 {
			return &Problem{r.file, t.line, CodePattern, "a pattern holds at least 2 characters of text together that every message has"}
		}
		if name, twice := prog.collides(e, taken); twice {
			return &Problem{r.file, t.line, CodePattern, fmt.Sprintf("the field %s is set twice", name)}
		}
		for _, g := range e.guard {
			if prog.slot(g) < 0 {
				return &Problem{r.file, t.line, CodePattern, fmt.Sprintf("guard: the pattern has no field %s", g)}
			}
		}
		t.prog = prog
	}
	return nil
}

// collides returns a field that would be set twice, if there is one.
func (p *program) collides(e *entry, taken map[string]bool) (string, bool) {
	seen := maps.Clone(taken)
	var names []string
	for slot, name := range p.names {
		if p.kinds[slot] == opHost {
			names = append(names, name+"_ip", name+"_host")
		} else {
			names = append(names, name)
		}
	}
	for _, s := range e.set {
		names = append(names, s[0])
	}
	for _, name := range names {
		if seen[name] {
			return name, true
		}
		seen[name] = true
	}
	return "", false
}
