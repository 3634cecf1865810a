package main

import (
	"context"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
)

// observe looks whether programs of the target have the functions that advisories name as
// vulnerable. The database may have been replaced since the match: then what it does not
// know any more is unknown.
func (s *scanner) observe(ctx context.Context, f *found, r *match.Result) error {
	db, release, _ := s.store.Acquire() // what is wrong with it was told by the match
	defer release()
	var open match.Opener
	if f.files != nil {
		open = match.OpenFrom(f.files)
	}
	return match.Observe(ctx, db, r.Findings, open, match.Observation{})
}

// examineTime is how long the programs of a target that is watched may take: the alerts about
// them wait.
const examineTime = 20 * time.Second

// examine is the same of findings about what runs.
func (s *scanner) examine(ctx context.Context, findings []*match.Finding, open match.Opener) error {
	db, release, _ := s.store.Acquire()
	defer release()
	return match.Observe(ctx, db, findings, open, match.Observation{Time: examineTime})
}
