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

// owed reports whether an alert is due: it was pledged for a window that is complete, and its
// limit does not hold it back.
func (t *task) owed() bool {
	w := t.op.GetWindow()
	return w != nil && !w.Counted && len(t.alert) > 0 && t.result.Done && !t.result.Limited
}

// pay raises the alerts that are owed and within their limits, and returns once they are
// safe. In a merge nobody is there to be told of one that cannot be read.
func (f *Front) pay(ctx context.Context, all []task, merging bool) error {
	f.limit(ctx, all, merging)
	for i := range all {
		t := &all[i]
		if !t.owed() {
			continue
		}
		plugin := owner(t.op.Key)
		if err := f.raised(ctx, plugin, t.alert); merging && errors.Is(err, errAlert) {
			f.log.Warn("a window was completed, and its alert cannot be raised", "plugin", plugin, "error", err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// limit counts alerts that are owed, and has those results say Limited that are beyond what
// there may be. That an event's alert was held back is remembered with the event.
func (f *Front) limit(ctx context.Context, all []task, merging bool) {
	var counters []task
	var counted []*task
	for i := range all {
		t := &all[i]
		if t.limit == nil || t.again || !t.owed() {
			continue
		}
		counted = append(counted, t)
		counters = append(counters, task{op: &pb.SharedOperation{
			Key: fullKey(owner(t.op.Key), t.limit.Key), Span: t.limit.Span,
			Operation: &pb.SharedOperation_Counter{Counter: &pb.CounterAdd{Amount: 1, Limit: t.limit.Count}},
		}})
	}
	if len(counters) == 0 {
		return
	}
	f.carryOut(ctx, counters, merging)
	held := uint64(0)
	for i, t := range counted {
		if !counters[i].result.Done {
			held++
			t.result.Limited = true
			f.local.holdBack(t.op)
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
