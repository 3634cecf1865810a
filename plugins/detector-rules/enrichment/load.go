package enrichment

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/domainlist"
	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/geo"
	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/iplist"
	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/lines"
	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/placeholder"
	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/table"
)

// errConflict is that two files claim one thing.
var errConflict = errors.New("it is claimed twice")

// loaded is what came of a file that is not in one of the indexes.
type loaded struct {
	database *geo.Database
	table    *table.Table
	values   placeholder.Values
}

// lists are the indexes, which all files of a kind share.
type lists struct {
	ips     *iplist.Index
	domains *domainlist.Index
}

// nameOf returns the name of a file without its suffix.
func nameOf(path string) string {
	base := filepath.Base(path)
	if name := strings.TrimSuffix(base, filepath.Ext(base)); name != "" {
		return name
	}
	return base
}

const maxListName = 64

// checkListName refuses what cannot be matched by its name with ease.
func checkListName(name string) error {
	if len(name) > maxListName || strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}) {
		return fmt.Errorf("a list has the name of its file, and %s is none of letters, digits, dots, hyphens and underlines, at most %d; rename it", lines.Quote([]byte(name)), maxListName)
	}
	return nil
}

// load reads the version of f that data is. What is in force stays as it is; what f
// would be and the lists with it are returned.
func (e *Enricher) load(f *file, data []byte) (Status, loaded, lists, error) {
	s, l, all := f.Status, loaded{}, e.lists
	s.Problem, s.LeftOut, s.Bytes, s.Entries = nil, 0, 0, 0
	var err error
	switch f.kind {
	case database:
		if e.count(database, f) == MaxDatabases {
			return s, l, all, fmt.Errorf("%w: there are %d databases already, which are asked one after the other; name fewer", errConflict, MaxDatabases)
		}
		if l.database, err = geo.Open(data); err == nil {
			s.Bytes = l.database.Bytes()
		}
	case ipList:
		if err = e.named(f); err != nil {
			break
		}
		var list *iplist.List
		if list, err = iplist.Parse(data); err == nil {
			all.ips, err = all.ips.With(f.Name, list)
			s.Entries, s.LeftOut = list.Entries.Right-list.Inner-list.Wide, list.Entries.Wrong+list.Inner+list.Wide
			leftOut(&s, list.Entries.First)
		}
	case domainList:
		if err = e.named(f); err != nil {
			break
		}
		var list *domainlist.List
		if list, err = domainlist.Parse(data); err == nil {
			all.domains, err = all.domains.With(f.Name, list)
			s.Entries, s.LeftOut = list.Entries.Right, list.Entries.Wrong
			leftOut(&s, list.Entries.First)
		}
	case lookupTable:
		if e.count(lookupTable, f) == MaxTables {
			return s, l, all, fmt.Errorf("%w: there are %d tables already, which are asked one after the other; join some", errConflict, MaxTables)
		}
		if l.table, err = parseTable(f.File, data); err == nil {
			s.Bytes, s.Entries = l.table.Bytes(), l.table.Len()
		}
	case placeholders:
		if l.values, err = parseValues(f.File, data); err == nil {
			s.Bytes = l.values.Bytes()
			for name, values := range l.values {
				s.Entries += len(values)
				if other := e.owner(name, f); other != nil {
					err = fmt.Errorf("%w: the placeholder %s stands in %s too; take out one", errConflict, name, other.File)
				}
			}
		}
	}
	if err == nil {
		if n := e.memory(f, all) + s.Bytes; n > int64(e.config.MaxMemory) {
			err = &sizeError{fmt.Sprintf("with it everything would take %d bytes, at most %d are allowed; raise max_list_memory, or name fewer files", n, e.config.MaxMemory)}
		}
	}
	return s, l, all, err
}

// leftOut says that a list is in force without its wrong lines.
func leftOut(s *Status, first *lines.Error) {
	if first != nil {
		s.Problem = problem(s.File, first)
		s.Problem.Code = CodeLeftOut
		s.Problem.Reason += "; the line is left out"
	}
}

// memory is what everything takes but f, whose list is in these lists.
func (e *Enricher) memory(f *file, all lists) int64 {
	n := all.ips.Bytes() + all.domains.Bytes()
	for _, other := range e.files {
		if other != f {
			n += other.Bytes
		}
	}
	return n
}

// count counts the files of a kind in force beside f.
func (e *Enricher) count(k kind, f *file) int {
	n := 0
	for _, other := range e.files {
		if other != f && other.kind == k && !other.Loaded.IsZero() {
			n++
		}
	}
	return n
}

// named checks the name of a list.
func (e *Enricher) named(f *file) error {
	for _, other := range e.files {
		if other != f && other.kind == f.kind && other.Name == f.Name && !other.Loaded.IsZero() {
			return fmt.Errorf("%w: a list has the name of its file, and %s is one of the same name; rename one", errConflict, other.File)
		}
	}
	return checkListName(f.Name)
}

// owner returns the file other than f that a placeholder in force is from.
func (e *Enricher) owner(name string, f *file) *file {
	for _, other := range e.files {
		if _, ok := other.loaded.values[name]; ok && other != f {
			return other
		}
	}
	return nil
}

func isYAML(path string) bool {
	ext := strings.ToLower(filepath.Ext(path))
	return ext == ".yaml" || ext == ".yml"
}

func parseTable(path string, data []byte) (*table.Table, error) {
	if isYAML(path) {
		return table.ParseYAML(data)
	}
	return table.ParseCSV(data)
}

func parseValues(path string, data []byte) (placeholder.Values, error) {
	if isYAML(path) {
		return placeholder.ParseYAML(data)
	}
	return placeholder.ParseLines(nameOf(path), data)
}
