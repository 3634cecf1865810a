package advisory

import (
	"bytes"
	"encoding/json"
	"path"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/nesting"
)

// File is one file of a source. One of Record, Exploited, Likelihoods and Problem is
// set.
type File struct {
	// Name is the path within the source, with slashes; what lies in an archive
	// comes after "!".
	Name   string
	Record *Record
	// Raw is the record in JSON: as it was written where it was JSON of the OSV schema,
	// else what it was turned into. It belongs to the receiver.
	Raw         []byte
	Exploited   []Exploited
	Likelihoods []Likelihood
	Problem     *Problem
}

// Parse reads the content of one file, whose name says what it might be. It never
// breaks: what it cannot read is a Problem.
func Parse(name string, data []byte, limits Limits) File {
	f := File{Name: name}
	if err := f.parse(data, limits.orDefault()); err != nil {
		f = File{Name: name, Problem: problem(err)}
	}
	return f
}

func (f *File) parse(data []byte, limits Limits) (err error) {
	if int64(len(data)) > limits.FileBytes {
		return fail(CodeTooLarge, "%d bytes, at most %d", len(data), limits.FileBytes)
	}
	switch strings.ToLower(path.Ext(f.Name)) {
	case ".json":
		return f.json(data, limits)
	case ".yaml", ".yml":
		data, err = fromYAML(data, limits.Depth)
		if err != nil {
			return err
		}
		return f.json(data, limits)
	case ".md":
		if f.Record, err = RustSec(data); err == nil {
			f.Raw, err = f.Record.encode()
		}
	case ".csv":
		f.Likelihoods, err = EPSS(data)
	default:
		err = fail(CodeNotRecord, "neither JSON, YAML, Markdown nor CSV")
	}
	return err
}

func (f *File) json(data []byte, limits Limits) error {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xEF\xBB\xBF")))
	if len(data) == 0 || data[0] != '{' {
		return fail(CodeNotRecord, "JSON that is no object")
	}
	if nesting.JSON(data, limits.Depth) > 0 {
		return fail(CodeTooDeep, "more than %d levels", limits.Depth)
	}
	w, err := decode(data)
	switch {
	case w.Catalog != nil:
		f.Exploited, err = KEV(data)
		return err
	case w.Module != nil:
		if f.Record, err = NodeSecurity(data); err == nil {
			f.Raw, err = f.Record.encode()
		}
		return err
	case err != nil:
		return err
	case w.ID == nil:
		return fail(CodeNotRecord, "an object without an id")
	}
	f.Record, f.Raw = w.Record, data
	return nil
}

// encode writes the record as JSON of the OSV schema.
func (r *Record) encode() ([]byte, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, malformed(err)
	}
	return raw, nil
}
