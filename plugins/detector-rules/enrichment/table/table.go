package table

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/iplist"
	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/lines"
)

// The bounds of a table.
const (
	MaxRows    = 1 << 19
	MaxColumns = 32
	// MaxCell and MaxName are lengths in bytes.
	MaxCell = 1 << 10
	MaxName = 128
	// MaxYAML is the size of a YAML file in bytes.
	MaxYAML = 4 << 20
)

// AddressKey is the key of tables about addresses.
const AddressKey = "ip"

// Table is one table.
type Table struct {
	key        string
	columns    []string
	ignoreCase bool
	// cells are those of all rows, row by row.
	cells []string
	// texts and networks are the rows by their keys; a table has one of them.
	texts    map[string]int32
	networks map[netip.Prefix]int32
	// lengths are the lengths of the networks of IPv4 and IPv6, longest first.
	lengths [2][]int
	bytes   int64
}

// Row is one row, valid as long as its Table.
type Row struct {
	table *Table
	cells []string
}

// Key is the field whose value is looked up, or AddressKey.
func (t *Table) Key() string { return t.key }

// Columns are the fields that the table gives, in their order. They belong to the Table.
func (t *Table) Columns() []string { return t.columns }

// Len counts the rows.
func (t *Table) Len() int { return len(t.texts) + len(t.networks) }

// Bytes is how much memory the table takes, roughly.
func (t *Table) Bytes() int64 { return t.bytes }

// Text returns the row of a value; ok is false when there is none.
func (t *Table) Text(value string) (r Row, ok bool) {
	if t.ignoreCase {
		value = strings.ToLower(value)
	}
	n, ok := t.texts[value]
	if !ok {
		return Row{}, false
	}
	return t.row(n), true
}

// Address returns the row of an address.
func (t *Table) Address(a netip.Addr) (r Row, ok bool) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return Row{}, false
	}
	for _, bits := range t.lengths[family(a)] {
		p, _ := a.Prefix(bits) // bits are those of networks of its family
		if n, ok := t.networks[p]; ok {
			return t.row(n), true
		}
	}
	return Row{}, false
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func (t *Table) row(n int32) Row {
	width := len(t.columns)
	return Row{t, t.cells[int(n)*width:][:width]}
}

// Cell returns the value of the column of a number, "" when it has none.
func (r Row) Cell(column int) string { return r.cells[column] }

// builder makes a Table.
type builder struct {
	*Table
	// lines are those of the rows, to name a key that stands twice.
	lines []int
}

// newBuilder checks the names of fields.
func newBuilder(line int, key string, ignoreCase bool, columns []string) (*builder, error) {
	switch {
	case len(columns) == 0:
		return nil, lines.Errorf(line, "it has no column but the key %s; write the fields that an event gets beside it", lines.Quote([]byte(key)))
	case len(columns) > MaxColumns:
		return nil, lines.Errorf(line, "it has %d columns beside the key, at most %d are read", len(columns), MaxColumns)
	}
	names := append([]string{key}, columns...)
	for i, name := range names {
		if reason := badName(name); reason != "" {
			return nil, lines.Errorf(line, "the name %s of column %d %s", lines.Quote([]byte(name)), i+1, reason)
		}
		if slices.Contains(names[:i], name) {
			return nil, lines.Errorf(line, "there are two columns %s", lines.Quote([]byte(name)))
		}
	}
	t := &Table{key: key, columns: columns, ignoreCase: ignoreCase}
	if key == AddressKey {
		if t.networks = map[netip.Prefix]int32{}; ignoreCase {
			return nil, lines.Errorf(line, "ignore_case means nothing for addresses; take it out")
		}
	} else {
		t.texts = map[string]int32{}
	}
	return &builder{Table: t}, nil
}

// badName says why a text is no name of a field.
func badName(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > MaxName:
		return "is too long"
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`"'|*%`, r) }):
		return `has blanks or one of "'|*%; write letters, digits, dots and underlines`
	}
	return ""
}

// add adds a row; cells are those of the columns and belong to the table then.
func (b *builder) add(line int, key string, cells []string) error {
	n := int32(len(b.lines)) //nolint:gosec // at most MaxRows
	if n == MaxRows {
		return lines.Errorf(line, "it has more than %d rows", MaxRows)
	}
	for _, c := range append(cells, key) {
		if len(c) > MaxCell {
			return lines.Errorf(line, "a cell has %d bytes, at most %d are read", len(c), MaxCell)
		}
		b.bytes += int64(len(c))
	}
	before, twice := int32(0), false
	switch {
	case key == "":
		return lines.Errorf(line, "the key is empty; name the %s", b.key)
	case b.networks != nil:
		p, ok := iplist.ParsePrefix(key)
		if !ok {
			return lines.Errorf(line, "the key %s is no address or network (192.0.2.7, 192.0.2.0/24)", lines.Quote([]byte(key)))
		}
		if before, twice = b.networks[p]; !twice {
			b.networks[p] = n
		}
	default:
		if b.ignoreCase {
			key = strings.ToLower(key)
		}
		if before, twice = b.texts[key]; !twice {
			b.texts[key] = n
		}
	}
	if twice {
		return lines.Errorf(line, "the key %s stands on line %d too; join the rows", lines.Quote([]byte(key)), b.lines[before])
	}
	b.lines = append(b.lines, line)
	b.cells = append(b.cells, cells...)
	return nil
}

// table ends the building.
func (b *builder) table() (*Table, error) {
	if len(b.lines) == 0 {
		return nil, lines.Errorf(0, "it has no rows; a table that is to end is removed, or its path taken out of the configuration")
	}
	b.cells = slices.Clip(b.cells)
	b.bytes += int64(16*len(b.cells) + 60*len(b.lines))
	for p := range b.networks {
		l := &b.lengths[family(p.Addr())]
		if !slices.Contains(*l, p.Bits()) {
			*l = append(*l, p.Bits())
		}
	}
	for i := range b.lengths {
		slices.SortFunc(b.lengths[i], func(x, y int) int { return cmp.Compare(y, x) })
	}
	return b.Table, nil
}
