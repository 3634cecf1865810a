package store

import (
	"slices"

	"github.com/ironpost/ironpost/plugins/internal/stored"
	"github.com/ironpost/ironpost/sdk/event"
)

// movingFlags are those of events whose time depends on when they were read.
const movingFlags = event.FlagTimeInferred | event.FlagTimeClamped

// PutAlert takes an alert; a is not kept.
func (s *Store) PutAlert(a *event.AlertEvent) {
	at := stored.Nano(a.Time)
	doc := encode(stored.AlertOf(a))
	entities := make(map[string][]string, len(a.Entities))
	for _, e := range a.Entities {
		entities[e.Key] = append(entities[e.Key], e.Value)
	}
	texts := stored.Texts(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting.grow(tableAlerts, at, false, func(b []byte) tuple {
		return newTuple(b, 12).stamp(at).text(a.ID).int2(int16(a.Severity)).text(a.RuleID).text(a.Title).text(a.Detector).text(a.Group).
			text(a.TraceID.String()).jsonb(encode(entities)).jsonb(doc).vector(texts...)
	})
}

// PutAction takes an action; a is not kept.
func (s *Store) PutAction(a *event.ActionEvent) {
	at := stored.Nano(a.Time)
	doc := encode(stored.ActionOf(a))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting.grow(tableActions, at, false, func(b []byte) tuple {
		return newTuple(b, 11).stamp(at).text(a.ID).int2(int16(a.Outcome)).text(a.AlertID).text(a.TraceID.String()).
			text(a.Enforcer).text(a.Action).text(a.Target).text(a.Mode).jsonb(doc)
	})
}

// PutLog takes a log event; e is not kept.
func (s *Store) PutLog(e *event.LogEvent) {
	id, at := e.ID(), stored.Nano(e.Time)
	fields := make(map[string]string, len(e.Fields))
	keys := make([]string, 0, len(e.Fields))
	var again []string // values of names that were there before: Get gives the first
	for _, f := range e.Fields {
		keys = append(keys, f.Key)
		if _, twice := fields[f.Key]; twice {
			again = append(again, f.Value)
			continue
		}
		fields[f.Key] = f.Value
	}
	var raw []byte
	if len(e.Raw) > 0 {
		raw = e.Raw
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putStream(e.Stream)
	s.waiting.grow(tableLogs, at, e.Flags&movingFlags != 0, func(b []byte) tuple {
		return newTuple(b, 17).stamp(at).int8(int64(id.Stream)).int8(int64(id.Sequence)).int8(stored.Nano(e.ObservedTime)).int2(int16(e.Severity)).
			int8(int64(e.Flags)).text(e.Host).text(e.Process).int8(int64(e.PID)).text(e.Message).jsonb(encode(fields)).texts(keys).texts(again).
			bytes(raw).text(e.Reason).vector(e.Message)
	})
}

// PutPacket takes a packet summary; p is not kept.
func (s *Store) PutPacket(p *event.PacketEvent) {
	id, at := p.ID(), stored.Nano(p.Time)
	doc := encode(stored.PacketOf(p))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putStream(p.Stream)
	s.waiting.grow(tablePackets, at, false, func(b []byte) tuple {
		return newTuple(b, 5).stamp(at).int8(int64(id.Stream)).int8(int64(id.Sequence)).jsonb(doc)
	})
}

// maxName is the longest name of an advisory that packages are found by.
const maxName = 256

// putStream takes where events come from, once for each group.
func (s *Store) putStream(stream *event.Stream) {
	if stream == nil || s.streams[stream.ID] {
		return
	}
	s.streams[stream.ID] = true
	s.waiting.grow(tableStreams, 0, false, func(b []byte) tuple {
		return newTuple(b, 2).int8(int64(stream.ID)).jsonb(encode(stored.StreamOf(stream)))
	})
}

// What a row of packages does.
const (
	opPut        = "P"
	opGone       = "G"
	opTargetGone = "T"
)

// PutInventory takes what is known of a package, in place of what was known before; e
// is not kept.
func (s *Store) PutInventory(e *event.InventoryEvent) {
	op := opPut
	if e.Removed {
		op = opGone
	}
	names, severity := stored.Advisories(e)
	names = slices.DeleteFunc(names, func(name string) bool { return len(name) > maxName })
	doc := encode(stored.InventoryOf(e))
	s.mu.Lock()
	defer s.mu.Unlock()
	row := func(op string) {
		at := stored.Nano(e.Time)
		s.waiting.grow(tablePackages, at, false, func(b []byte) tuple {
			return newTuple(b, 14).text(op).stamp(at).text(e.ID).text(e.Target).text(e.TargetName).text(e.Name).text(e.Version).
				text(e.Ecosystem).text(e.PURL).bool(e.InUse).int2(int16(severity)).texts(names).jsonb(doc)
		})
	}
	if e.Removed && e.PURL == "" && e.Target != "" {
		row(opTargetGone)
	}
	row(op)
}
