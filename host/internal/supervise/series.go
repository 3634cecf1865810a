package supervise

import "time"

// Bounds of a plugin's restarts.
const (
	maxBarren  = 5 // starts in a row that got nothing done before the circuit opens
	firstPause = 200 * time.Millisecond
	growth     = 5 // from one pause to the next
	maxPause   = 30 * time.Second
	// longLife is how long a process must have run for its end to be no part of
	// a series although there was nothing for it to do.
	longLife = 10 * time.Second
	// burst restarts at once are free; more come back at one each refill, so
	// that a plugin which gets a little done each time does not keep the machine
	// busy with starting it.
	burst  = 20
	refill = 100 * time.Millisecond
)

// series is what is remembered of the lives before. The zero value begins one.
type series struct {
	barren int       // lives in a row that got nothing done
	spent  int       // restarts at once that are not refilled yet
	since  time.Time // when spent was right
}

// forget begins a new series.
func (s *series) forget() { s.barren = 0 }

// open reports whether the circuit is open.
func (s *series) open() bool { return s.barren >= maxBarren }

// next notes the end of a life and returns the pause before the next start:
// none after one that got something done, or the first that did not.
func (s *series) next(worked bool, now time.Time) time.Duration {
	if worked {
		s.barren = 0
	} else {
		s.barren++
	}
	if s.barren > 1 {
		pause := firstPause
		for range s.barren - 2 {
			pause = min(growth*pause, maxPause)
		}
		return pause
	}
	return s.spend(now)
}

// spend takes one of the restarts at once, and returns how long there is none.
func (s *series) spend(now time.Time) time.Duration {
	back := int(now.Sub(s.since) / refill)
	if back >= s.spent {
		s.spent, s.since = 0, now
	} else if back > 0 {
		s.spent -= back
		s.since = s.since.Add(time.Duration(back) * refill)
	}
	s.spent++
	if s.spent <= burst {
		return 0
	}
	return refill
}
