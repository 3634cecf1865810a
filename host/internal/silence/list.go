package silence

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// List returns the silences that hold, those first that end first, and with all those
// that ended, the newest first.
func (b *Book) List(_ context.Context, all bool) ([]*pb.Silence, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire()
	var out []*pb.Silence
	for _, e := range slices.SortedStableFunc(slices.Values(b.active), func(x, y *entry) int {
		return cmp.Compare(b.clock.Remaining(x.Stamp), b.clock.Remaining(y.Stamp))
	}) {
		out = append(out, e.message())
	}
	if all {
		for _, e := range slices.SortedFunc(maps.Values(b.ended), func(x, y *entry) int {
			return cmp.Or(y.Ended.Compare(x.Ended), strings.Compare(x.id, y.id))
		}) {
			out = append(out, e.message())
		}
	}
	return out, nil
}

// message is the silence as the control API shows it.
func (e *entry) message() *pb.Silence {
	m := &pb.Silence{
		Id: e.id, Rules: e.Rules, Detectors: e.Detectors, MaxSeverity: e.MaxSeverity, Reason: e.Reason, By: e.By,
		Created: timestamppb.New(e.Created), Expires: timestamppb.New(e.Stamp.Expires), State: "active", Held: e.Held,
	}
	for _, x := range e.Entities {
		m.Entities = append(m.Entities, x.Key+"="+x.Value)
	}
	if !e.LastHeld.IsZero() {
		m.LastHeld = timestamppb.New(e.LastHeld)
	}
	switch {
	case e.Removed:
		m.State, m.Removed, m.RemovedBy = "removed", timestamppb.New(e.Ended), e.RemovedBy
	case !e.Ended.IsZero():
		m.State = "expired"
	}
	return m
}
