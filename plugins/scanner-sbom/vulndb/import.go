package vulndb

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
)

// Source is where advisories come from.
type Source struct {
	// Name tells sources apart: importing one again replaces what it brought.
	Name string
	// Path is a file, a folder or an archive, as [advisory.Read] takes.
	Path string
	// Location is what is shown as its origin; the path when it is empty.
	Location string
	// ETag and LastModified are kept for who asks the server the next time.
	ETag, LastModified string
}

// Options are how an import is done. The zero Options are good.
type Options struct {
	Limits advisory.Limits
	// Now is the time that is noted, the clock's when it is zero.
	Now time.Time
	// Remove names sources to be taken out.
	Remove []string
	// Replace drops what is in the old file, which need not even be readable.
	Replace bool
	// Progress is called now and then, from one goroutine at a time.
	Progress func(Progress)
}

// Progress is how far an import got.
type Progress struct {
	Source  string
	Files   int
	Records int
}

// Report says what an import did.
type Report struct {
	Sources []SourceReport `json:"sources"`
	// Records and Names are of the whole database after it.
	Records int   `json:"records"`
	Names   int   `json:"names"`
	Bytes   int64 `json:"bytes"`
}

// SourceReport says what became of one source.
type SourceReport struct {
	SourceMeta
	Added   int `json:"added"`
	Changed int `json:"changed"`
	Removed int `json:"removed"`
	// Withdrawn and Unmatchable are records that are kept but match no package: taken
	// back, or about commits alone.
	Withdrawn   int `json:"withdrawn,omitempty"`
	Unmatchable int `json:"unmatchable,omitempty"`
	// Codes counts the problems, of which Problems has the first.
	Codes    map[string]int `json:"codes,omitempty"`
	Problems []FileProblem  `json:"problems,omitempty"`
}

// FileProblem is a file that is not in the database.
type FileProblem struct {
	File string `json:"file"`
	advisory.Problem
}

// maxProblems is how many problems of a source are listed; all are counted.
const maxProblems = 10000

// Import builds the database at path anew from its old content and the sources, of which each
// replaces what it brought before. The old file stays as it was until the new one is whole, and for good
// when there is an error. A source without any record, catalogue or scores is an error: it is
// taken for a mistake rather than for the end of all vulnerabilities. Two imports into
// one file at a time wait for each other.
func Import(ctx context.Context, path string, sources []Source, o Options) (Report, error) {
	unlock, err := exclusive(ctx, path)
	if err != nil {
		return Report{}, err
	}
	defer unlock()
	old, err := Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), err != nil && o.Replace:
	case err != nil:
		return Report{}, err
	default:
		defer old.done()
	}
	if o.Replace {
		old = nil
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	im := importer{options: o, old: old}
	if err := im.plan(sources); err != nil {
		return Report{}, err
	}
	var report Report
	err = replace(path, func(out *os.File) error {
		spool, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+spoolSuffix+"*")
		if err != nil {
			return fmt.Errorf("make room for entries: %w", err)
		}
		defer os.Remove(spool.Name()) //nolint:errcheck // gone already where that is possible
		defer spool.Close()
		if err := unnamed(spool); err != nil {
			return fmt.Errorf("make room for entries: %w", err)
		}
		if report, err = im.run(ctx, out, spool); err != nil {
			return err
		}
		return unsign(path)
	})
	return report, err
}

// importer is one run of Import.
type importer struct {
	options Options
	old     *DB
	sources []Source     // new, at the same place in metas
	metas   []SourceMeta // of the new file: first the new sources, then those that are kept
	renamed map[uint64]int
	numbers []int               // of each of metas, in the new file: sources keep their order, so that groups keep their bytes
	before  []map[uint64]uint64 // of each new source: id to hash, in the old file
	build   *builder
}

// plan decides which sources are new, kept and gone.
func (im *importer) plan(sources []Source) error {
	for _, s := range sources {
		if s.Name == "" {
			return errors.New("a source without a name")
		}
		if slices.ContainsFunc(im.metas, func(m SourceMeta) bool { return m.Name == s.Name }) {
			return fmt.Errorf("two sources of the name %s", s.Name)
		}
		location := s.Location
		if location == "" {
			location = s.Path
		}
		im.metas = append(im.metas, SourceMeta{
			Name: s.Name, Location: location, Imported: im.options.Now.UTC(), ETag: s.ETag, LastModified: s.LastModified,
		})
	}
	im.sources = sources
	im.renamed = map[uint64]int{}
	im.before = make([]map[uint64]uint64, len(sources))
	for i := range im.before {
		im.before[i] = map[uint64]uint64{}
	}
	defer im.number()
	if im.old == nil {
		return nil
	}
	for i, m := range im.old.Meta().Sources {
		at := slices.IndexFunc(im.metas[:len(sources)], func(n SourceMeta) bool { return n.Name == m.Name })
		switch {
		case slices.Contains(im.options.Remove, m.Name):
			continue
		case at < 0:
			at = len(im.metas)
			im.metas = append(im.metas, m)
		}
		im.renamed[uint64(i)] = at
	}
	return nil
}

// number gives sources that there were already the numbers in their order, and then the new ones.
func (im *importer) number() {
	im.numbers = make([]int, len(im.metas))
	for i := range im.numbers {
		im.numbers[i] = -1
	}
	next := 0
	for _, old := range slices.Sorted(maps.Keys(im.renamed)) {
		im.numbers[im.renamed[old]] = next
		next++
	}
	for i, n := range im.numbers {
		if n < 0 {
			im.numbers[i] = next
			next++
		}
	}
}

// numbered returns the metas in the order of their numbers.
func (im *importer) numbered() []SourceMeta {
	out := make([]SourceMeta, len(im.metas))
	for i, n := range im.numbers {
		out[n] = im.metas[i]
	}
	return out
}

func (im *importer) run(ctx context.Context, out, spool *os.File) (Report, error) {
	names := make([]string, len(im.metas))
	for i, m := range im.numbered() {
		names[i] = m.Name
	}
	var err error
	if im.build, err = newBuilder(out, spool, names); err != nil {
		return Report{}, err
	}
	defer im.build.close()
	if err := im.keep(ctx); err != nil {
		return Report{}, fmt.Errorf("take over the old database: %w", err)
	}
	var report Report
	for i := range im.sources {
		r, err := im.source(ctx, i)
		if err != nil {
			return Report{}, fmt.Errorf("import %s: %w", im.sources[i].Name, err)
		}
		report.Sources = append(report.Sources, r)
	}
	if err := im.build.finish(im.numbered(), im.options.Now); err != nil {
		return Report{}, err
	}
	report.Records, report.Names, report.Bytes = im.build.footer.Records, im.build.footer.Keys, im.build.w.offset
	return report, nil
}

// keep takes over the records of sources that stay, and notes what others had.
func (im *importer) keep(ctx context.Context) error {
	if im.old == nil {
		return nil
	}
	err := advisory.Each(ctx, im.options.Limits, im.emit, func(f advisory.File) error {
		var source int
		var sum uint64
		if _, err := fmt.Sscanf(f.Name, "%d-%x.json", &source, &sum); err != nil || f.Record == nil {
			return damaged("a record cannot be read: %v", f.Problem)
		}
		return im.build.add(f.Record, f.Raw, im.numbers[source], sum)
	})
	if err != nil {
		return err
	}
	// The catalogue and the scores stay while the source stays that brought them, until
	// another brings others.
	kev, epss := im.stays(func(m SourceMeta) int { return m.Exploited }), im.stays(func(m SourceMeta) int { return m.Likelihoods })
	if kev {
		im.build.kev = maps.Clone(im.old.kev)
	}
	if !epss {
		return nil
	}
	return im.old.footer.EPSS.all(im.old.file, func(r row) error {
		im.build.epss[r.key] = r.value
		return nil
	})
}

// stays reports whether a source that brought something is neither replaced nor removed.
func (im *importer) stays(brought func(SourceMeta) int) bool {
	for i, m := range im.old.Meta().Sources {
		if at, ok := im.renamed[uint64(i)]; ok && at >= len(im.sources) && brought(m) > 0 {
			return true
		}
	}
	return false
}

// emit hands out the records to be kept, named by their source and hash.
func (im *importer) emit(emit func(string, []byte) error) error {
	for number := range im.old.footer.Blocks {
		data, err := im.old.block(number)
		if err != nil {
			return err
		}
		for len(data) > 0 {
			var s stored
			if s, data, err = nextStored(data); err != nil {
				return err
			}
			at, ok := im.renamed[s.source]
			switch {
			case !ok:
			case at < len(im.sources):
				im.before[at][s.id] = s.sum
			default:
				if err := emit(fmt.Sprintf("%d-%x.json", at, s.sum), s.raw); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// source reads one source to its end.
func (im *importer) source(ctx context.Context, n int) (SourceReport, error) {
	meta := &im.metas[n]
	report := SourceReport{Codes: map[string]int{}}
	seen := make(map[uint64]bool, len(im.before[n]))
	catalogue, scores := false, false
	err := advisory.Read(ctx, im.sources[n].Path, im.options.Limits, func(f advisory.File) error {
		meta.Files++
		if im.options.Progress != nil && meta.Files%1000 == 0 {
			im.options.Progress(Progress{Source: meta.Name, Files: meta.Files, Records: meta.Records})
		}
		switch {
		case f.Problem != nil:
			report.problem(f.Name, *f.Problem)
		case f.Exploited != nil:
			if !catalogue {
				catalogue = true
				clear(im.build.kev)
			}
			for _, e := range f.Exploited {
				im.build.kev[e.CVE] = e
			}
			meta.Exploited += len(f.Exploited)
		case f.Likelihoods != nil:
			if !scores {
				scores = true
				clear(im.build.epss)
			}
			for _, l := range f.Likelihoods {
				im.build.score(l)
			}
			meta.Likelihoods += len(f.Likelihoods)
		case f.Record != nil:
			id := hash(f.Record.ID)
			if seen[id] {
				report.problem(f.Name, advisory.Problem{Code: CodeRepeated, Reason: "the source has " + f.Record.ID + " twice: this one is left out"})
				return nil
			}
			seen[id] = true
			return im.record(n, &report, id, f)
		}
		return nil
	})
	if err != nil {
		return report, err
	}
	if meta.Records+meta.Exploited+meta.Likelihoods == 0 {
		return report, fmt.Errorf("%w in %s: %d files, %s", ErrNothing, im.sources[n].Path, meta.Files, report.why())
	}
	for id := range im.before[n] {
		if !seen[id] {
			report.Removed++
		}
	}
	meta.Refused = 0
	for _, count := range report.Codes {
		meta.Refused += count
	}
	report.SourceMeta = *meta
	return report, nil
}

// record takes one record in.
func (im *importer) record(n int, report *SourceReport, id uint64, f advisory.File) error {
	meta := &im.metas[n]
	digest := sha256.Sum256(f.Raw)
	sum := binary.LittleEndian.Uint64(digest[:])
	switch before, ok := im.before[n][id]; {
	case !ok:
		report.Added++
	case before != sum:
		report.Changed++
	}
	meta.Records++
	if f.Record.Modified.After(meta.Newest) {
		meta.Newest = f.Record.Modified
	}
	switch {
	case !f.Record.Withdrawn.IsZero():
		report.Withdrawn++
	case !slices.ContainsFunc(f.Record.Affected, func(a advisory.Affected) bool { return a.Package.Name != "" }):
		report.Unmatchable++
	}
	return im.build.add(f.Record, f.Raw, im.numbers[n], sum)
}

// CodeRepeated is the problem of a second record of one id in a source.
const CodeRepeated = "repeated"

// ErrNothing says that a source holds nothing that an import could take.
var ErrNothing = errors.New("no advisories")

func (r *SourceReport) problem(file string, p advisory.Problem) {
	r.Codes[p.Code]++
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, FileProblem{file, p})
	}
}

// why tells the first thing that went wrong.
func (r *SourceReport) why() string {
	if len(r.Problems) == 0 {
		return "no problem"
	}
	return r.Problems[0].File + ": " + r.Problems[0].Reason
}
