package sdk

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ironpost/ironpost/sdk/event"
)

// completer fills in the parts of an alert that follow from what it cites and
// from the batch over which it was raised.
type completer struct {
	plugin   string
	hostID   string
	batch    Batch
	observed time.Time
	at       cursor // where the detector stands in the batch

	// Of a batch of alerts: what an alert over them inherits. The stream of
	// such a batch is the host's journal and says nothing about their origin.
	hops       uint8
	provenance event.Provenance
	peer       string
	newest     time.Time
}

// inherit looks through a batch of alerts.
func (c *completer) inherit() {
	if c.batch.Kind != event.KindAlert {
		return
	}
	peers := peerSet{}
	for a := range c.batch.Alerts() {
		c.hops = max(c.hops, min(a.Hops, 254)+1)
		c.provenance = max(c.provenance, distrust(a.Provenance))
		peers.add(a.Peer)
		if c.newest.Before(a.Time) {
			c.newest = a.Time
		}
	}
	c.peer = strings.Clone(peers.only())
	c.at = cursor{}
}

// complete fills in everything but what the detector says.
func (c *completer) complete(a *event.AlertEvent) {
	a.Detector = c.plugin
	a.Hops = max(a.Hops, c.hops)
	a.Provenance, a.Time, a.ObservedTime = c.provenance, c.newest, time.Time{}
	peers := peerSet{}
	peers.add(c.peer)
	cite := func(s *event.Stream, at, observed time.Time) {
		switch {
		case s != nil && s.Provenance != event.ProvenanceUnknown:
			a.Provenance = max(a.Provenance, distrust(s.Provenance))
			peers.add(s.Peer)
		case c.batch.Kind != event.KindAlert: // what alerts cite, they speak for
			a.Provenance = event.ProvenanceNetwork
		}
		if a.Time.Before(at) {
			a.Time = at
		}
		if a.ObservedTime.Before(observed) {
			a.ObservedTime = observed
		}
	}
	for _, e := range a.Logs {
		cite(e.Stream, e.Time, e.ObservedTime)
	}
	for _, p := range a.Packets {
		cite(p.Stream, p.Time, p.Time)
	}
	if len(a.Logs)+len(a.Packets) == 0 && c.batch.Kind != event.KindAlert && c.batch.Stream != nil {
		cite(c.batch.Stream, time.Time{}, time.Time{})
	}
	if a.ObservedTime.IsZero() {
		a.ObservedTime = c.observed
	}
	if a.Time.IsZero() {
		a.Time = a.ObservedTime
	}
	a.Peer = peers.only()
	c.identify(a)
}

// identify sets the ids. They depend on events alone, never on where a batch
// happened to be cut, so that a redelivery makes the same.
func (c *completer) identify(a *event.AlertEvent) {
	if from := c.at.alert; len(a.Causes) == 0 && from != nil && len(from.Causes) > 0 {
		a.Causes = slices.Clone(from.Causes)
	}
	first := c.at.id
	if len(a.Causes) > 0 {
		first = a.Causes[0]
	}
	a.TraceID = event.Trace(c.hostID, first)
	if from := c.at.alert; from != nil && !from.TraceID.IsZero() && (len(from.Causes) == 0 || from.Causes[0] == first) {
		a.TraceID = from.TraceID
	}
	a.ID = event.AlertID(a.RuleID, a.Group, first)
}

// distrust returns p, with what is not known taken for the least trusted.
func distrust(p event.Provenance) event.Provenance {
	if p == event.ProvenanceUnknown || p > event.ProvenanceNetwork {
		return event.ProvenanceNetwork
	}
	return p
}

// peerSet collects senders that proved nothing. An answer may act on such a
// sender alone, so more than one is none.
type peerSet struct {
	peer      string
	ambiguous bool
}

func (s *peerSet) add(peer string) {
	switch {
	case peer == "" || peer == s.peer:
	case s.peer == "":
		s.peer = peer
	default:
		s.ambiguous = true
	}
}

func (s *peerSet) only() string {
	if s.ambiguous {
		return ""
	}
	return s.peer
}

// Bounds of one alert. One beyond maxRaised is shortened: it must fit a batch.
const (
	maxRaised     = maxParsed
	shortText     = 4 << 10
	shortFields   = 64
	shortKeyValue = 512
)

// shorten cuts an alert to what fits; the events stay named in Causes.
func shorten(a *event.AlertEvent) {
	a.Logs, a.Packets = nil, nil
	for _, s := range []*string{&a.RuleID, &a.Title, &a.Description, &a.Group, &a.Peer} {
		*s = cutText(*s, shortText)
	}
	cut := func(fields []event.Field) []event.Field {
		out := slices.Clone(fields[:min(len(fields), shortFields)])
		for i, f := range out {
			out[i] = event.Field{Key: cutText(f.Key, shortKeyValue), Value: cutText(f.Value, shortKeyValue)}
		}
		return out
	}
	a.Entities, a.Details = cut(a.Entities), cut(a.Details)
	a.Tags = slices.Clone(a.Tags[:min(len(a.Tags), shortFields)])
	for i, t := range a.Tags {
		a.Tags[i] = cutText(t, shortKeyValue)
	}
}

// cutText shortens s to at most n bytes without cutting a character.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
