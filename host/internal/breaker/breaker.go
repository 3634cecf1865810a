// Package breaker stops what is done too often.
package breaker

import "time"

// Pause is how long a breaker stays open.
const Pause = 5 * time.Minute

// Breaker counts acts and stops them when there are too many within a minute. Times
// are those since boot. The zero Breaker is closed. It is not safe for concurrent use.
type Breaker struct {
	times []time.Duration // of the acts of the last minute, ascending
	until time.Duration   // it closes then
	open  bool
}

// Admit reports whether one more act is within most a minute, and counts it. When it
// is not, the breaker opens.
func (b *Breaker) Admit(now time.Duration, most int) bool {
	if b.open {
		return false
	}
	past := 0
	for past < len(b.times) && b.times[past] <= now-time.Minute {
		past++
	}
	b.times = append(b.times[:0], b.times[past:]...)
	if len(b.times) >= most {
		b.open, b.until, b.times = true, now+Pause, nil
		return false
	}
	b.times = append(b.times, now)
	return true
}

// Closes closes a breaker whose pause is over, and reports that.
func (b *Breaker) Closes(now time.Duration) bool {
	if !b.open || now < b.until {
		return false
	}
	b.open = false
	return true
}

// Open returns when the breaker closes, and whether it is open.
func (b *Breaker) Open() (until time.Duration, open bool) { return b.until, b.open }
