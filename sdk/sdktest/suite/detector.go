package suite

import (
	"github.com/ironpost/ironpost/sdk/event"
)

// DetectorConfig says how to check a detector.
type DetectorConfig struct {
	Host HostConfig
	// Batches make it raise at least one alert. Without any, only what holds for
	// all events is checked.
	Batches []Batch
	// Stateless says that the detector's memory may be lost with it, so that
	// its alerts after a death are not compared.
	Stateless bool
}

// detectorSuite is what the checks of a detector share.
type detectorSuite struct {
	target Target
	DetectorConfig

	undisturbed map[string]*event.AlertEvent // by id, once they are known
}

// Detector returns the checks of a detector: alerts are complete; the same events
// give the same alert ids; one that is killed anywhere and given its state back
// raises what an undisturbed one raises; hostile events cost themselves.
func Detector(target Target, c DetectorConfig) []Check {
	s := &detectorSuite{target: target, DetectorConfig: c}
	return append([]Check{
		{
			Name: "detector.alerts", Title: "raises complete alerts",
			Wanted: "the sample events raise alerts with id, rule_id, title, severity, detector, time, trace_id, provenance and causes, each once",
			Mend:   "cite the events that led to the alert, and fill in what AlertEvent in event.proto names",
			run:    s.raises,
		},
		{
			Name: "detector.killed", Title: "raises the same when killed",
			Wanted: "killed in any batch, given back the state that it had reported and the batches that were not durable, it raises the alerts of an undisturbed run, under the same ids",
			Mend:   "report windows and counters as changes of state with every durable acknowledgement; make ids of rule, group and first event",
			run:    s.raisesTheSame,
		},
		{
			Name: "detector.names", Title: "reads names and texts alike",
			Wanted: "log events whose texts are written out raise the same alerts as those that refer to the names of their batch",
			Mend:   "read key_ref, host_ref and process_ref where they are set: places in Batch.names, the first is 1",
			run:    s.readsBoth,
		},
		{
			Name: "detector.hostile", Title: "survives hostile events",
			Wanted: "records that are no events, and events with absurd values, are answered and durable like others",
			Mend:   "skip and count a record that cannot be decoded; believe no length, number or text of an event",
			run:    applied(s.survives),
		},
		{
			Name: "detector.drain", Title: "stays responsive and drains",
			Wanted: "Health answers within 1 s while it works; Drain returns when everything received is durable",
			Mend:   "answer Health on another thread; acknowledge what was examined as durable, then return from Drain",
			run:    applied(s.drains),
		},
		{
			Name: "detector.state", Title: "refuses no state",
			Wanted: "state of another version, or damaged, is left out and never fatal",
			Mend:   "check the length and version of each value in Restore, and skip what does not fit",
			run: applied(func(tb TB) {
				h, l := s.begin(tb, State{"": []byte{0}, "\x01": nil, "unknown/key": []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")})
				l.Durable(l.Send(s.batches(h)[0]))
			}),
		},
	}, Faults(target, "detector", c.Host)...)
}

const noEvents = "no sample events were given"

// batches are what the detector is given to work on.
func (s *detectorSuite) batches(h *Host) []Batch {
	if len(s.Batches) > 0 {
		return s.Batches
	}
	return h.batches()
}

func (s *detectorSuite) begin(tb TB, state State) (*Host, *Link) {
	tb.Helper()
	h := Start(tb, s.target, s.Host)
	h.hasKind("detector")
	return h, h.Link("detector", state)
}

// collect sends batches and notes the alerts by id.
func (s *detectorSuite) collect(tb TB, l *Link, batches []Batch, into map[string]*event.AlertEvent) {
	tb.Helper()
	for _, b := range batches {
		for _, a := range l.Alerts(l.Send(b)) {
			into[a.ID] = a
		}
	}
}

func (s *detectorSuite) raises(tb TB) string {
	tb.Helper()
	if len(s.Batches) == 0 {
		return noEvents
	}
	h, l := s.begin(tb, nil)
	seen := map[string]*event.AlertEvent{}
	for _, b := range s.Batches {
		for _, a := range l.Alerts(l.Send(b)) {
			if a.ID == "" || a.RuleID == "" || a.Title == "" || a.Severity == 0 || a.Detector != h.Name || a.Time.IsZero() || a.TraceID.IsZero() || a.Provenance == 0 || len(a.Causes) == 0 {
				tb.Errorf("the alert lacks something: %+v", a)
			}
			if seen[a.ID] != nil {
				tb.Errorf("alert %s (%s) was raised twice", a.ID, a.RuleID)
			}
			seen[a.ID] = a
		}
	}
	if len(seen) == 0 {
		tb.Errorf("the sample events raised no alert")
	}
	s.undisturbed = seen
	return ""
}

func (s *detectorSuite) raisesTheSame(tb TB) string {
	tb.Helper()
	switch {
	case len(s.Batches) == 0:
		return noEvents
	case s.Stateless:
		return "the detector is declared stateless"
	case s.undisturbed == nil:
		s.undisturbed = map[string]*event.AlertEvent{}
		_, l := s.begin(tb, nil)
		s.collect(tb, l, s.Batches, s.undisturbed)
	}
	for cut := range s.Batches {
		got := map[string]*event.AlertEvent{}
		h, l := s.begin(tb, nil)
		s.collect(tb, l, s.Batches[:cut], got)
		state := l.State()
		// Killed with one batch in hand, which the host gives again.
		l.Send(s.Batches[cut])
		h.Kill()
		h, l = s.begin(tb, state)
		s.collect(tb, l, s.Batches[cut:], got)
		h.Kill()
		if d := compare(idsOf(s.undisturbed), idsOf(got)); d != "" {
			tb.Errorf("killed in batch %d of %d: alerts differ from the undisturbed run: %s", cut+1, len(s.Batches), d)
		}
	}
	return ""
}

func (s *detectorSuite) readsBoth(tb TB) string {
	tb.Helper()
	if len(s.Batches) == 0 {
		return noEvents
	}
	var seen [2]map[string]*event.AlertEvent
	for form := range seen {
		seen[form] = map[string]*event.AlertEvent{}
		h, l := s.begin(tb, nil)
		for _, b := range s.Batches {
			if form == 1 {
				b = b.spelledOut()
			}
			s.collect(tb, l, []Batch{b}, seen[form])
		}
		h.Kill()
	}
	if d := compare(idsOf(seen[0]), idsOf(seen[1])); d != "" {
		tb.Errorf("with texts written out instead of named, alerts differ: %s", d)
	}
	return ""
}

func (s *detectorSuite) survives(tb TB) {
	tb.Helper()
	h, l := s.begin(tb, nil)
	stream := testStream("hostile", "")
	first := uint64(1)
	for _, kind := range []event.Kind{event.KindLog, event.KindPacket, event.KindAlert} {
		if !h.wants(kind) {
			continue
		}
		b := Garbage(kind, stream, first, hostileBodies()...)
		l.Durable(l.Send(b))
		first += uint64(b.count)
	}
	for _, b := range []Batch{Logs(stream, first, hostileLogs()...), Packets(stream, first+100, hostilePackets()...), Alerts(stream, first+200, hostileAlerts()...)} {
		if h.wants(event.Kind(b.kind)) {
			l.Durable(l.Send(b))
		}
	}
	h.Health()
}

func (s *detectorSuite) drains(tb TB) {
	tb.Helper()
	h, l := s.begin(tb, nil)
	var last uint64
	h.healthWhile(func() {
		for range 20 {
			for _, b := range s.batches(h) {
				last = l.Send(b)
			}
		}
	})
	drains(h, l, last)
}
