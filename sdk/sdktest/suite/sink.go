package suite

import (
	"slices"

	"github.com/ironpost/ironpost/sdk/event"
)

// SinkConfig says how to check a sink.
type SinkConfig struct {
	Host HostConfig
	// Contents, when set, returns one line for each thing that the sink holds in
	// the place that Host.Section names. It is called after the plugin has
	// stopped.
	Contents func(tb TB) []string
}

// sinkSuite is what the checks of a sink share.
type sinkSuite struct {
	target Target
	SinkConfig

	before []string // what it held after the first write
}

// Sink returns the checks of a sink: everything written is durable when it says so,
// writing again after a restart adds nothing, hostile events are stored or refused
// and never fatal. Every life uses the place that Host.Section names.
func Sink(target Target, c SinkConfig) []Check {
	s := &sinkSuite{target: target, SinkConfig: c}
	return append([]Check{
		{
			Name: "sink.write", Title: "writes and drains",
			Wanted: "events of every kind that it is sent are durable after a drain, and then are where it stores them",
			Mend:   "acknowledge as durable only what is on the disk or at the peer; write out in Drain",
			run:    applied(s.writes),
		},
		{
			Name: "sink.again", Title: "writing again adds nothing",
			Wanted: "what was written in a life before is recognised by its id",
			Mend:   "key what you store by stream and sequence, by alert id and by action id",
			run:    applied(s.writesAgain),
		},
		{
			Name: "sink.hostile", Title: "survives hostile events",
			Wanted: "records that are no events, and events with absurd values, are stored or left out, and never fatal",
			Mend:   "skip and count a record that cannot be decoded; pass texts as parameters, never as parts of a statement",
			run:    applied(s.survives),
		},
		{
			Name: "sink.responsive", Title: "stays responsive",
			Wanted: "Health answers within 1 s while 3000 events are written",
			Mend:   "answer Health on another thread than the one that writes",
			run:    applied(s.staysResponsive),
		},
	}, Faults(target, "sink", c.Host)...)
}

func (s *sinkSuite) begin(tb TB) (*Host, *Link) {
	tb.Helper()
	h := Start(tb, s.target, s.Host)
	h.hasKind("sink")
	return h, h.Link("sink", nil)
}

func (s *sinkSuite) write(tb TB) {
	tb.Helper()
	h, l := s.begin(tb)
	var last uint64
	for _, b := range h.batches() {
		last = l.Send(b)
	}
	drains(h, l, last)
	h.Kill()
}

func (s *sinkSuite) writes(tb TB) {
	tb.Helper()
	s.write(tb)
	if s.Contents == nil {
		return
	}
	if s.before = s.Contents(tb); len(s.before) == 0 {
		tb.Errorf("the sink holds nothing after a durable write")
	}
}

func (s *sinkSuite) writesAgain(tb TB) {
	tb.Helper()
	s.write(tb)
	if s.Contents == nil {
		return // that it stands a redelivery is all that can be seen
	}
	if after := s.Contents(tb); !slices.Equal(s.before, after) {
		tb.Errorf("it held %d things before and holds %d after the redelivery: %s", len(s.before), len(after), compare(s.before, after))
	}
}

func (s *sinkSuite) survives(tb TB) {
	tb.Helper()
	h, l := s.begin(tb)
	stream := testStream("hostile", "")
	first := uint64(1)
	for _, kind := range []event.Kind{event.KindLog, event.KindPacket, event.KindAlert, event.KindAction, event.KindInventory} {
		if !h.wants(kind) {
			continue
		}
		b := Garbage(kind, stream, first, hostileBodies()...)
		l.Durable(l.Send(b))
		first += uint64(b.count)
	}
	actions := []*event.ActionEvent{{}, {ID: "\x00", Outcome: 255, Details: hostileFields()}}
	for _, b := range []Batch{Logs(stream, first, hostileLogs()...), Alerts(stream, first+100, hostileAlerts()...), Actions(stream, first+200, actions...), Inventory(stream, first+300, hostilePackages()...)} {
		if h.wants(event.Kind(b.kind)) {
			l.Durable(l.Send(b))
		}
	}
	h.Health()
}

func (s *sinkSuite) staysResponsive(tb TB) {
	tb.Helper()
	h, l := s.begin(tb)
	h.healthWhile(func() {
		var last uint64
		for range 30 {
			for _, b := range h.many(100) {
				last = l.Send(b)
			}
		}
		l.Durable(last)
	})
}
