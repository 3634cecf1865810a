package respond

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/host/internal/expiry"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// releaseAllowed removes the blocks that a rule now allows whole; r.mu is held.
func (r *Responder) releaseAllowed() error {
	_, err := r.end(math.MaxInt, func(p netip.Prefix, _ *entry) (pb.Outcome, string) {
		rule, b, found := covering(r.never, p)
		if !found || b.rail != RailAllow && b.rail != RailProxy {
			return 0, ""
		}
		return pb.Outcome_OUTCOME_RELEASED, b.sentence(rule) + "."
	})
	return err
}

// releaseCovered ends what enforcers asked for about addresses where a block of a
// network around them keeps more away: the longest network decides, so that a limit
// would let packets pass that are to be dropped. r.mu is held.
func (r *Responder) releaseCovered() error {
	book := r.book()
	_, err := r.end(math.MaxInt, func(p netip.Prefix, e *entry) (pb.Outcome, string) {
		if e.Source == OperatorName || e.Under != nil || e.compare(deed{}) >= 0 {
			return 0, ""
		}
		at, by := book.around(p)
		if by.entry == nil || by.entry.compare(e.deed) <= 0 {
			return 0, ""
		}
		return pb.Outcome_OUTCOME_RELEASED, fmt.Sprintf("%s is %s, which keeps more away.", text(at), by.entry.verdict())
	})
	return err
}

// maxEnded bounds the blocks that end while the lock is held.
const maxEnded = 2048

// maxTold bounds the blocks of operators that end at one time and are each
// recorded; of more, their number is.
const maxTold = 32

// end removes blocks for which judge returns an outcome, at most so many, and
// records it; r.mu is held. It reports whether there may be more. An error says
// that nothing was removed.
func (r *Responder) end(most int, judge func(netip.Prefix, *entry) (pb.Outcome, string)) (more bool, err error) {
	type ended struct {
		prefix  netip.Prefix
		outcome pb.Outcome
		reason  string
	}
	var list []ended
	var keys []string
	back := make(map[string]entry) // what comes back
	for p, e := range r.blocks {
		if len(list) == most {
			more = true
			break
		}
		if o, reason := judge(p, e); o != 0 {
			list = append(list, ended{p, o, reason})
			if u := e.Under; o == pb.Outcome_OUTCOME_EXPIRED && u != nil && r.clock.Remaining(u.Stamp) > 0 {
				back[p.String()] = *u
			} else {
				keys = append(keys, p.String())
			}
		}
	}
	if len(list) == 0 {
		return false, nil
	}
	if len(back) > 0 {
		if err := r.blockTable.PutAll(back); err != nil {
			return false, err
		}
	}
	if err := r.blockTable.Delete(keys...); err != nil {
		return false, err
	}
	quiet := make(map[pb.Outcome]int)
	told := 0
	networks := make([]netip.Prefix, 0, len(list))
	for _, x := range list {
		e := r.blocks[x.prefix]
		delete(r.blocks, x.prefix)
		if _, ok := back[x.prefix.String()]; ok {
			r.blocks[x.prefix] = e.Under
		}
		r.replaced(x.prefix, e, r.blocks[x.prefix])
		networks = append(networks, x.prefix)
		if e.Intent == "" {
			if told++; told > maxTold {
				quiet[x.outcome]++
				continue
			}
		}
		r.tellBlock(x.prefix, e, x.outcome, x.reason)
	}
	for o, n := range quiet {
		r.tell(&pb.ActionEvent{
			Enforcer: OperatorName, Action: actionBlock, Outcome: o, Reason: fmt.Sprintf("%d more blocks ended.", n),
			Details: []*pb.Field{{Key: "count", Value: strconv.Itoa(n)}},
		})
	}
	return more, r.settle(networks, false)
}

// expire ends what is over and returns how long until something else is; r.mu is
// held.
func (r *Responder) expire() time.Duration {
	more, err := r.end(maxEnded, func(_ netip.Prefix, e *entry) (pb.Outcome, string) {
		if r.clock.Remaining(e.Stamp) > 0 {
			return 0, ""
		}
		return pb.Outcome_OUTCOME_EXPIRED, "The time of the block is over."
	})
	if err != nil {
		// What is over must not stay in force because it cannot be forgotten.
		r.log.Error("expired blocks cannot be removed from the state database, trying again", "error", err)
	}
	if more {
		return min(0, r.expireAllows())
	}
	wait := expiry.Forever
	var over []netip.Prefix
	for p, e := range r.blocks {
		left := r.clock.Remaining(e.Stamp)
		if left <= 0 {
			over = append(over, p)
			left = mendInterval
		}
		wait = min(wait, left)
	}
	_ = r.settle(over, false) // it does not err
	return min(wait, r.expireAllows())
}

// expireAllows is expire for the operator's allow list; r.mu is held.
func (r *Responder) expireAllows() time.Duration {
	wait := expiry.Forever
	var over []string
	for p, e := range r.allows {
		if left := r.clock.Remaining(e.Stamp); left > 0 {
			wait = min(wait, left)
		} else {
			over = append(over, p.String())
			delete(r.allows, p)
		}
	}
	if len(over) > 0 {
		if err := r.allowTable.Delete(over...); err != nil {
			r.log.Error("cannot forget allowed addresses that are over", "error", err)
		}
		r.rebuild()
	}
	return wait
}
