package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/report"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/sdk"
)

// scanner implements sdk.Scanner.
type scanner struct {
	cfg     *config
	log     hclog.Logger
	readers []*extract.Reader
}

func (s *scanner) setup(_ context.Context, env sdk.Env) (err error) {
	if err := s.cfg.validate(); err != nil {
		return err
	}
	s.log = env.Logger
	extract.Log(env.Logger)
	s.readers, err = extract.Readers()
	return err
}

// Scan implements sdk.Scanner.
func (s *scanner) Scan(ctx context.Context, req sdk.ScanRequest, out io.Writer) (string, error) {
	if !filepath.IsAbs(req.Target) || strings.ContainsRune(req.Target, 0) {
		return "", fmt.Errorf("%q is no target: want an absolute path", req.Target)
	}
	inv, stats, err := s.inventory(ctx, req.Target, req.Progress)
	if err != nil {
		return "", err
	}
	r := report.Report{Target: req.Target, Packages: inv.Packages(), Problems: inv.Problems(), Stats: stats}
	r.Complete()
	switch req.Document {
	case "", "report":
		return "report", r.Write(out)
	}
	return "", fmt.Errorf("there is no document %q", req.Document)
}

// inventory reads a target.
func (s *scanner) inventory(ctx context.Context, target string, progress func(string)) (*inventory.Inventory, scan.Stats, error) {
	info, err := os.Stat(target)
	if err != nil {
		return nil, scan.Stats{}, err
	}
	if !info.IsDir() {
		return nil, scan.Stats{}, errors.New("it is no folder")
	}
	root, err := os.OpenRoot(target)
	if err != nil {
		return nil, scan.Stats{}, err
	}
	defer func() { _ = root.Close() }() // it was read only
	workers := s.cfg.Workers
	if workers == 0 {
		workers = runtime.NumCPU()
	}
	// A plugin has one processor, which is enough for those that wait for events.
	runtime.GOMAXPROCS(max(workers, runtime.GOMAXPROCS(0)))
	return scan.Dir(ctx, root, scan.Config{
		Limits: s.cfg.limits(), Readers: s.readers, Skip: s.cfg.Skip, Workers: workers,
		Progress: func(now scan.Stats) {
			progress(fmt.Sprintf("%d files, %d packages", now.Files, now.Packages))
		},
	})
}
