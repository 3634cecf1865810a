package engine

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"math"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/sdk/event"
)

// The keys of the state: "w|rule|hash|group" a window, with the mark of who speaks
// before the group, "l|rule|hash|" a rate limit of what the host says and with
// limitOthers behind it that of all others, "s|stream in hexadecimal" the newest
// time of a stream.
const (
	windowPrefix = "w|"
	limitPrefix  = "l|"
	limitOthers  = "others"
	streamPrefix = "s|"
)

// stateKey is made once for each group: a busy one is saved often.
func (g *group) stateKey() string {
	if g.saveKey == "" {
		g.saveKey = windowPrefix + g.rule.program.key + g.key
	}
	return g.saveKey
}

func (rs *ruleState) limitKey(c class) string {
	if c == trusted {
		return limitPrefix + rs.program.key
	}
	return limitPrefix + rs.program.key + limitOthers
}

func streamKey(id uint64) string { return streamPrefix + strconv.FormatUint(id, 16) }

// Restore takes back what Save handed out, before the first event. Entries
// that are damaged or whose rule has changed are dropped and counted in
// Stats.BadState. While no rule runs, windows wait for the first Swap.
func (e *Engine) Restore(entries iter.Seq2[string, []byte]) error {
	for key, value := range entries {
		if err := e.restore(key, value); err != nil {
			e.stats.BadState++
			e.forget(key)
		}
	}
	return nil
}

// restore takes one entry. value is not kept.
func (e *Engine) restore(key string, value []byte) error {
	s := &scan{b: value}
	if s.byte() != stateVersion {
		return fmt.Errorf("read the version: %w", errState)
	}
	if name, ok := strings.CutPrefix(key, streamPrefix); ok {
		return e.restoreStream(name, s)
	}
	if len(e.rules) == 0 {
		if e.pending == nil {
			e.pending = map[string][]byte{}
		}
		e.pending[strings.Clone(key)] = append([]byte(nil), value...)
		return nil
	}
	kind, rest := key[:min(2, len(key))], key[min(2, len(key)):]
	rs, name := e.owner(rest)
	switch {
	case rs == nil:
		return fmt.Errorf("find the rule of %q: %w", key, errState)
	case kind == windowPrefix:
		return e.restoreGroup(rs, name, s)
	case kind == limitPrefix && (name == "" || name == limitOthers):
		l := limiter{start: s.int(), count: int(s.uint()), held: s.uint(), started: true}
		c := trusted
		if name == limitOthers {
			c = untrusted
		}
		if s.err == nil {
			rs.rates[c] = l
		}
		return s.err
	}
	return fmt.Errorf("read the key %q: %w", key, errState)
}

// owner returns the rule that a key "rule|hash|rest" belongs to, and the rest.
func (e *Engine) owner(key string) (rs *ruleState, rest string) {
	at := strings.IndexByte(key, '|')
	if at < 0 {
		return nil, ""
	}
	end := strings.IndexByte(key[at+1:], '|')
	if end < 0 {
		return nil, ""
	}
	end += at + 2
	return e.byKey[key[:end]], key[end:]
}

func (e *Engine) restoreStream(name string, s *scan) error {
	id, err := strconv.ParseUint(name, 16, 64)
	if err != nil {
		return fmt.Errorf("read the id of a stream: %w", err)
	}
	newest := s.int()
	if s.err != nil {
		return s.err
	}
	if _, known := e.streams.byID[id]; !known && len(e.streams.byID) >= e.opts.MaxStreams {
		return fmt.Errorf("keep stream %s: there are too many: %w", name, errState)
	}
	st, _ := e.streams.get(id)
	st.newest = max(st.newest, newest)
	return nil
}

// restoreGroup takes a window.
func (e *Engine) restoreGroup(rs *ruleState, name string, s *scan) error {
	if rs.groups[name] != nil {
		return fmt.Errorf("restore group %q twice: %w", name, errState)
	}
	by, named, ok := marked(name)
	if !ok {
		return fmt.Errorf("read whose group %q is: %w", name, errState)
	}
	g := &group{key: strings.Clone(name), named: named, class: by.class(), rule: rs, saved: true}
	flags := s.byte()
	g.alerted = flags&1 != 0
	g.lastAlert, g.suppressed = s.int(), s.uint()
	descriptors := make([]*event.Stream, s.count(8))
	for i := range descriptors {
		descriptors[i] = s.stream()
	}
	w := rs.program.window
	g.restoreValues(w, s)
	n := s.count(3)
	if w == nil && n > 0 || w != nil && n > w.maxEntries {
		return fmt.Errorf("read %d entries: %w", n, errState)
	}
	at := int64(0)
	for i := range n {
		step := s.int()
		if i > 0 && (step < 0 || at > math.MaxInt64-step) {
			return fmt.Errorf("read the times of a group: %w", errState)
		}
		if at += step; at < -maxNanos || at > maxNanos {
			return fmt.Errorf("read a time of a group: %w", errState)
		}
		g.entries = append(g.entries, entry{time: at})
		if err := e.restoreEntry(&g.entries[i], s, descriptors); err != nil {
			return err
		}
		if !w.allows(&g.entries[i], len(g.values)) {
			return fmt.Errorf("read what an entry counts: %w", errState)
		}
		if !g.entries[i].body.saidBy(by) {
			return fmt.Errorf("read who says what an entry tells: %w", errState)
		}
	}
	if s.err != nil {
		return s.err
	}
	if len(s.b) > 0 {
		return fmt.Errorf("read to the end of a group: %w", errState)
	}
	e.insert(g)
	e.grow(g, g.bytesOfEntries())
	e.evict(rs)
	return nil
}

// The flags of an entry.
const (
	entryConfirmed = 1 << iota
	entryLog
	entryPacket
	entryAlert
	entryID
	entryNumber
)

// restoreValues reads the values that the entries of a value_count have.
func (g *group) restoreValues(w *window, s *scan) {
	if w == nil || w.kind != sigma.ValueCount {
		return
	}
	n := s.count(1)
	g.ids = make(map[string]int32, n)
	for i := range n {
		text := s.text()
		if _, twice := g.ids[text]; twice {
			s.fail("a value twice")
			return
		}
		g.ids[text] = int32(i)
		g.values = append(g.values, text)
	}
}

// allows reports whether an entry may be in a window.
func (w *window) allows(n *entry, values int) bool {
	switch {
	case w.kind == sigma.ValueCount:
		return n.id >= 0 && int(n.id) < values
	case w.numbers():
		return n.id > 0 && !math.IsNaN(n.number) && !math.IsInf(n.number, 0)
	}
	return n.id >= 0 && int(n.id) < w.rules
}

func (e *Engine) restoreEntry(n *entry, s *scan, descriptors []*event.Stream) error {
	which, flags := s.uint(), s.byte()
	if which >= uint64(len(descriptors)) {
		return fmt.Errorf("read the stream of an entry: %w", errState)
	}
	d := descriptors[which]
	if st := e.streams.byID[d.ID]; st != nil {
		n.stream = st
	} else if len(e.streams.byID) < e.opts.MaxStreams {
		// Its own entry comes later.
		n.stream, _ = e.streams.get(d.ID)
	} else {
		n.stream = &stream{id: d.ID, newest: math.MinInt64}
	}
	n.confirmed = flags&entryConfirmed != 0
	if flags&entryID != 0 {
		n.id = int32(min(s.uint(), math.MaxInt32))
	}
	if flags&entryNumber != 0 {
		n.number = math.Float64frombits(s.uint())
	}
	if flags&(entryLog|entryPacket|entryAlert) == 0 {
		return s.err
	}
	b := &body{size: 256}
	if flags&entryLog != 0 {
		from, l := s.b, event.LogEvent{}
		s.log(&l)
		b.log = bytes.Clone(from[:len(from)-len(s.b)])
		b.source = descriptorOf(s, descriptors)
		b.size += logSize(&l)
	}
	if flags&entryPacket != 0 {
		b.packet = s.packet()
		b.packet.Stream = descriptorOf(s, descriptors)
		b.size += 256
	}
	if flags&entryAlert != 0 {
		b.hops = s.byte()
		b.entities = s.fields()
		for _, f := range b.entities {
			b.size += 32 + len(f.Key) + len(f.Value)
		}
	}
	n.body = b
	return s.err
}

// descriptorOf reads which stream a cited event is of.
func descriptorOf(s *scan, descriptors []*event.Stream) *event.Stream {
	which := s.uint()
	if which == 0 {
		return nil
	}
	if which > uint64(len(descriptors)) {
		s.fail("the stream of an event")
		return nil
	}
	return descriptors[which-1]
}

// saidBy reports whether a body may be in a group of a speaker, as its mark has it:
// what was saved before groups were kept apart may have several. What an alert cites
// does not tell who raised that.
func (b *body) saidBy(s speaker) bool {
	if b == nil || b.log == nil || b.entities != nil || b.hops > 0 {
		return true
	}
	by := speakerOf(b.source)
	return by.provenance == s.provenance && shortened(by.peer) == s.peer
}

// encode writes a group.
func (g *group) encode() []byte { return g.appendTo(nil, new(streamTable)) }

// appendTo appends what encode returns. table is memory that it may use.
func (g *group) appendTo(b []byte, table *streamTable) []byte {
	w := &writer{b}
	w.byte(stateVersion)
	var flags byte
	if g.alerted {
		flags |= 1
	}
	w.byte(flags)
	w.int(g.lastAlert)
	w.uint(g.suppressed)
	table.reset()
	for i := range g.entries {
		n := &g.entries[i]
		table.add(n.stream.id, nil)
		if s := n.body.stream(); s != nil {
			table.add(s.ID, s)
		}
	}
	w.uint(uint64(len(table.list)))
	for _, s := range table.list {
		if s.stream != nil {
			w.stream(s.stream)
		} else {
			w.stream(&event.Stream{ID: s.id})
		}
	}
	if wd := g.rule.program.window; wd != nil && wd.kind == sigma.ValueCount {
		w.uint(uint64(len(g.values)))
		for _, v := range g.values {
			w.text(v)
		}
	}
	w.uint(uint64(len(g.entries)))
	last := int64(0)
	for i := range g.entries {
		n := &g.entries[i]
		w.int(n.time - last)
		last = n.time
		w.uint(table.at(n.stream.id))
		n.encode(w, table)
	}
	return w.b
}

// streamTable numbers the streams of a group.
type streamTable struct {
	list  []listedStream
	index map[uint64]int
}

// listedStream is a stream, or as much as is known of it.
type listedStream struct {
	id     uint64
	stream *event.Stream
}

func (t *streamTable) reset() {
	clear(t.list)
	t.list = t.list[:0]
	if t.index == nil {
		t.index = make(map[uint64]int)
	}
	clear(t.index)
}

func (t *streamTable) add(id uint64, s *event.Stream) {
	at, ok := t.index[id]
	if !ok {
		at = len(t.list)
		t.index[id] = at
		t.list = append(t.list, listedStream{id: id})
	}
	if s != nil {
		t.list[at].stream = s
	}
}

func (t *streamTable) at(id uint64) uint64 { return uint64(t.index[id]) }

// stream returns the stream of the event that would be cited.
func (b *body) stream() *event.Stream {
	switch {
	case b == nil:
	case b.log != nil:
		return b.source
	case b.packet != nil:
		return b.packet.Stream
	}
	return nil
}

func (n *entry) encode(w *writer, table *streamTable) {
	b := n.body
	var flags byte
	if n.confirmed {
		flags |= entryConfirmed
	}
	if b != nil {
		if b.log != nil {
			flags |= entryLog
		}
		if b.packet != nil {
			flags |= entryPacket
		}
		if b.entities != nil || b.hops > 0 {
			flags |= entryAlert
		}
	}
	if n.id != 0 {
		flags |= entryID
	}
	if n.number != 0 {
		flags |= entryNumber
	}
	w.byte(flags)
	if n.id != 0 {
		w.uint(uint64(n.id))
	}
	if n.number != 0 {
		w.uint(math.Float64bits(n.number))
	}
	which := uint64(0)
	if s := b.stream(); s != nil {
		which = table.at(s.ID) + 1
	}
	if flags&entryLog != 0 {
		w.b = append(w.b, b.log...)
		w.uint(which)
	}
	if flags&entryPacket != 0 {
		w.packet(b.packet)
		w.uint(which)
	}
	if flags&entryAlert != 0 {
		w.byte(b.hops)
		w.fields(b.entities)
	}
}

// forget has a key removed at the next Save.
func (e *Engine) forget(key string) { e.deleted[strings.Clone(key)] = struct{}{} }

// Save hands out what changed since the last Save. put and del report whether
// they took the change; what they did not take comes again at the next Save.
// put must not keep value.
func (e *Engine) Save(put func(key string, value []byte) bool, del func(key string) bool) {
	for key := range maps.Keys(e.deleted) {
		if !del(key) {
			return
		}
		delete(e.deleted, key)
	}
	for st := e.streams.head; st != nil; st = st.next {
		if st.dirty {
			w := &writer{b: append(e.value[:0], stateVersion)}
			w.int(st.newest)
			e.value = w.b
			if st.key == "" {
				st.key = streamKey(st.id)
			}
			if !put(st.key, e.value) {
				return
			}
			st.dirty = false
		}
	}
	for _, rs := range e.rules {
		for c := range classes {
			l := &rs.rates[c]
			if !l.dirty {
				continue
			}
			w := &writer{b: append(e.value[:0], stateVersion)}
			w.int(l.start)
			w.uint(uint64(l.count))
			w.uint(l.held)
			e.value = w.b
			if !put(rs.limitKey(c), e.value) {
				return
			}
			l.dirty = false
		}
	}
	for i, g := range e.dirty {
		if g.gone {
			continue
		}
		e.value = g.appendTo(e.value[:0], &e.table)
		if !put(g.stateKey(), e.value) {
			e.dirty = append(e.dirty[:0], e.dirty[i:]...)
			return
		}
		g.dirty, g.saved = false, true
	}
	clear(e.dirty)
	e.dirty = e.dirty[:0]
}

// Swap puts another set in force. Windows, rate limits and counters of a rule
// whose id and content hash are the same go on; those of others are dropped.
func (e *Engine) Swap(set *Set) {
	before := e.rules
	e.adopt(set)
	for _, old := range before {
		if e.byKey[old.program.key] == old {
			continue
		}
		for c := range classes {
			for old.recent[c].last != nil {
				e.drop(old.recent[c].last)
			}
			e.forget(old.limitKey(c))
		}
	}
	if len(e.rules) > 0 {
		for key, value := range e.pending {
			if err := e.restore(key, value); err != nil {
				e.stats.BadState++
				e.forget(key)
			}
		}
		e.pending = nil
	}
}

// adopt makes the states of the set's rules, keeping those that there are.
func (e *Engine) adopt(set *Set) {
	before := e.byKey
	e.set, e.view, e.since = set, newView(set, e.opts.Enricher), e.stats.Events
	e.rules = make([]*ruleState, len(set.programs))
	e.byKey = make(map[string]*ruleState, len(set.programs))
	for i, p := range set.programs {
		rs := before[p.key]
		if rs == nil {
			rs = &ruleState{groups: map[string]*group{}}
		}
		rs.program = p
		e.rules[i], e.byKey[p.key] = rs, rs
	}
}
