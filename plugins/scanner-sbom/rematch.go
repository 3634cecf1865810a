package main

import (
	"context"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vex"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// rematcher tells what other advisories change about findings. It holds the database that the
// last ones rest on, so that the two can be compared.
type rematcher struct {
	scanner *scanner

	begun   bool
	db      *vulndb.DB
	release func()
	judged  *judgement
	day     string // rules end on one
}

func (r *rematcher) close() {
	if r.release != nil {
		r.release()
	}
}

// rematch says which of the packages have other findings than at the call before, and what
// they are; all says that this is not known, since what the operator says of findings
// changed, or there is no database to compare with.
func (r *rematcher) rematch(ctx context.Context, packages func() []*inventory.Package) (changed map[*inventory.Package][]*match.Finding, all bool, err error) {
	db, release, _ := r.scanner.store.Acquire() // a damaged one is told of by those who match
	judged, day := r.scanner.judge.now.Load(), time.Now().UTC().Format(time.DateOnly)
	if r.begun && db == r.db && judged == r.judged && day == r.day {
		release()
		return nil, false, nil
	}
	switch {
	case !r.begun: // there is nothing to compare with, and nobody has matched anything
	case judged != r.judged || day != r.day || db == nil || r.db == nil:
		all = true
	default:
		if changed, err = r.compare(ctx, db, packages()); err != nil {
			release()
			return nil, false, err
		}
	}
	r.close()
	r.begun, r.db, r.release, r.judged, r.day = true, db, release, judged, day
	return changed, all, nil
}

// compare finds the packages that the advisories which differ are about.
func (r *rematcher) compare(ctx context.Context, db *vulndb.DB, packages []*inventory.Package) (map[*inventory.Package][]*match.Finding, error) {
	judged := r.scanner.judge.load()
	o := r.scanner.cfg.match()
	o.Rules = judged.rules
	list, err := match.NewIndex(packages).Changes(ctx, r.db, db, o)
	if err != nil {
		return nil, err
	}
	out := make(map[*inventory.Package][]*match.Finding, len(list))
	for _, c := range list {
		vex.Apply(c.After, vex.Options{}, judged.documents...)
		out[c.Package] = c.After
	}
	return out, nil
}
