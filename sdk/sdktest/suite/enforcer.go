package suite

import (
	"reflect"
	"slices"

	"github.com/ironpost/ironpost/sdk/event"
)

// EnforcerConfig says how to check an enforcer.
type EnforcerConfig struct {
	Host HostConfig
	// Alerts make it propose at least one intent. Without any, only what holds
	// for all alerts is checked.
	Alerts []*event.AlertEvent
}

// enforcerSuite is what the checks of an enforcer share.
type enforcerSuite struct {
	target Target
	stream *event.Stream
	EnforcerConfig
}

// Enforcer returns the checks of an enforcer: intents are complete, bounded in time,
// and the same when an alert comes again; hostile alerts cost themselves. Nothing is
// executed.
func Enforcer(target Target, c EnforcerConfig) []Check {
	s := &enforcerSuite{target, testStream("journal", ""), c}
	return append([]Check{
		{
			Name: "enforcer.intents", Title: "proposes complete intents",
			Wanted: "each intent has id, alert_id, action, enforcer and outcome PLANNED, and, but for notify, a target and an end (detail ttl_seconds), or release_needed=false",
			Mend:   "give every effect an end; fill in what ActionEvent in event.proto names",
			run:    s.proposes,
		},
		{
			Name: "enforcer.again", Title: "proposes the same again",
			Wanted: "an alert that comes again, in the same life or the next, gives the same intents under the same ids",
			Mend:   "decide by the alert and the configuration alone, not by the clock or by what was decided before",
			run:    s.proposesTheSame,
		},
		{
			Name: "enforcer.hostile", Title: "survives hostile alerts",
			Wanted: "records that are no alerts, and alerts with absurd values, are answered and durable like others",
			Mend:   "skip and count a record that cannot be decoded; believe no text of an alert",
			run: applied(func(tb TB) {
				h, l := s.begin(tb)
				l.Durable(l.Send(Garbage(event.KindAlert, s.stream, 1, hostileBodies()...)))
				l.Durable(l.Send(Alerts(s.stream, 100, hostileAlerts()...)))
				h.Health()
			}),
		},
		{
			Name: "enforcer.drain", Title: "stays responsive and drains",
			Wanted: "Health answers within 1 s while it works; Drain returns when everything received is durable",
			Mend:   "answer Health on another thread; acknowledge what was decided as durable, then return from Drain",
			run: applied(func(tb TB) {
				h, l := s.begin(tb)
				alerts := s.Alerts
				if len(alerts) == 0 {
					alerts = hostileAlerts()
				}
				var last uint64
				h.healthWhile(func() {
					for i := range uint64(50) {
						last = l.Send(Alerts(s.stream, 1+100*i, alerts...))
					}
				})
				drains(h, l, last)
			}),
		},
	}, Faults(target, "enforcer", c.Host)...)
}

func (s *enforcerSuite) begin(tb TB) (*Host, *Link) {
	tb.Helper()
	h := Start(tb, s.target, s.Host)
	h.hasKind("enforcer")
	return h, h.Link("enforcer", nil)
}

const noAlerts = "no sample alerts were given"

func (s *enforcerSuite) proposes(tb TB) string {
	tb.Helper()
	if len(s.Alerts) == 0 {
		return noAlerts
	}
	h, l := s.begin(tb)
	intents := l.Intents(l.Send(Alerts(s.stream, 1, s.Alerts...)))
	if len(intents) == 0 {
		tb.Errorf("the sample alerts led to no intent")
	}
	for _, a := range intents {
		ttl := slices.ContainsFunc(a.Details, func(f event.Field) bool {
			return f.Key == "ttl_seconds" || f.Key == "release_needed" && f.Value == "false"
		})
		if a.ID == "" || a.AlertID == "" || a.Action == "" || a.Enforcer != h.Name || a.Outcome != event.OutcomePlanned || a.Action != "notify" && (!ttl || a.Target == "") {
			tb.Errorf("the intent lacks something, an end (TTLSeconds) perhaps: %+v", a)
		}
	}
	return ""
}

func (s *enforcerSuite) proposesTheSame(tb TB) string {
	tb.Helper()
	if len(s.Alerts) == 0 {
		return noAlerts
	}
	var want []*event.ActionEvent
	for life := range 2 {
		h, l := s.begin(tb)
		for turn := range 2 {
			got := l.Intents(l.Send(Alerts(s.stream, 1, s.Alerts...)))
			if life+turn == 0 {
				want = got
				continue
			}
			if len(got) != len(want) {
				tb.Fatalf("%d intents the first time, %d in life %d, turn %d", len(want), len(got), life+1, turn+1)
			}
			for i := range want {
				if !reflect.DeepEqual(want[i], got[i]) {
					tb.Errorf("intent %d is another in life %d, turn %d: %s", i, life+1, turn+1, firstDifference(want[i], got[i]))
				}
			}
		}
		h.Kill()
	}
	return ""
}
