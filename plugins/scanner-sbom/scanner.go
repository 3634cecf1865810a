package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/document/delta"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/engine"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/image"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/report"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vex"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
	"github.com/ironpost/ironpost/sdk"
)

// scanner implements sdk.Scanner, sdk.AdvisoryKeeper and sdk.Watcher.
type scanner struct {
	cfg      *config
	log      hclog.Logger
	readers  []*extract.Reader
	store    *vulndb.Store
	judge    judge
	memory   memory
	watching watching
	// left are readers that scans left behind.
	left scan.Left
}

func (s *scanner) setup(ctx context.Context, env sdk.Env) (err error) {
	if err := s.cfg.validate(); err != nil {
		return err
	}
	s.log, s.watching.env = env.Logger, env
	extract.Log(env.Logger)
	s.store = vulndb.NewStore(s.databaseFile())
	if err := vulndb.Sweep(ctx, s.databaseFile()); err != nil {
		s.log.Warn("what an import left behind cannot be removed", "error", err)
	}
	s.memory = newMemory(s.cfg)
	s.readers, err = extract.Readers()
	return err
}

// found is what a target holds.
type found struct {
	target   document.Target
	packages []*inventory.Package
	problems []inventory.Problem
	stats    scan.Stats
	// files is the tree, nil of a document; close closes it.
	files fs.FS
	close func()
	// docker is set of what Docker has, with notes for who named it.
	docker *asked
	notes  []string
}

// done closes what was opened.
func (f *found) done() {
	if f.close != nil {
		f.close()
	}
}

// Scan implements sdk.Scanner.
func (s *scanner) Scan(ctx context.Context, req sdk.ScanRequest, out io.Writer) (string, error) {
	defer s.keep() // when the answer is written
	now, err := s.find(ctx, req.Target, req.Platform, req.Progress)
	if err != nil {
		return "", err
	}
	defer now.done()
	if !slices.Contains([]string{"", "report", openVEX, cycloneDXVEX}, req.Document) {
		return s.write(now, req, out)
	}
	result, notes, err := s.match(ctx, now.packages)
	if err != nil {
		return "", err
	}
	if err := s.observe(ctx, now, result); err != nil {
		return "", err
	}
	if req.Document == openVEX || req.Document == cycloneDXVEX {
		return s.states(now, result, req, out)
	}
	r := report.Report{
		Target: req.Target, Kind: string(now.target.Kind), Name: now.target.Name, Version: now.target.Version, Packages: now.packages, Findings: result.Findings, Ecosystems: result.Coverage,
		Rules: result.Rules, VEX: notes, Skipped: result.Skipped, Problems: now.problems, Stats: now.stats,
	}
	if now.docker != nil {
		r.ID, r.Image, r.ImageID, r.Notes = now.docker.id, now.docker.image, now.docker.imageID, now.notes
	}
	if err := s.unowned(ctx, now, &r); err != nil {
		return "", err
	}
	if req.Against != "" {
		before, err := s.find(ctx, req.Against, req.Platform, req.Progress)
		if err != nil {
			return "", fmt.Errorf("the other target: %w", err)
		}
		defer before.done()
		old, _, err := s.match(ctx, before.packages)
		if err != nil {
			return "", err
		}
		r.Compared, r.Changes = true, delta.Compare(before.packages, now.packages)
		r.Findings = newOnes(old.Findings, r.Findings)
	}
	return "report", r.Write(out)
}

// newOnes leaves out what was found before: the same flaw of the same package.
func newOnes(before, after []*match.Finding) (out []*match.Finding) {
	known := make(map[[2]string]bool, len(before))
	for _, f := range before {
		known[[2]string{f.Ref, f.ID}] = true
	}
	for _, f := range after {
		if !known[[2]string{f.Ref, f.ID}] {
			out = append(out, f)
		}
	}
	return out
}

// match holds packages against the advisories there are. Without a database, or with
// one that is damaged, nothing was checked, which is no error: the result says so.
func (s *scanner) match(ctx context.Context, packages []*inventory.Package) (*match.Result, []vex.Note, error) {
	db, release, damage := s.store.Acquire()
	defer release()
	judged := s.judge.load()
	o := s.cfg.match()
	o.Rules = judged.rules
	result, err := match.Match(ctx, db, packages, o)
	if err != nil {
		return nil, nil, err
	}
	if damage != nil && !errors.Is(damage, fs.ErrNotExist) {
		// With a database from before the damage, this is what it says of its age.
		for i := range result.Coverage {
			if c := &result.Coverage[i]; db == nil && c.Ecosystem != "" {
				c.Reason = damage.Error() + "; run: ironpost vulndb import"
			}
		}
		s.log.Warn("the advisories cannot be read; import them again: ironpost vulndb import PATH...", "error", damage)
	}
	return result, vex.Apply(result.Findings, vex.Options{}, judged.documents...), nil
}

// write writes an SBOM.
func (s *scanner) write(f *found, req sdk.ScanRequest, out io.Writer) (string, error) {
	format, err := document.ParseFormat(req.Document)
	if err != nil {
		return "", err
	}
	created, err := document.Moment(req.Epoch, time.Now())
	if err != nil {
		return "", err
	}
	d := document.Document{
		Target: f.target, Packages: f.packages, Problems: f.problems, ToolVersion: version(), Created: created,
	}
	return string(format), d.Write(out, format)
}

// find reads a target: a folder, an image, a document that lists packages, or what Docker
// has of a name. platform chooses among those of an image.
func (s *scanner) find(ctx context.Context, target, platform string, progress func(string)) (*found, error) {
	if !filepath.IsAbs(target) && engine.IsName(target) {
		return s.ask(ctx, target, platform, progress)
	}
	if !filepath.IsAbs(target) || strings.ContainsRune(target, 0) {
		return nil, fmt.Errorf("%q is no target: want an absolute path, or the name of a container or an image", target)
	}
	info, err := os.Stat(target)
	switch {
	case err != nil:
		return nil, err
	case image.Is(target):
		return s.unpack(ctx, target, platform, progress)
	case info.IsDir():
		return s.walk(ctx, target, progress)
	case info.Mode().IsRegular():
		return s.read(target)
	}
	return nil, errors.New("it is neither a folder nor a file")
}

// read reads an SBOM.
func (s *scanner) read(path string) (*found, error) {
	f, err := os.Open(path) //nolint:gosec // the target, which the host let the plugin read
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was read only
	c, err := document.Read(f, filepath.Base(path), document.Limits{Bytes: int64(s.cfg.FileBytes), Packages: s.cfg.Packages})
	if err != nil {
		return nil, err
	}
	return &found{target: c.Target, packages: c.Packages, problems: c.Problems, stats: scan.Stats{Files: 1, Read: 1, Packages: len(c.Packages)}}, nil
}

// walk reads a folder.
func (s *scanner) walk(ctx context.Context, target string, progress func(string)) (*found, error) {
	root, err := os.OpenRoot(target)
	if err != nil {
		return nil, err
	}
	v, stats, err := s.memory.scan(ctx, root, s.how(progress))
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &found{
		target: document.Target{Name: filepath.Base(target), Kind: document.Directory}, packages: v.Packages(), problems: v.Problems(), stats: stats,
		files: tree.NewView(root), close: func() { _ = root.Close() }, // it was read only
	}, nil
}

// how says how a tree is scanned.
func (s *scanner) how(progress func(string)) scan.Config {
	workers := s.cfg.Workers
	if workers == 0 {
		workers = runtime.NumCPU()
	}
	// A plugin has one processor, which is enough for those that wait for events.
	runtime.GOMAXPROCS(max(workers, runtime.GOMAXPROCS(0)))
	collectLean()
	return scan.Config{
		Limits: s.cfg.limits(), Readers: s.readers, Skip: s.cfg.Skip, Workers: workers,
		Left: &s.left, Broken: s.broken,
		Progress: func(now scan.Stats) {
			progress(fmt.Sprintf("%d files, %d packages", now.Files, now.Packages))
		},
	}
}

// unpack reads the image in an archive or a folder.
func (s *scanner) unpack(ctx context.Context, target, platform string, progress func(string)) (*found, error) {
	on := engine.ParsePlatform(platform)
	o := image.Options{Dir: s.cfg.DatabaseDir, Limits: s.cfg.image(), OS: on.OS, Arch: on.Arch}
	o.Progress = func(layer, layers int) { progress(fmt.Sprintf("layer %d of %d", layer, layers)) }
	im, err := image.Open(ctx, target, o)
	if err != nil {
		return nil, err
	}
	if err := on.Fits(cmp.Or(im.Name, filepath.Base(target)), im.OS, im.Arch); err != nil {
		return nil, errors.Join(err, im.Close())
	}
	v, stats, err := scan.Image(ctx, im, s.how(progress))
	if err != nil {
		return nil, errors.Join(err, im.Close())
	}
	return &found{
		target:   document.Target{Name: cmp.Or(im.Name, filepath.Base(target)), Kind: document.Image, Version: im.Digest},
		packages: v.Packages(), problems: v.Problems(), stats: stats,
		files: im.View(), close: func() { _ = im.Close() }, // it was read only
	}, nil
}

// version is what the plugin was built as.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
