package match

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// table finds, in events that rules of some log sources cover, the needles of all
// these rules: each value is looked at once, however many sources there are.
type table struct {
	// local has by field the number of its index, 0 when nothing is asked of it:
	// what is asked of events of other kinds costs nothing.
	local []int32
	index []fieldIndex
	// anchored has the needles that lie at an end of a value.
	anchored anchors
	needles  []needle
	// postings are the rules that needles, and the presence of fields, nominate.
	postings []int32
}

// filing is a text at a place of a field, or the field at all, under which rules of
// a source are filed, or which decides an atom, or both.
type filing struct {
	witness
	// atom is the atom that it decides, nothing if it is only a hint.
	atom  int32
	rules []int32
}

// tableBuilder makes a table.
type tableBuilder struct {
	*table
	// inner are the needles that the grams of each index are to be made of.
	inner [][]int32
}

// newTable makes the table of some sources.
func (m *Matcher) newTable(sources []int32) *table {
	b := &tableBuilder{table: &table{local: make([]int32, len(m.fields.texts)), index: make([]fieldIndex, 1)}}
	filings := m.merge(sources)
	for i := range filings {
		if at := &b.local[filings[i].field]; *at == 0 {
			*at = int32(len(b.index))
			b.index = append(b.index, fieldIndex{})
		}
	}
	b.inner = make([][]int32, len(b.index))
	b.number(filings)
	for i := range b.index {
		b.finish(int32(i))
	}
	return b.table
}

// merge returns the filings of some sources, each witness once, in a fixed order.
func (m *Matcher) merge(sources []int32) []filing {
	var all []filing
	for _, source := range sources {
		all = append(all, m.filings[source]...)
	}
	slices.SortStableFunc(all, func(a, b filing) int { return compareWitnesses(a.witness, b.witness) })
	merged := all[:0]
	for _, f := range all {
		if n := len(merged); n > 0 && merged[n-1].witness == f.witness {
			last := &merged[n-1]
			last.atom = max(last.atom, f.atom)
			last.rules = append(slices.Clip(last.rules), f.rules...)
			continue
		}
		merged = append(merged, f)
	}
	return merged
}

func compareWitnesses(a, b witness) int {
	return cmp.Or(cmp.Compare(a.field, b.field), cmp.Compare(a.where, b.where), cmp.Compare(a.text, b.text))
}

// number numbers the needles, so that those that lie at an end of a value and have
// the same hash follow each other, and enters them.
func (b *tableBuilder) number(filings []filing) {
	type hashed struct {
		filing
		hash uint64
	}
	list := make([]hashed, 0, len(filings))
	for _, f := range filings {
		h := hashed{filing: f}
		switch index := b.local[f.field]; f.where {
		case anything:
			at := &b.index[index]
			at.from, at.upto = b.post(f.rules)
			at.witnesses = true
			continue
		case prefix:
			h.hash = hashPiece(index, f.where, f.text[:1<<pieceOf(f.text)])
		case suffix:
			h.hash = hashPiece(index, f.where, f.text[len(f.text)-1<<pieceOf(f.text):])
		case whole:
			h.hash = hashPiece(index, f.where, f.text)
		}
		list = append(list, h)
	}
	slices.SortStableFunc(list, func(a, b hashed) int { return cmp.Compare(a.hash, b.hash) })
	b.needles = make([]needle, len(list))
	var filed []anchor
	texts := gathered(list, func(h hashed) string { return h.text })
	for i := range list {
		h, n := &list[i], &b.needles[i]
		n.text, n.atom, n.only = texts[i], h.atom, nothing
		copy(n.head[:], n.text)
		n.from, n.upto = b.post(h.rules)
		if len(h.rules) == 1 {
			n.only = h.rules[0]
		}
		b.take(b.local[h.field], h.witness, int32(i))
		if h.where == inside {
			continue
		}
		if n := len(filed); n == 0 || filed[n-1].hash != h.hash {
			filed = append(filed, anchor{h.hash, uint32(i), uint32(i)})
		}
		filed[len(filed)-1].upto++
	}
	b.anchored = newAnchors(filed)
}

// post adds rules to the postings.
func (b *tableBuilder) post(rules []int32) (from, upto int32) {
	from = int32(len(b.postings))
	b.postings = append(b.postings, rules...)
	return from, int32(len(b.postings))
}

// gathered returns texts that lie side by side in memory. Where they were read they
// are strewn over all that belongs to the rules, and a look at one then costs a page
// of address translation too.
func gathered[T any](list []T, textOf func(T) string) []string {
	var all strings.Builder
	placed := map[string]int{}
	for _, t := range list {
		text := textOf(t)
		if _, ok := placed[text]; !ok {
			placed[text] = all.Len()
			all.WriteString(text)
		}
	}
	joined := all.String()
	out := make([]string, len(list))
	for i, t := range list {
		text := textOf(t)
		out[i] = joined[placed[text]:][:len(text)]
	}
	return out
}

// combination is a set of log sources of rules, those that cover an event's.
type combination struct {
	sources []int32
	// tables find what rules of the sources ask for, one in general.
	tables []*table
	// only is the one, nil when there are several.
	only *table
	// always are the rules of the sources that have no witness, and keyworded says
	// that a rule looks at the whole event.
	always    []int32
	keyworded bool
}

// maxMerged bounds how many sources and needles the tables of several sources have
// together, by how many there are in all. What is beyond it has a table for each
// source: which sources an event has may be up to whoever wrote it.
const maxMerged = 8

// combine returns the combination of some sources, which are in order and are kept.
func (m *Matcher) combine(sources []int32) *combination {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.combinations[combinationKey(sources)]; known != nil {
		return known
	}
	size, all := 0, 0
	for i := range m.filings {
		all += 1 + len(m.filings[i])
	}
	for _, source := range sources {
		size += 1 + len(m.filings[source])
	}
	if len(sources) <= 1 || m.merged+size <= maxMerged*all {
		if len(sources) > 1 {
			m.merged += size
		}
		return m.remember(sources, []*table{m.newTable(sources)})
	}
	var tables []*table
	for _, source := range sources {
		single := []int32{source}
		known := m.combinations[combinationKey(single)]
		if known == nil {
			known = m.remember(single, []*table{m.newTable(single)})
		}
		tables = append(tables, known.tables...)
	}
	return m.newCombination(sources, tables)
}

func (m *Matcher) remember(sources []int32, tables []*table) *combination {
	c := m.newCombination(sources, tables)
	m.combinations[combinationKey(sources)] = c
	return c
}

func (m *Matcher) newCombination(sources []int32, tables []*table) *combination {
	c := &combination{sources: sources, tables: tables}
	if len(tables) == 1 {
		c.only = tables[0]
	}
	for _, source := range sources {
		c.always = append(c.always, m.always[source]...)
		c.keyworded = c.keyworded || m.keyworded[source]
	}
	return c
}

func combinationKey(sources []int32) string {
	key := make([]byte, 0, 64)
	for _, source := range sources {
		key = binary.LittleEndian.AppendUint32(key, uint32(source))
	}
	return string(key)
}
