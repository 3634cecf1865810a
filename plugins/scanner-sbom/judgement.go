package main

import (
	"context"
	"fmt"
	"io/fs"
	"path"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vex"
	"github.com/ironpost/ironpost/sdk"
)

// The bundles: files that say which findings do not count.
const (
	ignoreBundle = "ignore"
	vexBundle    = "vex"
)

// judgement is what the operator says about findings. It does not change.
type judgement struct {
	rules     []match.Rule
	documents []*vex.Document
}

// LoadBundle implements sdk.BundleLoader. A file that is wrong is named, and the
// others hold.
func (s *scanner) LoadBundle(_ context.Context, name string, files fs.FS, check bool) (report sdk.BundleReport, err error) {
	var next judgement
	if now := s.judged.Load(); now != nil {
		next = *now
	}
	switch name {
	case ignoreBundle:
		next.rules = nil
	case vexBundle:
		next.documents = nil
	default:
		return report, fmt.Errorf("there is no bundle %q", name)
	}
	err = fs.WalkDir(files, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		report.Files++
		data, err := fs.ReadFile(files, file)
		if err != nil {
			return err
		}
		if err := next.add(name, data); err != nil {
			report.Rejected = append(report.Rejected, sdk.BundleProblem{File: path.Clean(file), Code: "malformed", Reason: err.Error()})
			return nil
		}
		report.Loaded++
		return nil
	})
	if err != nil {
		return report, err
	}
	report.Rules = report.Files
	if !check {
		s.judged.Store(&next)
	}
	return report, nil
}

func (j *judgement) add(bundle string, data []byte) error {
	if bundle == ignoreBundle {
		rules, err := match.ParseRules(data)
		if err == nil {
			j.rules = append(j.rules, rules...)
		}
		return err
	}
	d, err := vex.Read(data)
	if err == nil {
		j.documents = append(j.documents, d)
	}
	return err
}
