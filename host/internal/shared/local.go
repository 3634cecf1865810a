package shared

import (
	"context"
	"maps"
	"math"
	"strings"
	"sync"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Limits bound what is kept for one plugin; the keys that were used longest ago go
// first. Nothing of one plugin's goes because of another's.
type Limits struct {
	// Keys and Bytes are of one plugin.
	Keys, Bytes int
}

// withDefaults puts in what is not set.
func (l Limits) withDefaults() Limits {
	if l.Keys <= 0 {
		l.Keys = 65536
	}
	if l.Bytes <= 0 {
		l.Bytes = 32 << 20
	}
	return l
}

// maxPlugins bounds the plugins of which something is kept.
const maxPlugins = 256

// Local is the embedded engine: windows, counters and claims in memory. It is safe for
// concurrent use.
type Local struct {
	limits Limits

	mu      sync.Mutex
	shares  map[string]*share // by plugin
	changed map[string]*entry // of Changes, by key; nil is gone
	keep    bool
	swept   int64
	evicted uint64
}

// share is what is kept for one plugin.
type share struct {
	entries        map[string]*entry // by key, with its kind before it
	newest, oldest *entry            // by use
	bytes          int
}

// NewLocal returns an engine that knows nothing yet.
func NewLocal(limits Limits) *Local {
	return &Local{limits: limits.withDefaults(), shares: make(map[string]*share), changed: make(map[string]*entry)}
}

// ApplyShared implements Engine. The keys have the names of plugins before them.
func (l *Local) ApplyShared(_ context.Context, req *pb.SharedRequest) (*pb.SharedReply, error) {
	if err := check(req, maxFullKey); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	out := &pb.SharedReply{Results: make([]*pb.SharedResult, len(req.Operations))}
	for i, op := range req.Operations {
		out.Results[i] = l.apply(op).result(false)
	}
	return out, nil
}

// outcome is what came of an operation.
type outcome struct {
	count uint64
	done  bool
	// fresh says that the operation changed something: it did not come before.
	fresh bool
	// limited says that the alert of the window was held back.
	limited bool
	// counted are the events of the window that was completed.
	counted []member
}

func (o outcome) result(local bool) *pb.SharedResult {
	return &pb.SharedResult{Count: o.count, Done: o.done, Limited: o.limited, Local: local}
}

// decide is apply for a Front.
func (l *Local) decide(op *pb.SharedOperation) outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.apply(op)
}

// apply carries out one operation; l.mu is held.
func (l *Local) apply(op *pb.SharedOperation) outcome {
	now := time.Now().UnixNano()
	s, e := l.entry(op, now)
	defer l.touched(s, e)
	switch o := op.Operation.(type) {
	case *pb.SharedOperation_Counter:
		count, done := e.add(uint64(o.Counter.Amount), o.Counter.Limit, now)
		return outcome{count: count, done: done, fresh: true}
	case *pb.SharedOperation_Claim:
		done, fresh := e.claim(string(o.Claim.Owner), now)
		return outcome{count: bit(done), done: done, fresh: fresh}
	}
	a := op.GetWindow()
	id := string(a.Id)
	if a.Counted {
		e.settle(id, now)
		return outcome{}
	}
	if o, settled := e.settled(id, a.Threshold); settled {
		return o
	}
	at, fresh := e.window.add(member{id: id, value: string(a.Value), time: instant(a.Time)}, now)
	n := e.most(at, false)
	o := outcome{count: uint64(n), fresh: fresh} //nolint:gosec // it is not negative
	if n >= int(a.Threshold) {
		as := counted
		if o.done = e.speaks(instant(a.Time), int64(a.Quiet)); o.done { //nolint:gosec // it was checked
			as = completed
		}
		o.counted = e.complete(id, as, false, now)
	}
	return o
}

// settled returns what came of an event that counts no more.
func (e *entry) settled(id string, threshold uint32) (o outcome, settled bool) {
	switch e.fates[id] {
	case counted:
		return outcome{}, true
	case completed, heldBack:
		return outcome{count: uint64(threshold), done: true, limited: e.fates[id] == heldBack}, true
	}
	return outcome{}, false
}

// holdBack remembers of an event that completed a window that its alert was not raised.
func (l *Local) holdBack(op *pb.SharedOperation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now().UnixNano()
	s, e := l.entry(op, now)
	defer l.touched(s, e)
	e.note(string(op.GetWindow().GetId()), heldBack, now)
}

// settled is what is known of an event that counts no more: nobody needs to be asked.
func (l *Local) settled(op *pb.SharedOperation) (o outcome, settled bool) {
	a := op.GetWindow()
	if a == nil || a.Counted {
		return o, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.find(op)
	if e == nil {
		return o, false
	}
	return e.settled(string(a.Id), a.Threshold)
}

// learn takes over what the engine made of an operation; of one that this host had carried
// out before when applied is set.
func (l *Local) learn(op *pb.SharedOperation, r *pb.SharedResult, applied bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now().UnixNano()
	s, e := l.entry(op, now)
	defer l.touched(s, e)
	switch o := op.Operation.(type) {
	case *pb.SharedOperation_Counter:
		amount := uint64(o.Counter.Amount)
		if applied {
			amount = 0
		}
		count, _ := e.add(amount, o.Counter.Limit, now)
		e.count = max(count, r.Count)
		return
	case *pb.SharedOperation_Claim:
		if r.Done { // for how long another has it is not known
			e.claim(string(o.Claim.Owner), now)
		}
		return
	}
	a := op.GetWindow()
	id := string(a.Id)
	if _, settled := e.settled(id, a.Threshold); settled {
		return
	}
	if !a.Counted {
		e.window.add(member{id: id, value: string(a.Value), time: instant(a.Time), known: true}, now)
		if at := e.index(id); at >= 0 {
			e.members[at].known = true
		}
	}
	switch {
	case a.Counted, r.Count == 0 && !r.Done: // it was counted there, with what others told
		e.settle(id, now)
	case r.Done:
		e.said, e.spoke, e.quiet = instant(a.Time), true, max(e.quiet, int64(a.Quiet)) //nolint:gosec // it was checked
		e.complete(id, completed, true, now)
	case r.Count >= uint64(a.Threshold): // complete, and not Done so soon after another
		e.complete(id, counted, true, now)
	default:
		e.trim(id, r.Count)
	}
}

// find returns the entry of an operation, nil when there is none; l.mu is held.
func (l *Local) find(op *pb.SharedOperation) *entry {
	s := l.shares[owner(op.Key)]
	if s == nil {
		return nil
	}
	return s.entries[string(rune(kindOf(op)))+string(op.Key)]
}

// entry returns the entry of an operation, and whose it is; l.mu is held.
func (l *Local) entry(op *pb.SharedOperation, now int64) (*share, *entry) {
	l.sweep(now)
	plugin := owner(op.Key)
	s := l.shares[plugin]
	if s == nil {
		if len(l.shares) >= maxPlugins {
			l.dropShare()
		}
		s = &share{entries: make(map[string]*entry)}
		l.shares[plugin] = s
	}
	key := string(rune(kindOf(op))) + string(op.Key)
	e := s.entries[key]
	if e != nil && e.gone(now) {
		l.drop(s, e)
		e = nil
	}
	if e == nil {
		e = &entry{key: key}
		s.entries[key] = e
	} else {
		s.unlink(e)
	}
	s.link(e)
	e.used = now
	e.span = int64(op.Span) //nolint:gosec // it was checked
	e.forget(now)
	return s, e
}

// touched accounts for what an operation changed; l.mu is held.
func (l *Local) touched(s *share, e *entry) {
	size := e.bytes()
	s.bytes += size - e.size
	e.size = size
	if l.keep {
		l.changed[e.key] = e
	}
	for (len(s.entries) > l.limits.Keys || s.bytes > l.limits.Bytes) && s.oldest != e {
		l.drop(s, s.oldest)
		l.evicted++
	}
}

// drop forgets an entry; l.mu is held.
func (l *Local) drop(s *share, e *entry) {
	s.unlink(e)
	s.bytes -= e.size
	delete(s.entries, e.key)
	if l.keep {
		l.changed[e.key] = nil
	}
}

// dropShare forgets the plugin that has not been here for longest; l.mu is held.
func (l *Local) dropShare() {
	name, used := "", int64(math.MaxInt64)
	for n, s := range l.shares {
		if s.newest == nil || s.newest.used < used {
			name, used = n, 0
			if s.newest != nil {
				used = s.newest.used
			}
		}
	}
	s := l.shares[name]
	for s.oldest != nil {
		l.drop(s, s.oldest)
		l.evicted++
	}
	delete(l.shares, name)
}

// sweepEvery is how often what is out of date is looked for.
const sweepEvery = int64(30 * time.Second)

func (l *Local) sweep(now int64) {
	if now-l.swept < sweepEvery && now >= l.swept {
		return
	}
	l.swept = now
	for name, s := range l.shares {
		for _, e := range s.entries {
			if e.gone(now) {
				l.drop(s, e)
			}
		}
		if len(s.entries) == 0 {
			delete(l.shares, name)
		}
	}
}

func (s *share) link(e *entry) {
	e.newer, e.older = nil, s.newest
	if s.newest != nil {
		s.newest.newer = e
	}
	s.newest = e
	if s.oldest == nil {
		s.oldest = e
	}
}

func (s *share) unlink(e *entry) {
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		s.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		s.oldest = e.newer
	}
	e.newer, e.older = nil, nil
}

// maxCommit is about how many bytes of windows one commit writes; what is beyond it is
// written by the next ones.
const maxCommit = 4 << 20

// changes adds what has changed since the last call, as it is kept, and reports whether
// something is left for the next call.
func (l *Local) changes(out map[string][]byte) (more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := 0
	for key, e := range l.changed {
		if size > maxCommit {
			return true
		}
		delete(l.changed, key)
		if e == nil {
			out[entryPrefix+key] = nil
			continue
		}
		b := e.encode(make([]byte, 0, min(e.window.bytes, 16<<10)+len(e.owner)+64))
		size += len(b)
		out[entryPrefix+key] = b
	}
	return false
}

// restore takes over an entry that was kept.
func (l *Local) restore(key string, value []byte) error {
	e, err := decode(key, value)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.gone(time.Now().UnixNano()) {
		l.changed[key] = nil
		return nil
	}
	plugin, _, _ := strings.Cut(key[1:], "\x00")
	s := l.shares[plugin]
	if s == nil {
		s = &share{entries: make(map[string]*entry)}
		l.shares[plugin] = s
	}
	s.entries[key] = e
	e.size = e.bytes()
	s.bytes += e.size
	return nil
}

// restored puts the entries in the order of their use.
func (l *Local) restored() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keep = true
	for _, s := range l.shares {
		for _, e := range byUse(maps.Values(s.entries)) {
			s.link(e)
		}
	}
}

// Usage is what Local holds.
type Usage struct {
	Keys, Bytes int
	// Evicted keys made room for others.
	Evicted uint64
}

// Usage tells what is held.
func (l *Local) Usage() Usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := Usage{Evicted: l.evicted}
	for _, s := range l.shares {
		u.Keys += len(s.entries)
		u.Bytes += s.bytes
	}
	return u
}
