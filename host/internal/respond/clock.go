package respond

import (
	"math"
	"time"
)

// Clock tells the time in two ways. Boot counts since the machine booted, also
// while it sleeps; BootID changes with every boot.
type Clock struct {
	Wall   func() time.Time
	Boot   func() time.Duration
	BootID string
}

// forever is how much is left of what does not expire.
const forever = time.Duration(math.MaxInt64)

// stamp is an end that no clock jump and no restart puts off.
type stamp struct {
	// TTL is how long it was from the beginning; 0 has no end.
	TTL time.Duration `json:"ttl"`
	// Expires is the end by the wall clock.
	Expires time.Time `json:"expires"`
	// BootExpires is the end by the time since boot, in the boot BootID.
	BootExpires time.Duration `json:"boot_expires"`
	BootID      string        `json:"boot_id"`
}

// tick is when a host last looked at its clocks.
type tick struct {
	BootID string        `json:"boot_id"`
	Boot   time.Duration `json:"boot"`
	// Clean says that the host stopped right then.
	Clean bool `json:"clean"`
}

func (c Clock) stamp(ttl time.Duration) stamp {
	if ttl <= 0 {
		return stamp{}
	}
	return stamp{TTL: ttl, Expires: c.Wall().Add(ttl).Round(0).UTC(), BootExpires: c.Boot() + ttl, BootID: c.BootID}
}

// remaining returns what is left, forever for a stamp without end, and 0 or less
// when it is over. The wall clock's reading is stripped of the monotonic one,
// which would hide a jump.
func (c Clock) remaining(s stamp) time.Duration {
	if s.TTL <= 0 {
		return forever
	}
	left := min(s.TTL, s.Expires.Round(0).Sub(c.Wall().Round(0)))
	if s.BootID == c.BootID {
		left = min(left, s.BootExpires-c.Boot())
	}
	return left
}

// rebase carries a stamp of an earlier boot into this one. last is the last tick
// of that boot: nothing has more left than then.
func (c Clock) rebase(s stamp, last tick) stamp {
	if s.TTL <= 0 || s.BootID == c.BootID {
		return s
	}
	left := c.remaining(s)
	if last.BootID == s.BootID {
		then := s.BootExpires - last.Boot
		if !last.Clean {
			then -= TickInterval // it ran on for up to that long
		}
		left = min(left, then)
	}
	ttl := s.TTL
	s = c.stamp(max(left, 1))
	s.TTL = ttl
	return s
}
