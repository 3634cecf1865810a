package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strconv"
	"strings"

	tomlparser "github.com/knadh/koanf/parsers/toml/v2"
	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

const (
	// MaxFile is the largest configuration file that is read, in bytes.
	MaxFile = 1 << 20
	// maxDepth bounds how deep tables, lists and dotted keys may nest. Nothing
	// that is declared is deeper, and the decoder recurses once a level.
	maxDepth = 32
	// maxKeys bounds the names in a file, those of sections included: the
	// decoder's search for names given twice takes the square of their number.
	maxKeys = 10000
)

// document is a decoded file and where its keys stand.
type document struct {
	name  string
	table map[string]any
	lines map[string]int // by path; elements of lists by their index
	keys  int            // counted while the tree is walked
}

// line returns where path stands, or where the nearest part above it does.
func (d *document) line(path string) int {
	for {
		if n, ok := d.lines[path]; ok {
			return n
		}
		i := strings.LastIndex(path, delim)
		if i < 0 {
			return 0
		}
		path = path[:i]
	}
}

func (d *document) origin(path string) Origin {
	return Origin{Kind: FromFile, File: d.name, Line: d.line(path)}
}

// readDocument reads and decodes a file. The problem, if any, is about the file
// as a whole or its syntax, of which only the first error is known.
func readDocument(name string) (*document, *Problem) {
	b, err := readRegular(name, MaxFile)
	if err != nil {
		return nil, unreadable(name, err)
	}
	return parseDocument(name, b)
}

// unreadable words an error of readRegular.
func unreadable(name string, err error) *Problem {
	p := &Problem{
		Origin: Origin{Kind: FromFile, File: name}, Owner: HostOwner,
		Err: fmt.Errorf("read configuration: %w", err),
	}
	switch {
	case errors.Is(err, errTooLarge):
		p.Message, p.Allowed = "the file is too large", fmt.Sprintf("at most %s", formatSize(MaxFile))
	case errors.Is(err, errNotRegular):
		p.Message, p.Allowed = "this is not a regular file", "a TOML file"
	case errors.Is(err, fs.ErrNotExist):
		p.Message, p.Hint = "the file does not exist", "name it with --config, or create it with: ironpost setup"
	case errors.Is(err, fs.ErrPermission):
		p.Message, p.Hint = "the file can not be read: permission denied", "run as its owner, or change its mode"
	default:
		p.Message = "the file can not be read: " + err.Error()
	}
	return p
}

// parseDocument decodes the content of a file. It does not keep b.
func parseDocument(name string, b []byte) (*document, *Problem) {
	// Editors on Windows write a byte order mark, which TOML does not have.
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	d := &document{name: name, lines: make(map[string]int)}
	if line, err := d.locate(b); err != nil {
		return nil, d.syntax(line, err.Error())
	}
	table, err := tomlparser.Parser().Unmarshal(b)
	if err != nil {
		if at, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, _ := at.Position()
			return nil, d.syntax(line, strings.TrimPrefix(at.Error(), "toml: "))
		}
		return nil, d.syntax(0, strings.TrimPrefix(err.Error(), "toml: "))
	}
	d.table = table
	return d, nil
}

func (d *document) syntax(line int, message string) *Problem {
	return &Problem{
		Origin: Origin{Kind: FromFile, File: d.name, Line: line}, Owner: HostOwner,
		Message: "not valid TOML: " + message,
	}
}

// locate walks the syntax tree, records the line of every key and list element
// and holds the nesting within maxDepth, before the decoder recurses into it.
// On an error it returns the line.
func (d *document) locate(b []byte) (int, error) {
	breaks := lineBreaks(b)
	lineAt := func(offset uint32) int { return 1 + sort.SearchInts(breaks, int(offset)) }

	var p unstable.Parser
	p.Reset(b)
	prefix := ""
	indexes := make(map[string]int) // of the last element of a list of tables
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			path, line, err := d.keyPath("", e.Key(), lineAt, indexes)
			if err != nil {
				return line, err
			}
			d.mark(path, line)
			if e.Kind == unstable.ArrayTable {
				if _, seen := indexes[path]; seen {
					indexes[path]++
				} else {
					indexes[path] = 0
				}
				path += delim + strconv.Itoa(indexes[path])
				d.mark(path, line)
			}
			prefix = path
		case unstable.KeyValue:
			if line, err := d.keyValue(prefix, e, lineAt, 0); err != nil {
				return line, err
			}
		}
	}
	var bad *unstable.ParserError
	switch err := p.Error(); {
	case err == nil:
		return 0, nil
	case errors.As(err, &bad):
		return lineAt(offsetOf(b, bad.Highlight)), errors.New(bad.Message)
	default:
		return 0, err
	}
}

// keyPath appends the parts of a key to prefix and marks the tables on the way.
// Within a list of tables a path leads to its last element.
func (d *document) keyPath(prefix string, key unstable.Iterator, lineAt func(uint32) int, indexes map[string]int) (string, int, error) {
	path, line := prefix, 0
	for key.Next() {
		part := key.Node()
		line = lineAt(part.Raw.Offset)
		if d.keys++; d.keys > maxKeys {
			return "", line, fmt.Errorf("the file has more than %d keys", maxKeys)
		}
		if i, ok := indexes[path]; ok && path != prefix {
			path += delim + strconv.Itoa(i)
		}
		if strings.Contains(string(part.Data), delim) {
			return "", line, errors.New("a key holds control characters")
		}
		if path != "" {
			path += delim
		}
		path += string(part.Data)
		if strings.Count(path, delim) >= maxDepth {
			return "", line, fmt.Errorf("keys are nested more than %d deep", maxDepth)
		}
		d.mark(path, line)
	}
	return path, line, nil
}

func (d *document) keyValue(prefix string, e *unstable.Node, lineAt func(uint32) int, depth int) (int, error) {
	path, line, err := d.keyPath(prefix, e.Key(), lineAt, nil)
	if err != nil {
		return line, err
	}
	return d.value(path, line, e.Value(), lineAt, depth)
}

// value marks what is inside a list or an inline table.
func (d *document) value(path string, line int, v *unstable.Node, lineAt func(uint32) int, depth int) (int, error) {
	if depth > maxDepth {
		return line, fmt.Errorf("values are nested more than %d deep", maxDepth)
	}
	switch v.Kind {
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			if e := it.Node(); e.Kind == unstable.KeyValue {
				if line, err := d.keyValue(path, e, lineAt, depth+1); err != nil {
					return line, err
				}
			}
		}
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); {
			e := it.Node()
			if e.Kind == unstable.Comment {
				continue
			}
			item := path + delim + strconv.Itoa(i)
			i++
			if e.Raw.Length > 0 {
				line = lineAt(e.Raw.Offset)
			}
			d.mark(item, line)
			if line, err := d.value(item, line, e, lineAt, depth+1); err != nil {
				return line, err
			}
		}
	}
	return 0, nil
}

// mark records where a path was first written.
func (d *document) mark(path string, line int) {
	if _, ok := d.lines[path]; !ok {
		d.lines[path] = line
	}
}

// lineBreaks returns the offsets of all line breaks.
func lineBreaks(b []byte) []int {
	var out []int
	for i, c := range b {
		if c == '\n' {
			out = append(out, i)
		}
	}
	return out
}

// offsetOf returns where part, which is a slice of b, begins; the end of b when
// it is not.
func offsetOf(b, part []byte) uint32 {
	if n := cap(b) - cap(part); part != nil && n >= 0 && n <= len(b) {
		return uint32(n)
	}
	return uint32(len(b))
}
