package store

import (
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/stored"
	"github.com/ironpost/ironpost/sdk/event"
)

// PutAlert takes an alert; a is not kept.
func (s *Store) PutAlert(a *event.AlertEvent) {
	r := alertRow(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(alertsName, r)
}

func alertRow(a *event.AlertEvent) row {
	at := stored.Nano(a.Time)
	doc := encode(stored.AlertOf(a))
	text := indexable(stored.Texts(a)...)
	return row{
		table: tableAlerts,
		args: summed(
			strings.Clone(a.ID), at, int64(a.Severity), strings.Clone(a.RuleID), strings.Clone(a.Detector),
			strings.Clone(a.Group), a.TraceID.String(), doc,
		),
		entities: event.CloneFields(a.Entities),
		time:     at,
		text:     text,
		bytes:    2*len(doc) + len(text) + 512,
	}
}

// PutAction takes an action; a is not kept.
func (s *Store) PutAction(a *event.ActionEvent) {
	r := actionRow(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(alertsName, r)
}

func actionRow(a *event.ActionEvent) row {
	doc := encode(stored.ActionOf(a))
	return row{
		table: tableActions,
		args: summed(
			strings.Clone(a.ID), int64(a.Outcome), stored.Nano(a.Time), strings.Clone(a.AlertID), a.TraceID.String(),
			strings.Clone(a.Enforcer), strings.Clone(a.Action), strings.Clone(a.Target), strings.Clone(a.Mode), doc,
		),
		bytes: len(doc) + 512,
	}
}

// PutLog takes a log event; e is not kept.
func (s *Store) PutLog(e *event.LogEvent) {
	r := logRow(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putEvent(e.Stream, e.ObservedTime, e.Time, r)
}

func logRow(e *event.LogEvent) row {
	id := e.ID()
	fields := ""
	if len(e.Fields) > 0 {
		fields = encode(stored.PairsOf(e.Fields))
	}
	var raw []byte
	if len(e.Raw) > 0 {
		raw = append(raw, e.Raw...)
	}
	message := strings.Clone(e.Message)
	return row{
		table: tableLogs,
		args: summed(
			int64(id.Stream), int64(id.Sequence), stored.Nano(e.Time), stored.Nano(e.ObservedTime), int64(e.Severity), int64(e.Flags),
			strings.Clone(e.Host), strings.Clone(e.Process), int64(e.PID), message, fields, raw, strings.Clone(e.Reason),
		),
		time:  stored.Nano(e.Time),
		text:  indexable(message),
		bytes: len(e.Message) + len(fields) + len(raw) + 512,
	}
}

// PutPacket takes a packet summary; p is not kept.
func (s *Store) PutPacket(p *event.PacketEvent) {
	r := packetRow(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putEvent(p.Stream, p.Time, p.Time, r)
}

func packetRow(p *event.PacketEvent) row {
	id := p.ID()
	doc := encode(stored.PacketOf(p))
	return row{
		table: tablePackets,
		args:  summed(int64(id.Stream), int64(id.Sequence), stored.Nano(p.Time), doc),
		bytes: len(doc) + 256,
	}
}

func streamRow(stream *event.Stream) row {
	doc := encode(stored.StreamOf(stream))
	return row{table: tableStreams, args: summed(int64(stream.ID), doc), bytes: len(doc) + 256}
}

func (s *Store) put(name string, r row) *batch {
	b := s.waiting[name]
	if b == nil {
		b = &batch{streams: make(map[uint64]row)}
		s.waiting[name] = b
	}
	b.rows = append(b.rows, r)
	b.bytes += r.bytes
	s.bytes += r.bytes
	return b
}

// putEvent puts a row into the file of the day on which it was observed.
func (s *Store) putEvent(stream *event.Stream, observed, at time.Time, r row) {
	if s.full {
		s.stats.Dropped++
		return
	}
	if observed.IsZero() {
		observed = at
	}
	b := s.put(s.dayOf(observed), r)
	if stream == nil {
		return
	}
	if _, ok := b.streams[stream.ID]; !ok {
		r := streamRow(stream)
		b.streams[stream.ID] = r
		b.bytes += r.bytes
		s.bytes += r.bytes
	}
}

// dayOf returns the name of the file of a day. A time that cannot be, before
// what is kept or after today, counts as today.
func (s *Store) dayOf(observed time.Time) string {
	now := s.cfg.Now().UTC()
	oldest := now.AddDate(0, 0, -7)
	if r := s.cfg.Retention; r > 0 && now.Add(-r).After(oldest) {
		oldest = now.Add(-r)
	}
	if observed.After(now) || observed.Before(oldest) {
		observed = now
	}
	return dayPrefix + observed.UTC().Format(dayLayout) + suffix
}
