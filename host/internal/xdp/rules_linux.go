//go:build amd64 || arm64

package xdp

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bpf"
)

// storedRule is a rule as the maps have it.
type storedRule struct {
	Rule
	expires                  uint64 // CLOCK_MONOTONIC in ns; 0 is never
	salt                     uint32
	slot                     uint8
	hits, passes, wouldDrops uint64
}

// SetRules makes rules the whole set of rules. Each packet is judged by the old
// set or by the new one, from its return on by the new one. Where several match, the
// one with the lowest Priority decides, then the longer prefixes, then the narrower
// protocol, then fewer ports, then the earlier in rules. A rule that the old set holds
// too, with equal ID and conditions, keeps its hits and what its sources have used of
// a limit.
//
// It takes some 10 ms: it waits until no packet is judged by the set before the
// old one. It returns errors that wrap ErrInvalid or ErrClosed, or ErrFull for more
// than MaxRules rules or MaxRulePrefixes prefixes; after an error the old set is in
// force.
func (f *Filter) SetRules(rules []Rule) error {
	if err := f.setRules(rules); err != nil {
		return fmt.Errorf("set the rules: %w", err)
	}
	return nil
}

func (f *Filter) setRules(rules []Rule) error {
	checked, err := checkRules(rules)
	if err != nil {
		return err
	}
	if err := f.enter(); err != nil {
		return err
	}
	defer f.leave()
	f.lists.Lock()
	defer f.lists.Unlock()
	old, err := f.readRules()
	if err != nil {
		return err
	}
	clock := now()
	next := make([]storedRule, len(checked))
	for i, r := range checked {
		next[i] = storedRule{Rule: r, expires: expiryOf(r.TTL, clock)}
	}
	return f.storeRules(old, next)
}

// checkRules returns the rules as sets have them, in the order of decision.
func checkRules(rules []Rule) ([]Rule, error) {
	if len(rules) > MaxRules {
		return nil, fmt.Errorf("%w: %d rules are more than %d", ErrFull, len(rules), MaxRules)
	}
	checked := make([]Rule, len(rules))
	prefixes := 0
	for i, r := range rules {
		var err error
		if checked[i], err = r.check(); err != nil {
			return nil, fmt.Errorf("rule %d (id %d): %w", i+1, r.ID, err)
		}
		prefixes += len(checked[i].From) + len(checked[i].To)
	}
	if prefixes > MaxRulePrefixes {
		return nil, fmt.Errorf("%w: the rules name %d prefixes, more than %d", ErrFull, prefixes, MaxRulePrefixes)
	}
	byPriority(checked)
	return checked, nil
}

// Rules returns the live rules, in the order in which they decide.
func (f *Filter) Rules() ([]Rule, error) {
	if err := f.enter(); err != nil {
		return nil, fmt.Errorf("read the rules: %w", err)
	}
	defer f.leave()
	f.lists.Lock()
	defer f.lists.Unlock()
	stored, err := f.readRules()
	if err != nil {
		return nil, fmt.Errorf("read the rules: %w", err)
	}
	clock := now()
	var rules []Rule
	for _, s := range stored {
		if s.expires != 0 && s.expires <= clock {
			continue
		}
		r := s.Rule
		r.Hits, r.WouldDrops, r.Drops = s.hits, s.wouldDrops, dropped(s.hits, s.passes, s.wouldDrops)
		if s.expires != 0 {
			r.TTL = time.Duration(s.expires - clock)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// readRules returns the set that is in force; lists is held.
func (f *Filter) readRules() ([]storedRule, error) {
	m := &f.memory
	half := atomic.LoadUint32(&m.settings[0].Rules)
	if half == 0 {
		return nil, nil
	}
	half--
	prefixes, err := readPrefixes(f.maps.RulePrefixes, half)
	if err != nil {
		return nil, err
	}
	return decodeRules(m.rules[half*MaxRules:][:MaxRules], prefixes, func(slot uint8) (c bpf.XDPRuleCount) {
		for i := int(slot); i < len(m.ruleCounts); i += ruleSlots {
			c.Hits += atomic.LoadUint64(&m.ruleCounts[i].Hits)
			c.Passes += atomic.LoadUint64(&m.ruleCounts[i].Passes)
			c.WouldDrops += atomic.LoadUint64(&m.ruleCounts[i].WouldDrops)
		}
		return c
	}), nil
}

// ruleSlots is how many slots of counters each processor has: a set and the next
// have room.
const ruleSlots = 2 * MaxRules

// storeRules puts next, in the order of decision, in the place of old, which is in
// force; lists is held.
func (f *Filter) storeRules(old, next []storedRule) error {
	m := &f.memory
	if len(next) == 0 {
		atomic.StoreUint32(&m.settings[0].Rules, 0)
		return nil
	}
	// A packet may still be judged by the half that was in force before, or count
	// for a rule that it had.
	awaitPackets()
	f.assignSlots(old, next)
	half := uint32(0)
	if m.settings[0].Rules == 1 {
		half = 1
	}
	set := compileRules(next)
	if err := f.storePrefixes(half, set); err != nil {
		return err
	}
	if set.ports != nil {
		store(m.rulePorts[half*2*ports:][:ports], set.ports)
	}
	if set.sourcePorts != nil {
		store(m.rulePorts[(half*2+1)*ports:][:ports], set.sourcePorts)
	}
	copy(m.rules[half*MaxRules:][:MaxRules], set.rules[:])
	m.ruleSets[half] = set.set
	atomic.StoreUint32(&m.settings[0].Rules, half+1)
	for i := range next {
		f.expects(next[i].expires)
	}
	return nil
}

// assignSlots gives each rule of next the slot and the salt that it has in old, or
// new ones, with the counts that it brings.
func (f *Filter) assignSlots(old, next []storedRule) {
	var taken [ruleSlots]bool
	for _, o := range old {
		taken[o.slot] = true
	}
	rest := slices.Clone(old)
	for i := range next {
		n := &next[i]
		if at := slices.IndexFunc(rest, func(o storedRule) bool { return o.same(&n.Rule) }); at >= 0 {
			n.slot, n.salt = rest[at].slot, rest[at].salt
			rest = slices.Delete(rest, at, at+1)
			continue
		}
		n.slot = uint8(slices.Index(taken[:], false))
		taken[n.slot] = true
		if n.salt == 0 {
			n.salt = max(1, rand.Uint32()) // entries of the block list have 0
		}
		for at := int(n.slot); at < len(f.memory.ruleCounts); at += ruleSlots {
			f.memory.ruleCounts[at] = bpf.XDPRuleCount{}
		}
		f.memory.ruleCounts[n.slot] = bpf.XDPRuleCount{Hits: n.hits, Passes: n.passes, WouldDrops: n.wouldDrops}
	}
}

// forgetRules removes the rules that have expired; lists is held.
func (f *Filter) forgetRules() error {
	old, err := f.readRules()
	if err != nil {
		return err
	}
	clock := now()
	next := slices.DeleteFunc(slices.Clone(old), func(r storedRule) bool { return r.expires != 0 && r.expires <= clock })
	if len(next) == len(old) {
		return nil
	}
	return f.storeRules(old, next)
}

// ruleCount returns how many rules are in force, expired or not.
func (f *Filter) ruleCount() (n int) {
	half := atomic.LoadUint32(&f.memory.settings[0].Rules)
	if half == 0 {
		return 0
	}
	for _, r := range f.memory.rules[(half-1)*MaxRules:][:MaxRules] {
		if r.Action != 0 {
			n++
		}
	}
	return n
}

// ruleExpiry returns when the next rule expires, 0 for never; lists is held.
func (f *Filter) ruleExpiry() (expiry uint64) {
	half := f.memory.settings[0].Rules
	if half == 0 {
		return 0
	}
	for _, r := range f.memory.rules[(half-1)*MaxRules:][:MaxRules] {
		if r.Action != 0 && r.Expires != 0 && (expiry == 0 || r.Expires < expiry) {
			expiry = r.Expires
		}
	}
	return expiry
}

// awaitPackets returns when every packet has been judged that was being judged
// when it was called.
func awaitPackets() {
	// Programs run in read sections of RCU, whose end membarrier(2) waits for. It
	// does not where processors run without ticks (nohz_full).
	const global = 1 // MEMBARRIER_CMD_GLOBAL
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0); errno != 0 {
		time.Sleep(membarrierPatience)
	}
}

// membarrierPatience is how long a packet may take where nobody tells.
const membarrierPatience = 50 * time.Millisecond
