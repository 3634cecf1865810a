package respond

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/host/internal/breaker"
	"github.com/ironpost/ironpost/host/internal/config"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// The codes of refusals, beside the names of rails.
const (
	// CodeAction: the host knows no such verb.
	CodeAction = "unknown_action"
	// CodeAlert: the alert that the intent names is not known, or not any more.
	CodeAlert = "unknown_alert"
	// CodeTooMany: the alert has led to too many intents already.
	CodeTooMany = "too_many_intents"
	// CodeAmbiguous: the alert names no source address, or more than one.
	CodeAmbiguous = "ambiguous_target"
	// CodeTarget: the target is not what the alert names.
	CodeTarget = "other_target"
	// CodeAddress: the target is no address that a single host sends from.
	CodeAddress = "not_unicast"
	// CodeLinkLocal: the address means another host on every link.
	CodeLinkLocal = "link_local"
	// CodeForgeable: the evidence may be forged, and the operator did not opt in.
	CodeForgeable = "forgeable_evidence"
	// CodeOrigin: who told may not speak about that address.
	CodeOrigin = "untrusted_origin"
	// CodeLimit: the limit makes no sense.
	CodeLimit = "invalid_limit"
	// CodeTTL: the time to live makes no sense.
	CodeTTL = "invalid_ttl"
	// CodeBreaker: too many blocks within a minute.
	CodeBreaker = "breaker_open"
	// CodeFull: the block list is full.
	CodeFull = "list_full"
)

// The bounds of what enforcers can make the host record.
const (
	// maxIntents bounds the intents about one alert.
	maxIntents = 64
	// maxRefusals is how many refusals are recorded within a minute; further
	// ones, for breaker.Pause, are counted alone.
	maxRefusals = 120
)

// refusal is why an intent is not followed.
type refusal struct{ code, reason string }

// plan is what following an intent comes to.
type plan struct {
	prefix netip.Prefix
	ttl    time.Duration
	deed   deed
	notes  []string // what else is to be said
	proxy  string   // the trusted proxy that hides the address from the filter
}

// judge runs the checks; it fills in what the intent takes from its alert.
func (r *Responder) judge(a *pb.ActionEvent) (plan, *refusal) {
	if a.Action != actionBlock && a.Action != actionLimit && a.Action != actionNotify {
		return plan{}, &refusal{CodeAction, fmt.Sprintf("The host does not know how to %q.", a.Action)}
	}
	about, intents := r.history.find(a.AlertId)
	if about == nil {
		return plan{}, &refusal{CodeAlert, "The alert that it names is not known, or older than the last " + strconv.Itoa(MaxAlerts) + "."}
	}
	a.TraceId = about.trace
	if intents > maxIntents {
		return plan{}, &refusal{CodeTooMany, fmt.Sprintf("The alert has led to %d intents already.", maxIntents)}
	}
	if a.Action == actionNotify {
		if a.Target != "" && !about.entities[a.Target] {
			return plan{}, &refusal{CodeTarget, fmt.Sprintf("The alert does not name %q.", a.Target)}
		}
		return plan{}, nil
	}
	addr, no := target(a.Target, about)
	if no != nil {
		return plan{}, no
	}
	r.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	p := plan{prefix: host(addr)}
	if no := r.believable(a, addr, about, &p); no != nil {
		return plan{}, no
	}
	if a.Action == actionLimit {
		var no *refusal
		if p.deed, no = limitOf(a); no != nil {
			return plan{}, no
		}
	}
	if err := r.banned(p.prefix); err != nil {
		return plan{}, &refusal{err.Rail, "It is never blocked: " + ban{err.Rail, err.Source}.sentence(err.Rule) + "."}
	}
	if no := r.timeOf(a, &p); no != nil {
		return plan{}, no
	}
	if _, known := r.blocks[p.prefix]; !known && len(r.blocks) >= r.maxBlocks {
		return plan{}, &refusal{CodeFull, fmt.Sprintf("The block list has %d entries already.", len(r.blocks))}
	}
	if no := r.admit(a.Action); no != nil {
		return plan{}, no
	}
	r.foresee(about, &p)
	return p, nil
}

// target returns the one source address that the alert names, if that is what
// the intent is about and a host can have it.
func target(s string, about *alert) (netip.Addr, *refusal) {
	switch len(about.sources) {
	case 0:
		return netip.Addr{}, &refusal{CodeAmbiguous, "The alert names no source address."}
	case 1:
	default:
		return netip.Addr{}, &refusal{CodeAmbiguous, "The alert names more than one source address."}
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, &refusal{CodeAddress, fmt.Sprintf("The target %q is no address.", s)}
	}
	named, err := netip.ParseAddr(about.sources[0])
	if addr = addr.Unmap(); err != nil || named.Unmap() != addr {
		return netip.Addr{}, &refusal{CodeTarget, fmt.Sprintf("The alert names %q as its source, and not %q.", about.sources[0], s)}
	}
	switch {
	case addr.IsLinkLocalUnicast() || addr.Zone() != "":
		return netip.Addr{}, &refusal{CodeLinkLocal, "A link-local address means another host on every link."}
	case !unicast(addr):
		return netip.Addr{}, &refusal{CodeAddress, "No packet of a single other host has that source address."}
	}
	return addr, nil
}

// unicast reports whether an address can be that of another host: not of this
// one (127.0.0.0/8, ::1), not of "this network" (0.0.0.0/8, ::), not of groups,
// and not of the reserved class E with the broadcast address.
func unicast(a netip.Addr) bool {
	if a.Is4() {
		first := a.As4()[0]
		return first != 0 && first != 127 && first < 224
	}
	return !a.IsLoopback() && !a.IsUnspecified() && !a.IsMulticast()
}

// believable checks what the alert rests on. A block for which that does not
// suffice becomes a limit where the intent says so. r.mu is held.
func (r *Responder) believable(a *pb.ActionEvent, addr netip.Addr, about *alert, p *plan) *refusal {
	if a.Action == actionBlock && about.evidence != pb.Evidence_EVIDENCE_CONFIRMED && !r.policy.Respond.BlockForgeable {
		if detail(a, detailForgeable) != actionLimit {
			return &refusal{CodeForgeable, "The evidence may be forged; [respond] block_forgeable would allow it."}
		}
		a.Action = actionLimit
		if ttl := detail(a, detailLimitTTL); ttl != "" {
			set(a, detailTTL, ttl)
		}
		p.notes = append(p.notes, "limited, not blocked: the evidence may be forged")
	}
	if about.provenance == pb.Provenance_PROVENANCE_HOST {
		return nil
	}
	// What an origin that is not trusted tells is believed about itself alone. A
	// packet tells about its sender, whether it is forged or not.
	if peer, ok := peerAddr(about.peer); ok && peer == addr {
		return nil
	}
	if len(about.packets) > 0 && !slices.ContainsFunc(about.packets, func(p netip.Addr) bool { return p != addr }) {
		return nil
	}
	who := "An unauthenticated sender"
	if about.provenance == pb.Provenance_PROVENANCE_CONTAINER {
		who = "A container"
	}
	return &refusal{CodeOrigin, who + " told about another address than its own."}
}

// peerAddr reads the peer of a stream, an address with or without a port. One
// whose transport is given as datagrams proves nothing and is no peer.
func peerAddr(s string) (netip.Addr, bool) {
	for _, prefix := range []string{"tcp:", "tls:"} {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			s = strings.TrimPrefix(rest, "//")
			break
		}
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().WithZone(""), true
	}
	p, err := netip.ParseAddrPort(s)
	return p.Addr().Unmap().WithZone(""), err == nil
}

// timeOf sets how long the block lasts: the detail ttl_seconds, else the time
// until expires, else DefaultTTL, and never longer than the configuration
// allows. r.mu is held.
func (r *Responder) timeOf(a *pb.ActionEvent, p *plan) *refusal {
	p.ttl = DefaultTTL
	text := detail(a, detailTTL)
	switch {
	case text != "":
		s, err := strconv.ParseFloat(text, 64)
		// A part of a nanosecond is nothing, and no end at all to a stamp.
		p.ttl = time.Duration(min(max(s, 0)*float64(time.Second), math.MaxInt64/2))
		if err != nil || s != s || p.ttl <= 0 {
			return &refusal{CodeTTL, fmt.Sprintf("A time to live of %q seconds.", text)}
		}
	case a.Expires != 0:
		p.ttl = time.Unix(0, int64(a.Expires)).Sub(r.clock.Wall().Round(0))
		if p.ttl <= 0 {
			return &refusal{CodeTTL, "It would have expired already."}
		}
	}
	if most := r.maxTTL(); p.ttl > most {
		p.notes = append(p.notes, fmt.Sprintf("the time to live is cut from %v to [respond] max_ttl = %v", p.ttl, most))
		p.ttl = most
	}
	return nil
}

// breakers are those of the blocks and of the limits, so that alerts that anybody
// can provoke do not keep anybody from being blocked.
type breakers map[string]*breaker.Breaker

func newBreakers() breakers { return breakers{actionBlock: {}, actionLimit: {}} }

// admit asks the breaker. r.mu is held.
func (r *Responder) admit(action string) *refusal {
	now := r.clock.Boot()
	r.closeBreakers(now)
	b := r.breakers[action]
	_, was := b.Open()
	most := r.policy.Respond.MaxBlocksPerMinute
	if most <= 0 {
		most = math.MaxInt
	}
	if b.Admit(now, most) {
		return nil
	}
	closes, _ := b.Open()
	until := r.clock.Wall().Add(closes - now).UTC().Format(time.RFC3339)
	if !was {
		r.nudge()
		r.say(pb.Outcome_OUTCOME_APPLIED, actionBreaker, "",
			fmt.Sprintf("The breaker is open: more than [respond] max_blocks_per_minute = %d %ss were proposed within a minute; no enforcer %ss until %s.", most, action, action, until))
	}
	return &refusal{CodeBreaker, fmt.Sprintf("Too many %ss were proposed within a minute; the breaker is open until %s.", action, until)}
}

// closeBreakers closes those whose pause is over, and says so. r.mu is held.
func (r *Responder) closeBreakers(now time.Duration) {
	for action, b := range r.breakers {
		if b.Closes(now) {
			r.say(pb.Outcome_OUTCOME_RELEASED, actionBreaker, "", "The breaker is closed: enforcers may "+action+" again.")
		}
	}
}

// foresee notes why a block would have no effect. r.mu is held.
func (r *Responder) foresee(about *alert, p *plan) {
	if len(r.filters) == 0 {
		p.notes = append(p.notes, "it has no effect: no interface is watched, name one in [ebpf] interface")
	}
	for _, s := range about.proxies {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			continue
		}
		for _, proxies := range r.policy.Respond.TrustedProxies {
			if q, ok := canonical(proxies); ok && q.Contains(addr.Unmap()) {
				p.proxy = addr.Unmap().String()
				p.notes = append(p.notes, fmt.Sprintf("it has no effect: the address comes through the trusted proxy %s, and the packet filter sees that", p.proxy))
				return
			}
		}
	}
	if e := r.blocks[p.prefix]; e != nil {
		if e.alerts > 0 && r.mode.Mode == config.Enforce && len(r.filters) > 0 && r.hitsOf([]netip.Prefix{p.prefix})[0] == 0 {
			p.notes = append(p.notes, "the block has no effect: alerts go on and the packet filter has seen none of its packets")
		}
		left, how := r.clock.Remaining(e.Stamp), e.compare(p.deed)
		switch {
		case left <= 0 || how < 0:
		case how > 0:
			p.notes = append(p.notes, "it is "+e.verdict()+" already")
		case left > p.ttl: // an operator's longer block is not cut short
			p.notes = append(p.notes, "it is "+e.verdict()+" for longer already")
		default:
			p.notes = append(p.notes, "it was "+e.verdict()+" already, and stays so for longer")
		}
	}
}
