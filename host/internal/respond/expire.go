package respond

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// releaseAllowed removes the blocks that a rule now allows whole; r.mu is held.
func (r *Responder) releaseAllowed() error {
	return r.end(func(p netip.Prefix, _ *entry) (pb.Outcome, string) {
		rule, b, found := covering(r.never, p)
		if !found || b.rail != RailAllow && b.rail != RailProxy {
			return 0, ""
		}
		return pb.Outcome_OUTCOME_RELEASED, b.sentence(rule) + "."
	})
}

// maxTold bounds the blocks of operators that end at one time and are each
// recorded; of more, their number is.
const maxTold = 32

// end removes every block for which judge returns an outcome, and records it;
// r.mu is held. An error says that nothing was removed.
func (r *Responder) end(judge func(netip.Prefix, *entry) (pb.Outcome, string)) error {
	type ended struct {
		prefix  netip.Prefix
		outcome pb.Outcome
		reason  string
	}
	var list []ended
	var keys []string
	for p, e := range r.blocks {
		if o, reason := judge(p, e); o != 0 {
			list = append(list, ended{p, o, reason})
			keys = append(keys, p.String())
		}
	}
	if len(list) == 0 {
		return nil
	}
	if err := r.blockTable.Delete(keys...); err != nil {
		return err
	}
	quiet := make(map[pb.Outcome]int)
	told := 0
	for _, x := range list {
		e := r.blocks[x.prefix]
		delete(r.blocks, x.prefix)
		r.drop(x.prefix)
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
	return nil
}

// expire ends what is over and returns how long until something else is; r.mu is
// held.
func (r *Responder) expire() time.Duration {
	err := r.end(func(_ netip.Prefix, e *entry) (pb.Outcome, string) {
		if r.clock.remaining(e.Stamp) > 0 {
			return 0, ""
		}
		return pb.Outcome_OUTCOME_EXPIRED, "The time of the block is over."
	})
	if err != nil {
		// What is over must not stay in force because it cannot be forgotten.
		r.log.Error("expired blocks cannot be removed from the state database, trying again", "error", err)
	}
	wait := forever
	for p, e := range r.blocks {
		left := r.clock.remaining(e.Stamp)
		if left <= 0 {
			r.drop(p)
			left = mendInterval
		}
		wait = min(wait, left)
	}
	return min(wait, r.expireAllows())
}

// expireAllows is expire for the operator's allow list; r.mu is held.
func (r *Responder) expireAllows() time.Duration {
	wait := forever
	var over []string
	for p, e := range r.allows {
		if left := r.clock.remaining(e.Stamp); left > 0 {
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
