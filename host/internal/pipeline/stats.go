package pipeline

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Stats counts what went through. All counters are records since the start.
type Stats struct {
	Received, Parsed, Unparsed, Packets atomic.Uint64

	mu      sync.Mutex
	drops   map[[2]string]uint64
	reasons map[string]uint64
	streams map[uint64]*StreamStats
}

// StreamStats counts one stream.
type StreamStats struct {
	Name, Plugin, Parser string
	Records              atomic.Uint64
}

// Bounds of what is counted apart; plugins choose the names.
const (
	maxStats  = 4096
	maxReason = 64 // bytes of a name
	other     = "other"
)

// bounded replaces a name that is too long to be one.
func bounded(reason string) string {
	if len(reason) > maxReason {
		return other
	}
	return reason
}

// Drop counts records lost at a stage for a reason.
func (s *Stats) Drop(stage, reason string, n uint64) {
	if n == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := [2]string{stage, bounded(reason)}
	if _, known := s.drops[key]; !known && len(s.drops) >= maxStats {
		key = [2]string{other, other}
	}
	s.drops[key] += n
}

// DropCount is one counter of drops.
type DropCount struct {
	Stage, Reason string
	Count         uint64
}

// Drops returns the drops by stage and reason, sorted.
func (s *Stats) Drops() []DropCount {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]DropCount, 0, len(s.drops))
	for k, c := range s.drops {
		out = append(out, DropCount{k[0], k[1], c})
	}
	slices.SortFunc(out, func(a, b DropCount) int { return strings.Compare(a.Stage+"\x00"+a.Reason, b.Stage+"\x00"+b.Reason) })
	return out
}

func (s *Stats) unparsed(reason string, n uint64) {
	s.Unparsed.Add(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	reason = bounded(reason)
	if _, known := s.reasons[reason]; !known && len(s.reasons) >= maxStats {
		reason = other
	}
	s.reasons[reason] += n
}

// Reasons returns why records could not be parsed, by code.
func (s *Stats) Reasons() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]uint64, len(s.reasons))
	maps.Copy(out, s.reasons)
	return out
}

// stream counts records of a stream.
func (s *Stats) stream(id uint64, name, plugin, parser string, n uint64) {
	s.mu.Lock()
	st := s.streams[id]
	defer s.mu.Unlock()
	if st == nil || st.Parser != parser { // readers hold the old one
		if st == nil && len(s.streams) >= maxStats {
			clear(s.streams)
		}
		before := st
		st = &StreamStats{Name: name, Plugin: plugin, Parser: parser}
		if before != nil {
			st.Records.Store(before.Records.Load())
		}
		s.streams[id] = st
	}
	st.Records.Add(n)
}

// Streams returns the streams that delivered something, sorted by name.
func (s *Stats) Streams() []*StreamStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*StreamStats, 0, len(s.streams))
	for _, st := range s.streams {
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b *StreamStats) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Gap is a time in which a plugin did not see events that it should have.
type Gap struct {
	Plugin, Reason string
	From, To       time.Time // To is zero while the gap is open
	Events         uint64
}

// Gaps are the newest gaps of one plugin. They outlive its place in the flow. A nil
// value takes nothing.
type Gaps struct {
	plugin  string
	changed chan<- struct{} // has room for the news that a gap began or ended
	open    atomic.Bool     // there may be an open gap

	mu   sync.Mutex
	list []Gap
}

// SameGap is how soon after its end a gap goes on instead of a new one.
const SameGap = 10 * time.Second

// maxGaps bounds the gaps remembered per plugin.
const maxGaps = 64

func (g *Gaps) add(reason string, n uint64) {
	if g == nil || n == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.open.Store(true)
	for i := range slices.Backward(g.list) {
		last := &g.list[i]
		if last.Reason == reason && (last.To.IsZero() || now.Sub(last.To) < SameGap) {
			last.To = time.Time{} // who looks only when it changes sees the end again
			last.Events += n
			return
		}
	}
	if len(g.list) >= maxGaps {
		g.list = slices.Delete(g.list, 0, 1)
	}
	g.list = append(g.list, Gap{Plugin: g.plugin, Reason: reason, From: now, Events: n})
	g.tell()
}

// tell announces a change.
func (g *Gaps) tell() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

func (g *Gaps) close() {
	if !g.open.Swap(false) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.list {
		if g.list[i].To.IsZero() {
			g.list[i].To = time.Now()
		}
	}
	g.tell()
}

// GapsChanged receives when a gap began or ended since it was looked at. It is for
// one reader.
func (p *Pipeline) GapsChanged() <-chan struct{} { return p.changed }

// List returns the gaps, oldest first.
func (g *Gaps) List() []Gap {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.list)
}

// Gaps returns the gaps of all plugins, those that are open included.
func (p *Pipeline) Gaps() []Gap {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var out []Gap
	for _, g := range p.gaps {
		out = append(out, g.List()...)
	}
	slices.SortFunc(out, func(a, b Gap) int { return a.From.Compare(b.From) })
	return out
}
