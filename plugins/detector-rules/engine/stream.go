package engine

import (
	"math"
	"time"
)

// silence is how long, in time of observation, a stream that says nothing is
// waited for before groups that only it could complete may be swept.
const silence = time.Hour

// stream is what the engine knows of one stream.
type stream struct {
	id uint64
	// newest is the greatest time of its own clock, math.MinInt64 before the
	// first; seen is the last time of any kind.
	newest, seen, observed int64
	dirty                  bool
	// key is that of its state, once it was saved.
	key        string
	prev, next *stream
}

// observe takes the time of the next event and reports whether it is late.
func (s *stream) observe(at, observed int64, borrowed bool) (late bool) {
	s.seen, s.observed = at, observed
	if s.newest != math.MinInt64 && at < s.newest-int64(Lateness) {
		return true
	}
	if !borrowed && at > s.newest {
		s.newest = at
		s.dirty = true
	}
	return false
}

// over reports whether an event at the given time can no longer share a window
// with one that this stream has yet to bring.
func (s *stream) over(at, timeframe int64) bool {
	return s.newest != math.MinInt64 && at <= s.newest-int64(Lateness)-timeframe
}

// streams holds the streams that were heard last, within a bound.
type streams struct {
	bound int
	byID  map[uint64]*stream
	// head is the one heard last; the list is circular.
	head *stream
	last *stream
	// observed is the greatest time of observation.
	observed int64
}

func (s *streams) init(bound int) {
	*s = streams{bound: bound, byID: map[uint64]*stream{}, observed: math.MinInt64}
}

// get returns a stream. When it is new and the bound is reached, the one that
// was silent longest makes room, and its id is returned.
func (s *streams) get(id uint64) (st *stream, evicted uint64) {
	if s.head != nil && s.head.id == id {
		return s.head, 0
	}
	st = s.byID[id]
	if st == nil {
		if len(s.byID) >= s.bound {
			evicted = s.last.id
			delete(s.byID, evicted)
			s.unlink(s.last)
		}
		st = &stream{id: id, newest: math.MinInt64, seen: math.MinInt64}
		s.byID[id] = st
	} else {
		s.unlink(st)
	}
	st.prev, st.next = nil, s.head
	if s.head != nil {
		s.head.prev = st
	} else {
		s.last = st
	}
	s.head = st
	return st, evicted
}

func (s *streams) unlink(st *stream) {
	if st.prev != nil {
		st.prev.next = st.next
	} else {
		s.head = st.next
	}
	if st.next != nil {
		st.next.prev = st.prev
	} else {
		s.last = st.prev
	}
	st.prev, st.next = nil, nil
}

// hear notes a time of observation. The streams that were restored are waited
// for from the first one on.
func (s *streams) hear(observed int64) {
	if s.observed == math.MinInt64 {
		for st := s.head; st != nil; st = st.next {
			st.observed = max(st.observed, observed)
		}
	}
	s.observed = max(s.observed, observed)
}

// low is the time that every stream which still speaks has reached.
func (s *streams) low() int64 {
	low := int64(math.MaxInt64)
	for st := s.head; st != nil; st = st.next {
		if st.observed < s.observed-int64(silence) {
			break
		}
		if st.newest != math.MinInt64 {
			low = min(low, st.newest)
		} else {
			low = min(low, st.seen)
		}
	}
	if low == math.MaxInt64 {
		return math.MinInt64
	}
	return low
}
