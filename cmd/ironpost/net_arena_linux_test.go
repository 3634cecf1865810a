package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/nettest"
)

// arena is a host that watches the victim's end of a veth pair, and everything
// that attacks it from the other end.
type arena struct {
	*hosttest.Host
	*nettest.Pair
	t *testing.T
}

// newArena starts a host in the victim's namespace with its interface watched.
// The pair lasts longer than the host.
func newArena(t *testing.T, pair *nettest.Pair, o hosttest.Options) *arena {
	t.Helper()
	o.Command = func(name string, args ...string) *exec.Cmd {
		// Not the test's context: the harness ends the host after it.
		return pair.Victim.Command(context.Background(), name, args...)
	}
	o.Config += fmt.Sprintf("\n[ebpf]\ninterface = [%q]\n", pair.Victim.Interface)
	return &arena{Host: hosttest.Start(t, o), Pair: pair, t: t}
}

// run runs a tool in a namespace for at most a time; a tool that floods has no
// other end.
func run(t *testing.T, n *nettest.Namespace, most time.Duration, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	out, err := n.Command(ctx, name, args...).CombinedOutput()
	if floods := slices.Contains(args, "--flood"); floods != (ctx.Err() != nil) || !floods && err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// flood runs hping3 for two seconds.
func (a *arena) flood(args ...string) {
	a.t.Helper()
	run(a.t, a.Attacker, 2*time.Second, "hping3", append([]string{"-q", "-n", "-S", "--flood"}, args...)...)
}

// assign gives an end of the pair one more address.
func assign(t *testing.T, n *nettest.Namespace, addr netip.Addr) netip.Addr {
	t.Helper()
	args := []string{"addr", "add", fmt.Sprintf("%v/%d", addr, map[bool]int{true: 16, false: 64}[addr.Is4()]), "dev", n.Interface}
	if addr.Is6() {
		args = append(args, "nodad")
	}
	run(t, n, 10*time.Second, "ip", args...)
	return addr
}

// reaches reports whether the victim answers the attacker's end within a time:
// nothing listens on the port, so that the answer is a refusal.
func (a *arena) reaches(from netip.Addr, most time.Duration) bool {
	a.t.Helper()
	to := a.Victim.IP4
	if from.Is6() {
		to = a.Victim.IP6
	}
	var err error
	if failed := a.Attacker.Do(func() error {
		dialer := net.Dialer{Timeout: most, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
		var c net.Conn
		if c, err = dialer.DialContext(a.t.Context(), "tcp", netip.AddrPortFrom(to, 9).String()); err == nil {
			c.Close()
		}
		return nil
	}); failed != nil {
		a.t.Fatal(failed)
	}
	var timeout net.Error
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return true
	case errors.As(err, &timeout) && timeout.Timeout():
		return false
	}
	a.t.Fatalf("connect from %v: %v", from, err)
	return false
}

const (
	// patience is how long an answer may take that has to come. A SYN that is
	// lost is sent again after a second.
	patience = 5 * time.Second
	// silence is how long no answer has to come to count as none.
	silence = 700 * time.Millisecond
)

// alert is what the tests read of alerts list.
type alert struct {
	ID         string            `json:"id"`
	RuleID     string            `json:"rule_id"`
	Severity   string            `json:"severity"`
	Detector   string            `json:"detector"`
	Entities   map[string]string `json:"entities"`
	Evidence   string            `json:"evidence"`
	Provenance string            `json:"provenance"`
	Count      int               `json:"count"`
	Details    map[string]string `json:"details"`
}

// alerts returns the alerts that the store has.
func (a *arena) alerts() []alert {
	var list []alert
	if a.Try(&list, "alerts", "list", "-n", "1000") != nil {
		return nil // the store is not there yet
	}
	return list
}

// alertOf waits for an alert of a rule about an entity.
func (a *arena) alertOf(rule, entity, value string) alert {
	a.t.Helper()
	var found alert
	a.Wait(20*time.Second, fmt.Sprintf("alert %s about %s %s", rule, entity, value), func() bool {
		list := a.alerts()
		i := slices.IndexFunc(list, func(x alert) bool { return x.RuleID == rule && x.Entities[entity] == value })
		if i >= 0 {
			found = list[i]
		}
		return i >= 0
	})
	return found
}

// action is what the tests read of actions list.
type action struct {
	ID       string            `json:"id"`
	AlertID  string            `json:"alert_id"`
	Enforcer string            `json:"enforcer"`
	Action   string            `json:"action"`
	Target   string            `json:"target"`
	Outcome  string            `json:"outcome"`
	Mode     string            `json:"mode"`
	Reason   string            `json:"reason"`
	Expires  string            `json:"expires"`
	Details  map[string]string `json:"details"`
}

// actions returns the actions that the store has.
func (a *arena) actions() []action {
	var list []action
	if a.Try(&list, "actions", "list", "-n", "1000") != nil {
		return nil
	}
	return list
}

// actionOn waits for an action on a target with an outcome.
func (a *arena) actionOn(target netip.Addr, outcome string) action {
	a.t.Helper()
	var found action
	a.Wait(20*time.Second, fmt.Sprintf("action on %v: %s", target, outcome), func() bool {
		list := a.actions()
		i := slices.IndexFunc(list, func(x action) bool { return x.Target == target.String() && x.Outcome == outcome })
		if i >= 0 {
			found = list[i]
		}
		return i >= 0
	})
	return found
}

// block is what the tests read of block list.
type block struct {
	Prefix  string    `json:"prefix"`
	Source  string    `json:"source"`
	Reason  string    `json:"reason"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	AlertID string    `json:"alert_id"`
	Effect  string    `json:"effect"`
	Hits    uint64    `json:"hits"`
	Action  string    `json:"action"`
}

func (a *arena) blocks() []block {
	a.t.Helper()
	var list []block
	a.JSON(&list, "block", "list")
	return list
}

// blocked returns the block of one address, false when there is none.
func (a *arena) blocked(addr netip.Addr) (block, bool) {
	a.t.Helper()
	list := a.blocks()
	i := slices.IndexFunc(list, func(b block) bool { return b.Prefix == netip.PrefixFrom(addr, addr.BitLen()).String() })
	if i < 0 {
		return block{}, false
	}
	return list[i], true
}

// watchedInterface is what the tests read of an interface in status.
type watchedInterface struct {
	Name      string `json:"name"`
	Mode      string `json:"mode"`
	Packets   uint64 `json:"packets"`
	Dropped   uint64 `json:"dropped"`
	WouldDrop uint64 `json:"would_drop"`
	Error     string `json:"error"`
}

// interfaces returns what status says of the interfaces.
func interfaces(h *hosttest.Host) []watchedInterface {
	var s struct {
		Interfaces []watchedInterface `json:"interfaces"`
	}
	h.JSON(&s, "status")
	return s.Interfaces
}

// watched returns what status says of the victim's interface.
func (a *arena) watched() watchedInterface {
	a.t.Helper()
	for _, i := range interfaces(a.Host) {
		if i.Name == a.Victim.Interface {
			return i
		}
	}
	a.t.Fatalf("status does not show %s", a.Victim.Interface)
	return watchedInterface{}
}

// dropped returns how many packets the victim's interface has dropped.
func (a *arena) dropped() uint64 {
	a.t.Helper()
	return a.watched().Dropped
}

// linkLine returns what ip says of an interface.
func linkLine(t *testing.T, n *nettest.Namespace, name string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out, err := n.Command(ctx, "ip", "link", "show", "dev", name).CombinedOutput()
	if err != nil {
		t.Fatalf("ip link show %s: %v\n%s", name, err, out)
	}
	return string(bytes.TrimSpace(out))
}
