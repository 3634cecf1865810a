package guard

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ironpost/ironpost/host/internal/config"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// detailCoveredBy names, in what is told of an intent, the one that had in effect
// already what it asks for.
const detailCoveredBy = "covered_by"

// networks are those that an isolation is of, none for all.
func (in *intent) networks() (out []string) {
	for _, d := range in.Details {
		if d.Key == detailNetwork {
			out = append(out, d.Value)
		}
	}
	return out
}

// alike reports whether two intents are the same verb on the same target.
func (in *intent) alike(o *intent) bool {
	return in.Target == o.Target && in.Action == o.Action && in.Enforcer == o.Enforcer
}

// covers reports whether in has in effect, or will, all that o asks for.
func (in *intent) covers(o *intent) bool {
	mine, asked := in.networks(), o.networks()
	if len(mine) == 0 {
		return true
	}
	return len(asked) > 0 && !slices.ContainsFunc(asked, func(n string) bool { return !slices.Contains(mine, n) })
}

// overlaps reports whether two isolations have a network in common.
func (in *intent) overlaps(o *intent) bool {
	mine, theirs := in.networks(), o.networks()
	return len(mine) == 0 || len(theirs) == 0 || slices.ContainsFunc(mine, func(n string) bool { return slices.Contains(theirs, n) })
}

// coveredBy returns the intent that covers what an enforcer proposes, nil when there
// is none. One that waits for more operators than the new one needs covers nothing: a
// mild alert must not keep a severe one from being answered. While the same is being released it is refused: the state that is to be
// restored is half restored then. What an operator orders is left to the enforcer to
// judge. g.mu is held.
func (g *Guard) coveredBy(in *intent) (by *intent, no *refusal) {
	for _, o := range g.open() {
		switch {
		case in.Actor != "" || !o.alike(in):
		case o.State == Releasing || o.EndsAs != "":
			return nil, refusing(CodeAlready, "The same, %s, is being released.", o.ID)
		case o.State == Planned && o.Approvals > in.Approvals:
		case by == nil && o.covers(in):
			by = o
		}
	}
	return by, nil
}

// cover records that what an intent asks for is in effect already, or about to be,
// by another one. The end of that one is put off only when the new one asks for the
// very same for longer than that one did: so an answer of a minute takes no place of
// one of a day, and an alert that comes again and again puts nothing off.
func (g *Guard) cover(ctx context.Context, in, by *intent, mode config.Mode) error {
	outcome := pb.Outcome_OUTCOME_PLANNED
	g.mu.Lock()
	if in.TTL > by.TTL && in.covers(by) && in.Approvals <= by.Approvals {
		by.TTL = in.TTL
		if by.State != Planned {
			by.Stamp = g.Clock.Stamp(in.TTL)
		}
		if err := g.table.Put(key(by.Enforcer, by.ID), *by); err != nil {
			g.mu.Unlock()
			return err
		}
	}
	in.Note = fmt.Sprintf("The same waits already: %s, decided %s.", by.ID, by.Created.Format(time.RFC3339))
	if by.State == Applied || by.State == Partial {
		outcome = pb.Outcome_OUTCOME_APPLIED
		if by.State == Partial {
			outcome = pb.Outcome_OUTCOME_PARTIAL
		}
		in.Stamp = by.Stamp
		in.Note = fmt.Sprintf("It is in effect already, until %s: %s, decided %s.",
			g.Clock.Wall().Add(g.left(by.Stamp)).UTC().Format(time.RFC3339), by.ID, by.Created.Format(time.RFC3339))
	}
	g.counts["covered"]++
	now := g.Clock.Boot()
	g.refusals.Closes(now)
	spoken := g.refusals.Admit(now, maxRefusals)
	g.mu.Unlock()
	in.State, in.CoveredBy = Done, by.ID
	in.After = append(in.After, detail{"code", CodeAlready}, detail{detailCoveredBy, by.ID})
	if spoken {
		if err := g.record(ctx, in.event(outcome, string(mode), sentence(in.Reason, in.Note))); err != nil {
			return err
		}
	}
	return g.keep(in)
}

// held reports whether the end of an intent waits for one of the same verb, about the
// same network, that was carried out after it: what each restores is what was there when it began,
// so that they end in the reverse order. g.mu is held.
func (g *Guard) held(in *intent, mode config.Mode, left time.Duration) bool {
	under := func(s State) bool { return slices.Contains([]State{Applied, Partial, Unknown, Releasing}, s) }
	ends := in.EndsAs != "" || left <= 0 || mode != config.Enforce || g.off != nil && g.off.Release
	if !ends || !under(in.State) || in.endless() {
		return false
	}
	for _, o := range g.intents {
		if o.Order > in.Order && o.alike(in) && o.overlaps(in) && !o.endless() && (under(o.State) || o.State == Executing) {
			return true
		}
	}
	return false
}
