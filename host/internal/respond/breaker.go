package respond

import "time"

// breaker counts blocks and stops them when there are too many. Times are those
// since boot.
type breaker struct {
	times []time.Duration // of the blocks of the last minute, ascending
	until time.Duration   // it closes then
	open  bool
}

// admit reports whether one more block is within most a minute, and counts it.
// When it is not, the breaker opens.
func (b *breaker) admit(now time.Duration, most int) bool {
	if b.open {
		return false
	}
	past := 0
	for past < len(b.times) && b.times[past] <= now-time.Minute {
		past++
	}
	b.times = append(b.times[:0], b.times[past:]...)
	if len(b.times) >= most {
		b.open, b.until, b.times = true, now+BreakerPause, nil
		return false
	}
	b.times = append(b.times, now)
	return true
}

// closes closes a breaker whose pause is over, and reports that.
func (b *breaker) closes(now time.Duration) bool {
	if !b.open || now < b.until {
		return false
	}
	b.open = false
	return true
}
