package main

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"
	"sync/atomic"

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

// judge keeps the judgement in force.
type judge struct {
	mu  sync.Mutex // of who changes it: bundles are loaded concurrently
	now atomic.Pointer[judgement]
}

func (j *judge) load() judgement {
	if now := j.now.Load(); now != nil {
		return *now
	}
	return judgement{}
}

// LoadBundle implements sdk.BundleLoader. A file that is wrong is named, and the
// others hold.
func (s *scanner) LoadBundle(_ context.Context, name string, files fs.FS, check bool) (report sdk.BundleReport, err error) {
	s.judge.mu.Lock()
	defer s.judge.mu.Unlock()
	next := s.judge.load()
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
		loaded, err := next.add(name, data)
		report.Rules += loaded
		report.Loaded += loaded
		if err != nil {
			report.Rejected = append(report.Rejected, sdk.BundleProblem{File: path.Clean(file), Code: "malformed", Reason: err.Error()})
		}
		return nil
	})
	if err != nil {
		return report, err
	}
	if !check {
		s.judge.now.Store(&next)
	}
	return report, nil
}

// add takes over one file, and returns how many rules or documents it has.
func (j *judgement) add(bundle string, data []byte) (int, error) {
	if bundle == ignoreBundle {
		rules, err := match.ParseRules(data)
		if err != nil {
			return 0, err
		}
		j.rules = append(slices.Clip(j.rules), rules...)
		return len(rules), nil
	}
	d, err := vex.Read(data)
	if err != nil {
		return 0, err
	}
	j.documents = append(slices.Clip(j.documents), d)
	return 1, nil
}
