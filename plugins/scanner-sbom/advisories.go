package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
	"github.com/ironpost/ironpost/sdk"
)

// holding is what "ironpost vulndb" prints.
type holding struct {
	// Ecosystems say what there is of each, and how current it is.
	Ecosystems []standing `json:"ecosystems"`
	// Sources are those of the database, or of an import.
	Sources []vulndb.SourceReport `json:"sources"`
	Records int                   `json:"records"`
	Bytes   int64                 `json:"bytes,omitempty"`
	Built   time.Time             `json:"built,omitzero"`
	// Damage is why nothing can be read; Replaced is why all that other sources had brought is gone,
	// and has to be imported again.
	Damage   string `json:"damage,omitempty"`
	Replaced string `json:"replaced,omitempty"`
	// Signature is of the bundle that is installed, Key and Comment what it says.
	Signature string `json:"signature,omitempty"`
	Key       string `json:"key,omitempty"`
	Comment   string `json:"comment,omitempty"`
	// Mirrors and Wanted are what the configuration says to fetch.
	Mirrors []string `json:"mirrors,omitempty"`
	Wanted  []string `json:"wanted,omitempty"`
}

// standing is the coverage of an ecosystem with what would mend it.
type standing struct {
	match.Coverage
	// Mend is the command that makes it current, "" when it is.
	Mend string `json:"mend,omitempty"`
}

func (s *scanner) databaseFile() string { return filepath.Join(s.cfg.DatabaseDir, "advisories.db") }

// ImportAdvisories implements sdk.AdvisoryKeeper.
func (s *scanner) ImportAdvisories(ctx context.Context, sources []sdk.AdvisorySource, progress func(string), out io.Writer) error {
	var list []vulndb.Source
	var current []string
	for _, source := range sources {
		name := source.Name
		switch {
		case source.Unchanged:
			current = append(current, name)
			continue
		case !filepath.IsAbs(source.Path):
			return fmt.Errorf("import %q: want an absolute path", source.Path)
		case name == "":
			name = source.Path
		}
		list = append(list, vulndb.Source{Name: name, Path: source.Path, Location: name, ETag: source.ETag, LastModified: source.LastModified})
	}
	var r vulndb.Report
	replaced := ""
	if len(list) > 0 {
		o := vulndb.Options{Progress: func(p vulndb.Progress) {
			progress(fmt.Sprintf("%s: %d files, %d advisories", filepath.Base(p.Source), p.Files, p.Records))
		}}
		var err error
		r, err = vulndb.Import(ctx, s.databaseFile(), list, o)
		if errors.Is(err, vulndb.ErrDamaged) || errors.Is(err, vulndb.ErrVersion) {
			// Nobody can use what is there: to keep it would be to stay unchecked.
			s.log.Warn("the advisories that were there cannot be read, and are replaced", "error", err)
			replaced, o.Replace = err.Error(), true
			r, err = vulndb.Import(ctx, s.databaseFile(), list, o)
		}
		if err != nil {
			return err
		}
	}
	if len(current) > 0 {
		if err := vulndb.Confirm(ctx, s.databaseFile(), current, time.Now()); err != nil {
			return err
		}
	}
	return s.holding(out, holding{Sources: r.Sources, Bytes: r.Bytes, Replaced: replaced})
}

// InstallAdvisories implements sdk.AdvisoryBundler.
func (s *scanner) InstallAdvisories(ctx context.Context, bundle, signature string, allowOlder bool, progress func(string), out io.Writer) error {
	keys, err := vulndb.ParseKeys(s.cfg.Keys)
	if err != nil {
		return fmt.Errorf("sbom.keys: %w", err)
	}
	if len(s.cfg.Keys) == 0 {
		return errors.New("nobody is trusted to sign bundles: name the public key (the second line of minisign.pub) in sbom.keys")
	}
	signed, err := os.ReadFile(signature) //nolint:gosec // which the host let the plugin read
	if err != nil {
		return fmt.Errorf("read the signature: %w", err)
	}
	f, err := os.Open(bundle) //nolint:gosec // as above
	if err != nil {
		return fmt.Errorf("read the bundle: %w", err)
	}
	defer func() { _ = f.Close() }() // it was read only
	progress("comparing the signature")
	_, err = vulndb.Install(ctx, s.databaseFile(), f, signed, keys, vulndb.InstallOptions{AllowOlder: allowOlder})
	switch {
	case errors.Is(err, vulndb.ErrOlder):
		return fmt.Errorf("%w; an old bundle may hide what was found since. If it is wanted: --allow-older", err)
	case err != nil:
		return err
	}
	return s.holding(out, holding{})
}

// ExportAdvisories implements sdk.AdvisoryBundler.
func (s *scanner) ExportAdvisories(ctx context.Context, out io.Writer) error {
	db, release, err := s.store.Acquire()
	defer release()
	if err != nil {
		return err
	}
	return db.Export(ctx, out)
}

// AdvisoryStatus implements sdk.AdvisoryKeeper.
func (s *scanner) AdvisoryStatus(_ context.Context, out io.Writer) error {
	return s.holding(out, holding{})
}

// holding writes what there is, beside what is known of an import.
func (s *scanner) holding(out io.Writer, h holding) error {
	db, release, err := s.store.Acquire()
	defer release()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.Damage = err.Error()
	}
	imported := h.Sources
	h.Ecosystems, h.Mirrors, h.Wanted = []standing{}, s.cfg.Mirror, s.cfg.Ecosystems
	if db != nil {
		h.Records, h.Built = db.Records(), db.Meta().Built
		if h.Signature = vulndb.Signed(s.databaseFile()); h.Signature != "" {
			h.Key, h.Comment = vulndb.Signer(h.Signature)
		}
		for _, c := range match.Status(db, s.cfg.match()) {
			h.Ecosystems = append(h.Ecosystems, standing{c, s.mend(c.State)})
		}
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

// mend is the command that makes an ecosystem current.
func (s *scanner) mend(state match.State) string {
	switch {
	case state == match.Checked:
		return ""
	case len(s.cfg.Mirror) > 0:
		return "ironpost vulndb update"
	}
	return "ironpost vulndb import PATH..., or ironpost vulndb update URL"
}
