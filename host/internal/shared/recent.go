package shared

import "time"

// Bounds of what is told again to an engine that may have forgotten it.
const (
	maxRecent      = 8192
	maxRecentBytes = 8 << 20
	// unsafe is how long an engine may take to make safe what it said it has. One that
	// flushes once a second has lost more than that when its disk was busy.
	unsafe = 3 * time.Second
)

// recent are the newest events that the engine said it has and that completed no window,
// oldest first.
type recent struct {
	events []*difference
	bytes  int
	// all says that the engine has lost everything, not only what came last.
	all bool
}

func (r *recent) add(d *difference) {
	d.size = differenceBytes + 2*len(d.op.Key) + d.pledge.size()
	r.events = append(r.events, d)
	r.bytes += d.size
	for len(r.events) > maxRecent || r.bytes > maxRecentBytes {
		r.bytes -= r.events[0].size
		r.events[0] = nil
		r.events = r.events[1:]
	}
}

// take returns what the engine may have lost.
func (r *recent) take(now time.Time) []*difference {
	var out []*difference
	for _, d := range r.events {
		age := now.UnixNano() - d.noted
		if age <= int64(unsafe) || r.all && age <= int64(d.op.Span) { //nolint:gosec // it was checked
			out = append(out, d)
		}
	}
	r.all = false
	return out
}
