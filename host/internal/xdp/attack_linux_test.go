//go:build amd64 || arm64

package xdp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/host/nettest"
	"github.com/ironpost/ironpost/sdk/event"
)

// battlefield is a pair of namespaces with a running filter on the victim's end.
type battlefield struct {
	*nettest.Pair
	filter *Filter

	mu     sync.Mutex
	events []event.PacketEvent
}

func newBattlefield(t *testing.T, config Config) *battlefield {
	t.Helper()
	b := &battlefield{Pair: nettest.NewPair(t)}
	config.Interface = b.Victim.Interface
	err := b.Victim.Do(func() (err error) {
		b.filter, err = Open(config)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- b.filter.Run(ctx, func(batch []event.PacketEvent) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, e := range batch {
				b.events = append(b.events, *e.Clone())
			}
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := b.filter.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// sum adds up the events that match, over all intervals so far.
func (b *battlefield) sum(match func(event.PacketEvent) bool) (total event.PacketEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if !match(e) {
			continue
		}
		total.Packets += e.Packets
		total.SYN += e.SYN
		total.Dropped += e.Dropped
		total.WouldDrop += e.WouldDrop
		total.Ports += e.Ports
		total.Peers = max(total.Peers, e.Peers)
	}
	return total
}

func fromSource(addr netip.Addr) func(event.PacketEvent) bool {
	return func(e event.PacketEvent) bool { return e.Scope == event.ScopeSource && e.Source == addr }
}

func toDestination(addr netip.Addr, port uint16) func(event.PacketEvent) bool {
	return func(e event.PacketEvent) bool {
		return e.Scope == event.ScopeDestination && e.Destination == addr && e.DestinationPort == port
	}
}

func TestNmapScan(t *testing.T) {
	nettest.Need(t, "nmap", "nsenter")
	b := newBattlefield(t, Config{})
	for _, family := range []struct {
		name     string
		from, to netip.Addr
		flags    []string
	}{
		{"ip4", b.Attacker.IP4, b.Victim.IP4, nil},
		{"ip6", b.Attacker.IP6, b.Victim.IP6, []string{"-6"}},
	} {
		t.Run(family.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			args := append([]string{"-sS", "-n", "-Pn", "-p1-1000", "--max-retries", "2"}, family.flags...)
			out, err := b.Attacker.Command(ctx, "nmap", append(args, family.to.String())...).CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte("1 host up")) {
				t.Fatalf("nmap: %v\n%s", err, out)
			}
			poll(t, "the scan to be reported", func() bool { return b.sum(fromSource(family.from)).SYN >= 900 })
			got := b.sum(fromSource(family.from))
			if got.Ports < 500 {
				t.Errorf("got an estimate of %d ports, want most of 1000", got.Ports)
			}
			t.Logf("scan seen: %d SYN, about %d ports", got.SYN, got.Ports)
		})
	}
}

// hping runs hping3 for a bounded time.
func hping(t *testing.T, b *battlefield, d time.Duration, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	out, err := b.Attacker.Command(ctx, "hping3", args...).CombinedOutput()
	if ctx.Err() == nil {
		t.Fatalf("hping3 ended early: %v\n%s", err, out)
	}
}

func TestHpingFlood(t *testing.T) {
	nettest.Need(t, "hping3", "nsenter")
	b := newBattlefield(t, Config{})
	target := toDestination(b.Victim.IP4, 80)

	hping(t, b, 2*time.Second, "-q", "-n", "-S", "--flood", "-p", "80", b.Victim.IP4.String())
	poll(t, "the flood to be reported", func() bool { return b.sum(target).SYN > 1000 })
	source, destination := b.sum(fromSource(b.Attacker.IP4)), b.sum(target)
	if source.SYN < destination.SYN*99/100 || destination.Peers != 1 {
		t.Errorf("got %d SYN by source, %d by destination from about %d peers", source.SYN, destination.SYN, destination.Peers)
	}
	t.Logf("flood seen: %d SYN", destination.SYN)

	before := destination.SYN
	hping(t, b, 2*time.Second, "-q", "-n", "-S", "--flood", "--rand-source", "-p", "80", b.Victim.IP4.String())
	poll(t, "the flood of forged sources to be reported", func() bool { return b.sum(target).SYN > before+1000 })
	if got := b.sum(target); got.Peers < 500 {
		t.Errorf("got an estimate of %d peers of a forged flood, want at least 500", got.Peers)
	}
	stats, err := b.filter.Stats()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("forged flood seen: %d SYN from about %d peers in one interval; lost by source: %+v",
		b.sum(target).SYN-before, b.sum(target).Peers, stats.Sources)
}

func TestFlood6(t *testing.T) {
	b := newBattlefield(t, Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	sent, err := b.Attacker.Send(ctx, nettest.Flood{To: b.Victim, Port: 443, Six: true, Packets: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	// The veth pair may have lost some; the filter has lost none of what came.
	target := toDestination(b.Victim.IP6, 443)
	stats, err := b.filter.Stats()
	check(t, err)
	came := stats.Protocols["tcp"].Packets
	poll(t, "the flood to be reported", func() bool { return b.sum(target).SYN >= came })
	if got := b.sum(target); got.Peers < 500 || got.SYN != came || came < uint64(sent)/2 {
		t.Errorf("got %d SYN from about %d peers, %d came, sent %d from as many", got.SYN, got.Peers, came, sent)
	}
	t.Logf("sent %d, came %d, reported %d", sent, came, b.sum(target).SYN)
}

// TestBlockedSource connects through the filter: enforce drops, simulate and the
// allow list do not.
func TestBlockedSource(t *testing.T) {
	for _, mode := range []Mode{ModeNative, ModeGeneric} {
		t.Run(string(mode), func(t *testing.T) {
			b := newBattlefield(t, Config{Mode: mode, Simulate: true})
			if got := b.filter.AttachMode(); got != mode {
				t.Fatalf("got mode %s, want %s", got, mode)
			}
			for _, family := range []struct {
				name     string
				from, to netip.Addr
				reason   string
			}{
				{"ip4", b.Attacker.IP4, b.Victim.IP4, "block_host4"},
				{"ip6", b.Attacker.IP6, b.Victim.IP6, "block_host6"},
			} {
				t.Run(family.name, func(t *testing.T) {
					prefix := netip.PrefixFrom(family.from, family.from.BitLen())
					check(t, b.filter.SetSimulate(true))
					if !answers(t, b, family.to) {
						t.Fatal("no answer before the block")
					}
					check(t, b.filter.Block(prefix, time.Minute, 7))
					if !answers(t, b, family.to) {
						t.Error("no answer in simulate mode")
					}
					poll(t, "a would-be drop to be reported", func() bool { return b.sum(fromSource(family.from)).WouldDrop > 0 })
					check(t, b.filter.SetSimulate(false))
					if answers(t, b, family.to) {
						t.Error("an answer to a blocked source")
					}
					poll(t, "a drop to be reported", func() bool { return b.sum(fromSource(family.from)).Dropped > 0 })
					stats, err := b.filter.Stats()
					check(t, err)
					if stats.Drops[family.reason].Packets == 0 || stats.WouldDrops[family.reason].Packets == 0 {
						t.Errorf("got drops %v, would-be drops %v", stats.Drops, stats.WouldDrops)
					}
					check(t, b.filter.SetAllow(netip.PrefixFrom(family.from, 8)))
					if !answers(t, b, family.to) {
						t.Error("no answer to an allowed source")
					}
					check(t, b.filter.RemoveAllow(netip.PrefixFrom(family.from, 8)))
					check(t, b.filter.Unblock(prefix))
					if !answers(t, b, family.to) {
						t.Error("no answer after the block")
					}
				})
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// answers tells whether the victim answers an attempt to connect; it refuses,
// for nothing listens.
func answers(t *testing.T, b *battlefield, to netip.Addr) bool {
	t.Helper()
	var err error
	if failed := b.Attacker.Do(func() error {
		var c net.Conn
		dialer := net.Dialer{Timeout: 500 * time.Millisecond}
		if c, err = dialer.DialContext(t.Context(), "tcp", netip.AddrPortFrom(to, 9).String()); err == nil {
			c.Close()
		}
		return nil
	}); failed != nil {
		t.Fatal(failed)
	}
	var timeout net.Error
	if err != nil && !errors.Is(err, unix.ECONNREFUSED) && !(errors.As(err, &timeout) && timeout.Timeout()) {
		t.Fatal(err)
	}
	return errors.Is(err, unix.ECONNREFUSED)
}

func TestOpenErrors(t *testing.T) {
	pair := nettest.NewPair(t)
	open := func(config Config) (f *Filter, err error) {
		err = pair.Victim.Do(func() error { f, err = Open(config); return err })
		return f, err
	}
	if _, err := open(Config{Interface: "nosuch0"}); !errors.Is(err, ErrNoInterface) || !bytes.Contains([]byte(err.Error()), []byte(pair.Victim.Interface)) {
		t.Errorf("got error %v, want %v that names %s", err, ErrNoInterface, pair.Victim.Interface)
	}
	if _, err := open(Config{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("got error %v, want %v", err, ErrInvalid)
	}
	first, err := open(Config{Interface: pair.Victim.Interface})
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []Mode{ModeAuto, ModeNative, ModeGeneric} {
		_, err = open(Config{Interface: pair.Victim.Interface, Mode: mode})
		var busy *BusyError
		if !errors.As(err, &busy) || !errors.Is(err, ErrBusy) || busy.ProgramName != "ironpost_xdp" || busy.ProgramID == 0 {
			t.Errorf("%s: got error %v, want one that names ironpost_xdp", mode, err)
		}
	}
	// Another interface at the same time; lo has no native mode.
	var logged bytes.Buffer
	second, err := open(Config{Interface: "lo", Logger: hclog.New(&hclog.LoggerOptions{Output: &logged})})
	if err != nil {
		t.Fatal(err)
	}
	if second.AttachMode() != ModeGeneric || !bytes.Contains(logged.Bytes(), []byte("generic")) {
		t.Errorf("got mode %s on lo, logged %q", second.AttachMode(), logged.String())
	}
	if _, err := open(Config{Interface: "lo", Mode: ModeNative}); err == nil {
		t.Error("native mode on lo gives no error")
	}
	for _, f := range []*Filter{first, second} {
		check(t, f.Close())
	}
	// Close detached it.
	again, err := open(Config{Interface: pair.Victim.Interface})
	if err != nil {
		t.Fatal(fmt.Errorf("after Close: %w", err))
	}
	check(t, again.Close())
}
