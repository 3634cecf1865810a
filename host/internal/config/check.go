package config

import (
	"cmp"
	"slices"
	"strings"
)

// UnknownSection is a section of the file that nobody declared.
type UnknownSection struct {
	Name string `json:"name"`
	File string `json:"file"`
	Line int    `json:"line"`
	// Nearest is the known section that was most likely meant, or "".
	Nearest string `json:"nearest,omitempty"`
}

// checkDocument holds the file against the schema and adds every good value to
// layer, by path.
func (l *loader) checkDocument(doc *document, layer map[string]any) {
	for _, name := range byLine(doc, "", doc.table) {
		s := l.schema.byName[name]
		table, isTable := doc.table[name].(map[string]any)
		switch {
		case s == nil && !isTable && !isTables(doc.table[name]):
			l.strayKey(doc, name)
		case s == nil:
			l.unknownSection(doc, name)
		case s.Unread:
		case !isTable:
			l.problems.add(Problem{
				Origin: doc.origin(name), Key: name, Owner: s.Owner,
				Message: "this is a section, and the file has " + describe(doc.table[name]) + " of that name",
				Allowed: "[" + name + "] once, with its keys below it",
			})
		default:
			l.checkTable(doc, s, name, table, layer)
		}
	}
}

// isTables reports whether v is a list of tables, which [[name]] makes.
func isTables(v any) bool {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return false
	}
	_, ok = list[0].(map[string]any)
	return ok
}

// strayKey reports a key above the first section.
func (l *loader) strayKey(doc *document, name string) {
	p := Problem{
		Origin: doc.origin(name), Key: printable(name), Owner: HostOwner,
		Message: "this key stands outside of any section",
	}
	if home := l.sectionOf(name); home != "" {
		p.Hint = "it belongs below [" + home + "]"
	}
	l.problems.add(p)
}

// sectionOf returns the host's section that has a key of that name, or "".
func (l *loader) sectionOf(key string) string {
	for _, s := range l.schema.sections {
		if s.Owner == HostOwner && s.byPath[joinPath(s.Name, key)] != nil {
			return s.Name
		}
	}
	return ""
}

func (l *loader) unknownSection(doc *document, name string) {
	u := UnknownSection{Name: printable(name), File: doc.name, Line: doc.line(name)}
	p := Problem{
		Origin: doc.origin(name), Key: printable(name), Warning: true,
		Message: "no plugin owns this section and it is not the host's",
	}
	if !l.problems.full() {
		u.Nearest = nearest(name, l.schema.names())
		if u.Nearest != "" {
			p.Hint = "did you mean [" + u.Nearest + "]?"
		}
		l.unknown = append(l.unknown, u)
	}
	l.problems.add(p)
}

// checkTable checks the table at path, which is the section or a table in it.
func (l *loader) checkTable(doc *document, s *section, path string, table map[string]any, layer map[string]any) {
	for _, name := range byLine(doc, path, table) {
		at := joinPath(path, name)
		raw := table[name]
		if f := s.byPath[at]; f != nil {
			v, bad := f.value(raw)
			if bad != nil {
				place := at
				if bad.item != "" {
					place = joinPath(at, bad.item)
				}
				l.problems.add(f.problem(doc.origin(place), bad))
				continue
			}
			layer[at], l.origins[at] = v, doc.origin(at)
			continue
		}
		if s.tables[at] {
			inner, ok := raw.(map[string]any)
			if ok {
				l.checkTable(doc, s, at, inner, layer)
				continue
			}
			l.problems.add(Problem{
				Origin: doc.origin(at), Key: shownPath(at), Owner: s.Owner,
				Message: "is " + describe(raw), Allowed: "a table with the keys " + strings.Join(s.keys(at), ", "),
			})
			continue
		}
		l.unknownKey(doc, s, path, name)
	}
}

func (l *loader) unknownKey(doc *document, s *section, path, name string) {
	at := joinPath(path, name)
	p := Problem{Origin: doc.origin(at), Key: shownPath(at), Owner: s.Owner, Message: "unknown key"}
	if !l.problems.full() {
		keys := s.keys(path)
		const shown = 24
		switch {
		case len(keys) == 0:
			p.Allowed = "no key at all"
		case len(keys) > shown:
			p.Allowed = strings.Join(keys[:shown], ", ") + ", ..."
		default:
			p.Allowed = strings.Join(keys, ", ")
		}
		p.Hint = didYouMean(nearest(name, keys))
		if home := l.sectionOf(name); p.Hint == "" && s.Owner == HostOwner && home != "" {
			p.Hint = "it belongs below [" + home + "]"
		}
	}
	l.problems.add(p)
}

// shownPath writes a path as a person would, with the parts quoted that need it.
func shownPath(path string) string {
	parts := strings.Split(path, delim)
	for i := range parts {
		parts[i] = printable(parts[i])
	}
	return strings.Join(parts, ".")
}

// byLine returns the keys of a table in the order of the file.
func byLine[V any](doc *document, path string, table map[string]V) []string {
	names := sortedKeys(table)
	at := func(name string) int {
		if path == "" {
			return doc.line(name)
		}
		return doc.line(joinPath(path, name))
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(at(a), at(b)) })
	return names
}
