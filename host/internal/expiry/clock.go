// Package expiry tells when things end, so that neither a jump of the clock nor a
// restart of the host, nor both, puts an end off.
//
// A Stamp holds an end by two clocks: the wall's, and the time since boot while that
// boot lasts. Whoever keeps stamps over restarts notes a Tick at least every
// TickInterval, and at a clean stop, and has Rebase carry its stamps into a new boot:
// nothing has more left than at the last tick of the boot before.
//
// All of it are values; they are safe for concurrent use as those are.
package expiry

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

// TickInterval is how often the clocks are noted, and the most that a machine's
// sudden stop takes off what is left.
const TickInterval = 30 * time.Second

// Forever is how much is left of what does not expire.
const Forever = time.Duration(math.MaxInt64)

// Stamp is an end that no clock jump and no restart puts off.
type Stamp struct {
	// TTL is how long it was from the beginning; 0 has no end.
	TTL time.Duration `json:"ttl"`
	// Expires is the end by the wall clock.
	Expires time.Time `json:"expires"`
	// BootExpires is the end by the time since boot, in the boot BootID.
	BootExpires time.Duration `json:"boot_expires"`
	BootID      string        `json:"boot_id"`
}

// Tick is when a host last looked at its clocks.
type Tick struct {
	BootID string        `json:"boot_id"`
	Boot   time.Duration `json:"boot"`
	// Clean says that the host stopped right then.
	Clean bool `json:"clean"`
}

// Stamp returns the end of something that lasts for ttl from now; of 0 or less, the
// zero Stamp, which has no end.
func (c Clock) Stamp(ttl time.Duration) Stamp {
	if ttl <= 0 {
		return Stamp{}
	}
	return Stamp{TTL: ttl, Expires: c.Wall().Add(ttl).Round(0).UTC(), BootExpires: c.Boot() + ttl, BootID: c.BootID}
}

// Remaining returns what is left, Forever for a stamp without end, and 0 or less
// when it is over. The wall clock's reading is stripped of the monotonic one,
// which would hide a jump.
func (c Clock) Remaining(s Stamp) time.Duration {
	if s.TTL <= 0 {
		return Forever
	}
	left := min(s.TTL, s.Expires.Round(0).Sub(c.Wall().Round(0)))
	if s.BootID == c.BootID {
		left = min(left, s.BootExpires-c.Boot())
	}
	return left
}

// Rebase carries a stamp of an earlier boot into this one. last is the last tick
// of that boot: nothing has more left than then.
func (c Clock) Rebase(s Stamp, last Tick) Stamp {
	if s.TTL <= 0 || s.BootID == c.BootID {
		return s
	}
	left := c.Remaining(s)
	if last.BootID == s.BootID {
		then := s.BootExpires - last.Boot
		if !last.Clean {
			then -= TickInterval // it ran on for up to that long
		}
		left = min(left, then)
	}
	ttl := s.TTL
	s = c.Stamp(max(left, 1))
	s.TTL = ttl
	return s
}
