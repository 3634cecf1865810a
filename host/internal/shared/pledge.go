package shared

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// pledge is what is owed for a window that is complete: an alert, encoded, and how many
// there may be.
type pledge struct {
	alert []byte
	limit *pb.AlertLimit // nil is without
}

// pledgeOf is what comes with a plugin's operation.
func pledgeOf(op *pb.SharedOperation) pledge {
	w := op.GetWindow()
	return pledge{alert: w.GetAlert(), limit: w.GetLimit()}
}

func (p pledge) size() int { return len(p.alert) + len(p.limit.GetKey()) }

// owed is an alert that was pledged for a window which is complete.
type owed struct {
	pledge
	op     *pb.SharedOperation
	result *pb.SharedResult
	// again says that the window was complete before: the alert was counted then.
	again bool
}

// owed are the alerts that are due for what a call completed.
func (c *call) owed() (out []owed) {
	for i, r := range c.results {
		if w := c.ops[i].GetWindow(); w != nil && !w.Counted && r.Done && len(c.pledges[i].alert) > 0 {
			out = append(out, owed{c.pledges[i], c.ops[i], r, c.again[i]})
		}
	}
	return out
}

// pay raises the alerts that are within their limits, and returns once they are safe. In a
// merge nobody is there to be told of one that cannot be read.
func (f *Front) pay(ctx context.Context, all []owed, merging bool) error {
	f.limit(ctx, all, merging)
	for _, o := range all {
		if o.result.Limited {
			continue
		}
		plugin := owner(o.op.Key)
		if err := f.raised(ctx, plugin, o.alert); merging && errors.Is(err, errAlert) {
			f.log.Warn("a window was completed, and its alert cannot be raised", "plugin", plugin, "error", err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// limit counts alerts that are to be raised, and has those results say Limited that are
// beyond what there may be. That an event's alert was held back is remembered with the event.
func (f *Front) limit(ctx context.Context, all []owed, merging bool) {
	c := &call{}
	var counted []owed
	for _, o := range all {
		if o.limit == nil || o.again {
			continue
		}
		counted = append(counted, o)
		c.add(&pb.SharedOperation{Key: fullKey(owner(o.op.Key), o.limit.Key), Span: o.limit.Span, Operation: &pb.SharedOperation_Counter{
			Counter: &pb.CounterAdd{Amount: 1, Limit: o.limit.Count},
		}}, pledge{})
	}
	if len(counted) == 0 {
		return
	}
	f.carryOut(ctx, c, merging)
	held := uint64(0)
	for i, o := range counted {
		if !c.results[i].Done {
			held++
			o.result.Limited = true
			f.local.holdBack(o.op)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts.Limited += held
	f.changed()
}

// raised raises a pledged alert.
func (f *Front) raised(ctx context.Context, plugin string, alert []byte) error {
	var a pb.AlertEvent
	if err := proto.Unmarshal(alert, &a); err != nil || a.Id == "" {
		return errAlert
	}
	if a.Provenance == pb.Provenance_PROVENANCE_UNSPECIFIED {
		a.Provenance = pb.Provenance_PROVENANCE_NETWORK // what is not known is trusted least
	}
	if err := f.raise(ctx, plugin, &a); err != nil {
		return fmt.Errorf("raise the alert of a window: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts.Alerts++
	return nil
}

// errAlert is the error of a pledged alert that cannot be read.
var errAlert = errors.New("the alert of a window cannot be read, or has no id")
