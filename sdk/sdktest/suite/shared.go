package suite

import (
	"context"
	"slices"
	"sync"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// sharedService is the host service through which plugins count together with other hosts.
const sharedService = "shared"

// serveShared answers what a plugin that asks for the service counts, as a host alone does.
// It ends with the check.
func (h *Host) serveShared(d *pb.Description) {
	if !slices.Contains(d.GetPermissions().GetServices(), sharedService) {
		return
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.tb.Context()))
	var serving sync.WaitGroup
	h.tb.Cleanup(func() { cancel(); serving.Wait() })
	serving.Go(func() {
		stream, err := h.base.HostServices(ctx)
		if err != nil {
			return // a plugin that opens none asks for nothing
		}
		engine := simple{windows: make(map[string]*simpleWindow), counters: make(map[string]uint64), owners: make(map[string]string)}
		for {
			call, err := stream.Recv()
			if err != nil {
				return
			}
			reply := &pb.HostReply{Id: call.Id, Error: "the suite serves nothing but " + sharedService}
			if req := call.GetShared(); req != nil {
				reply.Error, reply.Shared = "", engine.apply(req)
			}
			if stream.Send(reply) != nil {
				return
			}
		}
	})
}

// simple counts like a host that is alone, for as long as a check: it forgets nothing.
type simple struct {
	windows  map[string]*simpleWindow
	counters map[string]uint64
	owners   map[string]string
}

// simpleWindow holds the events of a window, and what became of those that it held.
type simpleWindow struct {
	times map[string]int64 // by id, or by value where there is one
	ids   map[string]bool
	done  map[string]bool
	said  *int64 // when it was done last
}

func (s *simple) apply(req *pb.SharedRequest) []*pb.SharedResult {
	out := make([]*pb.SharedResult, len(req.Operations))
	for i, op := range req.Operations {
		key := string(op.Key)
		switch o := op.Operation.(type) {
		case *pb.SharedOperation_Window:
			w := s.windows[key]
			if w == nil {
				w = &simpleWindow{times: make(map[string]int64), ids: make(map[string]bool), done: make(map[string]bool)}
				s.windows[key] = w
			}
			out[i] = w.add(o.Window, int64(op.Span)) //nolint:gosec // a week at the most
		case *pb.SharedOperation_Counter:
			key += time.Now().Truncate(time.Duration(op.Span)).String() //nolint:gosec // likewise
			s.counters[key] += uint64(o.Counter.Amount)
			out[i] = &pb.SharedResult{Count: s.counters[key], Done: s.counters[key] <= o.Counter.Limit}
		case *pb.SharedOperation_Claim:
			if s.owners[key] == "" {
				s.owners[key] = string(o.Claim.Owner)
			}
			out[i] = &pb.SharedResult{Done: s.owners[key] == string(o.Claim.Owner)}
		default:
			out[i] = &pb.SharedResult{}
		}
	}
	return out
}

func (w *simpleWindow) add(a *pb.WindowAdd, span int64) *pb.SharedResult {
	id, at := string(a.Id), int64(a.Time) //nolint:gosec // it came from an int64
	if w.done[id] {
		return &pb.SharedResult{Count: uint64(a.Threshold), Done: true}
	}
	unit := id
	if len(a.Value) > 0 {
		unit = "value " + string(a.Value)
	}
	if _, member := w.times[unit]; w.ids[id] && !member {
		return &pb.SharedResult{}
	}
	if t, member := w.times[unit]; !member || at > t && !w.ids[id] {
		w.times[unit] = at
	}
	w.ids[id] = true
	most := uint64(0)
	for _, end := range w.times {
		if mine := w.times[unit]; mine > end || mine <= end-span {
			continue
		}
		within := uint64(0)
		for _, t := range w.times {
			if t <= end && t > end-span {
				within++
			}
		}
		most = max(most, within)
	}
	if most < uint64(a.Threshold) {
		return &pb.SharedResult{Count: most}
	}
	clear(w.times)
	quiet := int64(a.Quiet) //nolint:gosec // a week at the most
	if w.said != nil && max(at-*w.said, *w.said-at) < quiet {
		return &pb.SharedResult{Count: most}
	}
	w.done[id], w.said = true, &at
	return &pb.SharedResult{Count: most, Done: true}
}
