package pattern

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// captured finds the captures of a pattern as written: name, ? or +, type.
var captured = regexp.MustCompile(`<([A-Za-z][A-Za-z0-9_.]*)[?+]?(?::([a-z]+))?>`)

// escaped is a backslash with the character that it makes mean itself.
var escaped = regexp.MustCompile(`\\.`)

// Fields returns the names of the fields that the patterns of files can set, sorted.
func Fields(files ...*File) []string {
	names := map[string]bool{"ambiguous": true, "extract_defect": true, "program": true, "repeat_count": true}
	add := func(name, kind string) {
		if kind == "host" {
			names[name+"_ip"], names[name+"_host"] = true, true
		} else if name != "_" {
			names[name] = true
		}
	}
	for _, f := range files {
		for _, program := range f.Programs {
			for _, m := range captured.FindAllStringSubmatch(program, -1) {
				add(m[1], m[2])
			}
		}
		texts := slices.Clone(f.heads)
		for _, e := range slices.Concat(f.entries, f.lines) {
			texts = append(texts, e.texts...)
			for _, field := range e.set {
				names[field[0]] = true
			}
		}
		for _, t := range texts {
			for _, m := range captured.FindAllStringSubmatch(escaped.ReplaceAllString(t.value, ""), -1) {
				add(m[1], m[2])
			}
		}
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(names)), func(name string) bool { return strings.HasPrefix(name, "_") })
}
