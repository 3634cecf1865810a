package watch

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// MaxHourly is how many alerts of one rule are raised about one target in an hour. What a
// container says of its packages it may have made up, so that each rule has a number of its own:
// a forged database does not keep quiet about a program that nobody brought.
const MaxHourly = 32

// window is how long a budget lasts.
const window = time.Hour

// What is recorded of the packages of a target: as much at once, and as much in an hour when that
// is used up. Who makes packages without end in a container does not push everything else out of
// the host's journal of inventory.
const (
	MaxRecords    = 1 << 16
	HourlyRecords = 4096
)

// bucket is how much may be recorded. The zero bucket is full.
type bucket struct {
	used float64
	at   time.Time
	// told says that it was logged that it is empty.
	told bool
}

// room is how many more may be recorded.
func (b *bucket) room(now time.Time) int {
	b.used = max(0, b.used-now.Sub(b.at).Hours()*HourlyRecords)
	b.at = now
	return max(0, int(MaxRecords-b.used))
}

// take notes that some were.
func (b *bucket) take(n int) { b.used += float64(n) }

// RuleHeld is the rule of the one alert that says that others wait.
const RuleHeld = "package_alerts_held_back"

// budget is what was raised under a rule about a target since a moment.
type budget struct {
	since time.Time
	n     int
	// told says that an alert told that others wait.
	told bool
}

// cause is what gives cause for an alert, which is made when there is room for it.
type cause struct {
	rule     string
	severity event.Severity
	make     func() notice
}

// affordable leaves out what there is no room for now, the least severe first; held counts
// that by rule. What is left out stays untold, and comes when there is room again.
func (s *state) affordable(list []cause, now time.Time) (out []cause, held map[string][]cause) {
	slices.SortStableFunc(list, func(a, b cause) int { return cmp.Compare(b.severity, a.severity) })
	held = map[string][]cause{}
	for _, c := range list {
		b := s.budget(c.rule, now)
		if b.n >= MaxHourly {
			held[c.rule] = append(held[c.rule], c)
			continue
		}
		b.n++
		out = append(out, c)
	}
	return out, held
}

// budget returns that of a rule, a new one when the last is over.
func (s *state) budget(rule string, now time.Time) *budget {
	b := s.budgets[rule]
	if b == nil || now.Sub(b.since) >= window {
		b = &budget{since: now}
		if s.budgets == nil {
			s.budgets = map[string]*budget{}
		}
		s.budgets[rule] = b
	}
	return b
}

// held is the alert that says that others wait.
func (s *state) held(rule string, waiting []cause, since time.Time) *event.AlertEvent {
	a := s.begin(RuleHeld, rule, strconv.FormatInt(since.UnixNano(), 10))
	a.Severity, a.Count = waiting[0].severity, uint64(len(waiting)) // the worst is the first
	a.Title = fmt.Sprintf("More alerts of %s about %s are held back", rule, s.place())
	a.Description = fmt.Sprintf("%d were raised within an hour, and %d more wait for the next. Their packages are in the inventory.", MaxHourly, len(waiting))
	a.Details = append(a.Details, event.Field{Key: "rule", Value: rule}, event.Field{Key: "waiting", Value: strconv.Itoa(len(waiting))})
	return a
}
