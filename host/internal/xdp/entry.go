package xdp

import (
	"fmt"
	"net/netip"
	"time"
)

// Action is what an entry of the block list, or a rule, asks for.
type Action uint8

// The actions; the zero value means ActionLimit where a limit is given, else
// ActionDrop.
const (
	ActionDrop    Action = 1
	ActionMonitor Action = 2
	// ActionLimit drops what one source sends over a rate, a source being an IPv4
	// address or an IPv6 /64.
	ActionLimit Action = 3
)

// String returns "drop", "monitor" or "limit".
func (a Action) String() string {
	switch a {
	case ActionDrop, 0:
		return "drop"
	case ActionMonitor:
		return "monitor"
	case ActionLimit:
		return "limit"
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// Entry is one line of the block list.
type Entry struct {
	// Prefix is what the entry is about. Bits past its length are ignored, and
	// an IPv4 prefix in IPv6 form means the IPv4 one.
	Prefix netip.Prefix
	Action Action
	// Limit is how many packets a second ActionLimit lets each source send, at most
	// MaxLimit. Burst is how many of them may come at once, at most MaxBurst and no
	// fewer than MinBurst(Limit): less is raised to that. Zero is DefaultBurst(Limit).
	Limit, Burst uint32
	// Rule is the caller's own number.
	Rule uint32
	// TTL is how long the entry is in force, from the call that stores it; what
	// remains when it is read back. Zero is for ever.
	TTL time.Duration
	// DryRun counts what this entry would drop and drops nothing.
	DryRun bool
	// Hits is how many packets the entry decided. Of those it dropped Drops, would
	// have dropped WouldDrops, were it not for simulate or dry run, and let the rest
	// pass: they were monitored, or within the limit. They are read, never stored;
	// storing a prefix again keeps them.
	Hits, Drops, WouldDrops uint64
}

// dropped is what was dropped of hits. The numbers are read while they go up.
func dropped(hits, passes, wouldDrops uint64) uint64 {
	return hits - min(hits, passes+wouldDrops)
}

// The bounds of limits.
const (
	// MaxLimit is the greatest Limit, in packets a second. The kernel counts whole
	// nanoseconds between packets, which is off by less than 1 % up to here.
	MaxLimit = 10_000_000
	// MaxBurst is the greatest Burst.
	MaxBurst = 1_000_000
	// minBurstTick is the longest step of the kernel's coarse clock, that of a
	// kernel with HZ=100: between two ticks no bucket is filled.
	minBurstTick = 10 * time.Millisecond
)

// MinBurst is the smallest burst with which a source can use the whole of a
// limit: what a limit brings within 10 ms, the longest tick of a kernel's clock,
// and one. It is the same on every machine, so that lists are.
func MinBurst(limit uint32) uint32 {
	ticks := uint64(time.Second / minBurstTick)
	return uint32((uint64(limit)+ticks-1)/ticks) + 1
}

// DefaultBurst is what a limit brings within a tenth of a second, at least 5.
func DefaultBurst(limit uint32) uint32 { return max(5, limit/10, MinBurst(limit)) }

// checkAction fills in the defaults of an action and its limit.
func checkAction(action Action, limit, burst uint32) (Action, uint32, uint32, error) {
	if action == 0 && limit > 0 {
		action = ActionLimit
	}
	switch action {
	case 0, ActionDrop, ActionMonitor:
		if limit != 0 || burst != 0 {
			return action, limit, burst, fmt.Errorf("%v with a limit: %w", action, ErrInvalid)
		}
		return max(action, ActionDrop), 0, 0, nil
	case ActionLimit:
	default:
		return action, limit, burst, fmt.Errorf("%v: %w", action, ErrInvalid)
	}
	if limit < 1 || limit > MaxLimit {
		return action, limit, burst, fmt.Errorf("limit %d is not between 1 and %d packets a second: %w", limit, MaxLimit, ErrInvalid)
	}
	if burst > MaxBurst {
		return action, limit, burst, fmt.Errorf("burst %d is more than %d packets: %w", burst, MaxBurst, ErrInvalid)
	}
	if burst == 0 {
		burst = DefaultBurst(limit)
	}
	return action, limit, max(burst, MinBurst(limit)), nil
}

// canonical returns the prefix in the form that lists use.
func canonical(p netip.Prefix) (netip.Prefix, error) {
	if !p.IsValid() || p.Addr().Zone() != "" {
		return p, fmt.Errorf("prefix %v: %w", p, ErrInvalid)
	}
	if p.Addr().Is4In6() {
		// ::ffff:0:0/96 and longer is IPv4; a shorter one is all of IPv4 and more.
		if p.Bits() < 96 {
			return p, fmt.Errorf("prefix %v covers more than IPv4 in IPv6 form: %w", p, ErrInvalid)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

func (e Entry) check() (Entry, error) {
	var err error
	if e.Prefix, err = canonical(e.Prefix); err != nil {
		return e, err
	}
	if e.TTL < 0 {
		return e, fmt.Errorf("ttl %v of %v: %w", e.TTL, e.Prefix, ErrInvalid)
	}
	if e.Action, e.Limit, e.Burst, err = checkAction(e.Action, e.Limit, e.Burst); err != nil {
		return e, fmt.Errorf("%v: %w", e.Prefix, err)
	}
	return e, nil
}
