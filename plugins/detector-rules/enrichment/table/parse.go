package table

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/lines"
)

// ParseCSV reads a table from CSV (RFC 4180). Lines that begin with # are comments;
// blanks around a cell do not count. It returns a *lines.Error.
func ParseCSV(data []byte) (*Table, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	r.Comment, r.TrimLeadingSpace, r.FieldsPerRecord = '#', true, -1
	var b *builder
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if parse := (*csv.ParseError)(nil); errors.As(err, &parse) {
			return nil, lines.Errorf(parse.StartLine, "it is no CSV: %v", parse.Err)
		} else if err != nil {
			return nil, lines.Errorf(0, "%v", err)
		}
		line, _ := r.FieldPos(0)
		for i := range record {
			record[i] = strings.TrimRight(record[i], " \t")
		}
		if b == nil {
			if b, err = newBuilder(line, record[0], false, record[1:]); err != nil {
				return nil, err
			}
			continue
		}
		if want := len(b.columns) + 1; len(record) != want {
			return nil, lines.Errorf(line, "it has %d cells, the head has %d", len(record), want)
		}
		if err := b.add(line, record[0], record[1:]); err != nil {
			return nil, err
		}
	}
	if b == nil {
		return nil, lines.Errorf(0, "it is empty; write a head (user,user.department) and rows")
	}
	return b.table()
}

// ParseYAML reads a table from YAML. It returns a *lines.Error.
func ParseYAML(data []byte) (*Table, error) {
	if len(data) > MaxYAML {
		return nil, lines.Errorf(0, "it has %d bytes, and YAML is read up to %d; write it as CSV", len(data), MaxYAML)
	}
	var root *yaml.Node
	for n, err := range document.All(data) {
		if err != nil {
			line, text := document.Locate(err, data)
			return nil, lines.Errorf(line, "it is no YAML: %s", text)
		}
		if root != nil {
			return nil, lines.Errorf(n.Line, "a second document; write one table a file")
		}
		root = n
	}
	if root == nil {
		return nil, lines.Errorf(0, "it is empty; write key and rows")
	}
	return readTable(root)
}

func readTable(root *yaml.Node) (*Table, error) {
	if root.Kind != yaml.MappingNode {
		return nil, lines.Errorf(root.Line, "it is %s; write a mapping with key and rows", document.Describe(root))
	}
	var key, rows *yaml.Node
	ignoreCase := false
	for i := 0; i < len(root.Content); i += 2 {
		name, value := root.Content[i], root.Content[i+1]
		switch name.Value {
		case "key":
			key = value
		case "rows":
			rows = value
		case "ignore_case":
			if err := value.Decode(&ignoreCase); err != nil {
				return nil, lines.Errorf(value.Line, "ignore_case is %s; write true or false", document.Describe(value))
			}
		default:
			return nil, lines.Errorf(name.Line, "there is no %q; write key, ignore_case and rows", document.Clip(name.Value))
		}
	}
	switch {
	case key == nil || key.Kind != yaml.ScalarNode:
		return nil, lines.Errorf(root.Line, "it names no key; write the field that is looked up, as key: user")
	case rows == nil || rows.Kind != yaml.MappingNode:
		return nil, lines.Errorf(root.Line, "it has no mapping rows, from keys to their fields")
	case len(rows.Content)/2 > MaxRows:
		return nil, lines.Errorf(rows.Line, "it has more than %d rows", MaxRows)
	}
	numbers, columns, err := readColumns(rows)
	if err != nil {
		return nil, err
	}
	b, err := newBuilder(key.Line, key.Value, ignoreCase, columns)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(rows.Content); i += 2 {
		name, row := rows.Content[i], rows.Content[i+1]
		cells := make([]string, len(columns), len(columns)+1)
		for j := 0; j < len(row.Content); j += 2 {
			if cell := row.Content[j+1]; cell.ShortTag() != "!!null" {
				cells[numbers[row.Content[j].Value]] = cell.Value
			}
		}
		if err := b.add(name.Line, name.Value, cells); err != nil {
			return nil, err
		}
	}
	return b.table()
}

// readColumns returns the fields of all rows, and checks that rows are mappings of
// plain values.
func readColumns(rows *yaml.Node) (numbers map[string]int, columns []string, err error) {
	numbers = map[string]int{}
	for i := 0; i < len(rows.Content); i += 2 {
		name, row := rows.Content[i], rows.Content[i+1]
		if name.Kind != yaml.ScalarNode || row.Kind != yaml.MappingNode {
			return nil, nil, lines.Errorf(name.Line, "the row %s is %s; write a mapping from fields to values", document.Describe(name), document.Describe(row))
		}
		seen := map[string]bool{}
		for j := 0; j < len(row.Content); j += 2 {
			field, cell := row.Content[j], row.Content[j+1]
			if field.Kind != yaml.ScalarNode || cell.Kind != yaml.ScalarNode {
				return nil, nil, lines.Errorf(field.Line, "the field %s is %s; write one value", document.Describe(field), document.Describe(cell))
			}
			if seen[field.Value] {
				return nil, nil, lines.Errorf(field.Line, "the field %q stands twice", document.Clip(field.Value))
			}
			seen[field.Value] = true
			if _, known := numbers[field.Value]; known {
				continue
			}
			if numbers[field.Value] = len(columns); len(columns) == MaxColumns {
				return nil, nil, lines.Errorf(field.Line, "it has more than %d fields", MaxColumns)
			}
			columns = append(columns, field.Value)
		}
	}
	return numbers, columns, nil
}
