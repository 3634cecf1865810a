package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// holding is what "ironpost vulndb" prints.
type holding struct {
	// Ecosystems say what there is of each, and how current it is.
	Ecosystems []match.Coverage `json:"ecosystems"`
	// Sources are those of the database, or of an import.
	Sources []vulndb.SourceReport `json:"sources"`
	Records int                   `json:"records"`
	Bytes   int64                 `json:"bytes,omitempty"`
}

func (s *scanner) databaseFile() string { return filepath.Join(s.cfg.DatabaseDir, "advisories.db") }

// ImportAdvisories implements sdk.AdvisoryKeeper.
func (s *scanner) ImportAdvisories(ctx context.Context, sources []string, progress func(string), out io.Writer) error {
	var list []vulndb.Source
	for _, path := range sources {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("import %q: want an absolute path", path)
		}
		list = append(list, vulndb.Source{Name: path, Path: path})
	}
	r, err := vulndb.Import(ctx, s.databaseFile(), list, vulndb.Options{Progress: func(p vulndb.Progress) {
		progress(fmt.Sprintf("%s: %d files, %d advisories", filepath.Base(p.Source), p.Files, p.Records))
	}})
	if err != nil {
		return err
	}
	return s.holding(out, r.Sources, r.Bytes)
}

// AdvisoryStatus implements sdk.AdvisoryKeeper.
func (s *scanner) AdvisoryStatus(_ context.Context, out io.Writer) error {
	return s.holding(out, nil, 0)
}

func (s *scanner) holding(out io.Writer, imported []vulndb.SourceReport, size int64) error {
	db, release, err := s.store.Acquire()
	defer release()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	h := holding{Ecosystems: []match.Coverage{}, Sources: imported, Bytes: size}
	if db != nil {
		h.Records = db.Records()
		h.Ecosystems = match.Status(db, s.cfg.match())
		if imported == nil {
			for _, source := range db.Meta().Sources {
				h.Sources = append(h.Sources, vulndb.SourceReport{SourceMeta: source})
			}
		}
	}
	if h.Sources == nil {
		h.Sources = []vulndb.SourceReport{}
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	return e.Encode(h)
}
