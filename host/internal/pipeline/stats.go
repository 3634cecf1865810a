package pipeline

import (
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
	drops   map[[2]string]*atomic.Uint64
	reasons map[string]uint64
	streams map[uint64]*StreamStats
}

// StreamStats counts one stream.
type StreamStats struct {
	Name, Plugin, Parser string
	Records              atomic.Uint64
}

// maxStats bounds the distinct names that are counted apart.
const maxStats = 4096

// Drop counts records lost at a stage for a reason.
func (s *Stats) Drop(stage, reason string, n uint64) {
	if n == 0 {
		return
	}
	s.mu.Lock()
	c := s.drops[[2]string{stage, reason}]
	if c == nil {
		if len(s.drops) >= maxStats {
			stage, reason = "other", "other"
		}
		c = new(atomic.Uint64)
		s.drops[[2]string{stage, reason}] = c
	}
	s.mu.Unlock()
	c.Add(n)
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
		out = append(out, DropCount{k[0], k[1], c.Load()})
	}
	slices.SortFunc(out, func(a, b DropCount) int { return strings.Compare(a.Stage+"\x00"+a.Reason, b.Stage+"\x00"+b.Reason) })
	return out
}

func (s *Stats) unparsed(reason string, n uint64) {
	s.Unparsed.Add(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.reasons[reason]; !known && len(s.reasons) >= maxStats {
		reason = "other"
	}
	s.reasons[reason] += n
}

// Reasons returns why records could not be parsed, by code.
func (s *Stats) Reasons() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]uint64, len(s.reasons))
	for k, v := range s.reasons {
		out[k] = v
	}
	return out
}

// stream counts records of a stream.
func (s *Stats) stream(id uint64, name, plugin, parser string, n uint64) {
	s.mu.Lock()
	st := s.streams[id]
	if st == nil {
		if len(s.streams) >= maxStats {
			clear(s.streams)
		}
		st = &StreamStats{Name: name, Plugin: plugin, Parser: parser}
		s.streams[id] = st
	}
	s.mu.Unlock()
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

// Gaps are the newest gaps of one plugin. The zero value is ready to use.
type Gaps struct {
	mu   sync.Mutex
	list []Gap
}

// maxGaps bounds the gaps remembered per plugin.
const maxGaps = 64

func (g *Gaps) add(plugin, reason string, n uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if k := len(g.list); k > 0 && g.list[k-1].To.IsZero() && g.list[k-1].Reason == reason {
		g.list[k-1].Events += n
		return
	}
	if len(g.list) >= maxGaps {
		g.list = slices.Delete(g.list, 0, 1)
	}
	g.list = append(g.list, Gap{Plugin: plugin, Reason: reason, From: now, Events: n})
}

func (g *Gaps) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.list {
		if g.list[i].To.IsZero() {
			g.list[i].To = time.Now()
		}
	}
}

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
	for _, m := range p.members {
		out = append(out, m.Gaps.List()...)
	}
	slices.SortFunc(out, func(a, b Gap) int { return a.From.Compare(b.From) })
	return out
}
