package bus

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Entry is one batch of a source on its way to being durable everywhere.
type Entry struct {
	refs       atomic.Int32
	sources    *Sources
	stream     *sourceStream
	number     uint64
	next       uint64
	checkpoint []byte
	done       bool // guarded by Sources.mu
	passed     func()
}

// Again returns an entry for records that come a second time, long after what
// followed them: a queue takes them whatever its positions are. passed is called
// when they are durable everywhere. The caller gives it up with Release.
func Again(passed func()) *Entry {
	e := &Entry{passed: passed}
	e.refs.Store(1)
	return e
}

// Replayed reports whether the entry was made by Again; nil was not.
func (e *Entry) Replayed() bool { return e != nil && e.passed != nil }

func (e *Entry) retain() { e.refs.Add(1) }

func (e *Entry) release() {
	if e.refs.Add(-1) > 0 {
		return
	}
	if e.Replayed() {
		e.passed()
		return
	}
	e.sources.complete(e)
}

// Resumable reports whether the source can read the batch again, and so can hold
// back.
func (e *Entry) Resumable() bool { return len(e.checkpoint) > 0 }

// Release gives up the reference that Add gave to the caller.
func (e *Entry) Release() { e.release() }

// Checkpoint is where a stream may resume.
type Checkpoint struct {
	// Stream is the source's name for it.
	Stream     string
	Next       uint64
	Checkpoint []byte
}

// Sources keeps, for one source plugin, what is still owed to its streams.
type Sources struct {
	advance func(Checkpoint)

	mu      sync.Mutex
	streams map[uint64]*sourceStream
}

// sourceStream is one stream of a source.
type sourceStream struct {
	name    string
	entries []*Entry // in order; the first is the oldest not complete
	taken   uint64   // sequence behind the last record taken over
	last    []byte   // checkpoint of the last batch taken over that had one
	safe    []byte   // checkpoint of the last complete batch that had one
}

// maxStreams is how many streams of a source are remembered before those that
// owe nothing are forgotten.
const maxStreams = 16384

// NewSources returns an empty record. advance is called, in the order of each
// stream, when its checkpoint may move; it must not block.
func NewSources(advance func(Checkpoint)) *Sources {
	return &Sources{advance: advance, streams: make(map[uint64]*sourceStream)}
}

// Resume returns the sequence behind the last record that was taken over from
// the stream, and its checkpoint, or ok false when nothing was.
func (s *Sources) Resume(stream uint64) (next uint64, checkpoint []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[stream]
	if st == nil {
		return 0, nil, false
	}
	return st.taken, st.last, true
}

// Resumes returns that for every stream.
func (s *Sources) Resumes() []Checkpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Checkpoint, 0, len(s.streams))
	for _, st := range s.streams {
		out = append(out, Checkpoint{st.name, st.taken, st.last})
	}
	return out
}

// Add notes a batch that was received; number is the source's, and checkpoint,
// nil for a batch without one, is kept. The caller holds
// one reference, and gives it up with Release when the batch is in its first
// queue.
func (s *Sources) Add(stream uint64, name string, number, next uint64, checkpoint []byte) *Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[stream]
	if st == nil {
		if len(s.streams) >= maxStreams {
			maps.DeleteFunc(s.streams, func(_ uint64, st *sourceStream) bool { return len(st.entries) == 0 })
		}
		st = &sourceStream{name: name}
		s.streams[stream] = st
	}
	e := &Entry{sources: s, stream: st, number: number, next: next, checkpoint: checkpoint}
	e.refs.Store(1)
	if n := len(st.entries); n > 1 && st.entries[n-1].done {
		// It waits for one before it: the new one can stand for both, so that
		// any number of empty batches takes no room.
		if e.checkpoint == nil {
			e.checkpoint = st.entries[n-1].checkpoint
		}
		st.entries[n-1] = e
	} else {
		st.entries = append(st.entries, e)
	}
	st.taken = next
	if checkpoint != nil {
		st.last = checkpoint
	}
	return e
}

func (s *Sources) complete(e *Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.done = true
	st := e.stream
	var reached *Entry
	n := 0
	for n < len(st.entries) && st.entries[n].done {
		if reached = st.entries[n]; reached.checkpoint != nil {
			st.safe = reached.checkpoint
		}
		n++
	}
	if reached == nil {
		return
	}
	rest := copy(st.entries, st.entries[n:])
	clear(st.entries[rest:])
	st.entries = st.entries[:rest]
	s.advance(Checkpoint{st.name, reached.next, st.safe})
}

// Durable returns the number up to which every batch received from the source
// is durable; received is the last one's.
func (s *Sources) Durable(received uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	durable := received
	for _, st := range s.streams {
		if len(st.entries) > 0 {
			durable = min(durable, st.entries[0].number-1)
		}
	}
	return durable
}
