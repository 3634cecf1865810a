package nettest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace with one end of the veth pair.
type Namespace struct {
	// Interface is the name of this end of the pair.
	Interface string
	// MAC, IP4 and IP6 are its addresses.
	MAC      net.HardwareAddr
	IP4, IP6 netip.Addr

	handle netns.NsHandle
}

// Pair is two namespaces joined by a veth pair. Both ends are up, with their
// loopback interfaces.
type Pair struct {
	Attacker, Victim *Namespace
}

// NewPair makes a pair that lasts until the test ends. The addresses are
// 10.77.0.1/16 and fd77::1/64 for the attacker, .2 and ::2 for the victim; they
// are the same in every pair. It skips the test without root.
func NewPair(t testing.TB) *Pair {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	p := &Pair{
		Attacker: &Namespace{
			Interface: "attack0", MAC: net.HardwareAddr{2, 0x77, 0, 0, 0, 1},
			IP4: netip.MustParseAddr("10.77.0.1"), IP6: netip.MustParseAddr("fd77::1"), handle: netns.None(),
		},
		Victim: &Namespace{
			Interface: "victim0", MAC: net.HardwareAddr{2, 0x77, 0, 0, 0, 2},
			IP4: netip.MustParseAddr("10.77.0.2"), IP6: netip.MustParseAddr("fd77::2"), handle: netns.None(),
		},
	}
	t.Cleanup(p.close)
	if err := p.open(); err != nil {
		if errors.Is(err, unix.EPERM) {
			t.Skipf("network namespaces are not permitted here: %v", err)
		}
		t.Fatalf("make a network namespace: %v", err)
	}
	return p
}

func (p *Pair) open() error {
	for _, n := range []*Namespace{p.Attacker, p.Victim} {
		if err := n.create(); err != nil {
			return err
		}
	}
	err := p.Attacker.Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.HardwareAddr, attrs.MTU = p.Attacker.Interface, p.Attacker.MAC, 1500
		if err := netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: attrs, PeerName: p.Victim.Interface, PeerHardwareAddr: p.Victim.MAC,
			PeerNamespace: netlink.NsFd(p.Victim.handle),
		}); err != nil {
			return fmt.Errorf("add veth pair: %w", err)
		}
		return p.Attacker.up()
	})
	if err != nil {
		return err
	}
	if err := p.Victim.Do(p.Victim.up); err != nil {
		return err
	}
	// An IPv6 address that is added before the carrier is there stays unusable
	// for up to a second, a random time.
	for _, n := range []*Namespace{p.Attacker, p.Victim} {
		if err := n.Do(n.address); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pair) close() {
	for _, n := range []*Namespace{p.Attacker, p.Victim} {
		if n.handle.IsOpen() {
			_ = n.handle.Close() // it goes with the test in any case
		}
	}
}

// create makes the namespace. The thread that made it ends with it.
func (n *Namespace) create() error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the runtime ends the thread with the goroutine.
		runtime.LockOSThread()
		h, err := netns.New()
		n.handle = h
		done <- err
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("unshare network: %w", err)
	}
	return nil
}

// up sets the end of the pair up; the calling thread is in the namespace.
func (n *Namespace) up() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	l, err := netlink.LinkByName(n.Interface)
	if err != nil {
		return fmt.Errorf("find %s: %w", n.Interface, err)
	}
	// Without router solicitations and duplicate detection an idle pair is silent.
	for _, setting := range []string{"accept_dad", "accept_ra", "router_solicitations"} {
		// Opening a sysctl of the network looks at the thread's own namespace.
		path := "/proc/sys/net/ipv6/conf/" + n.Interface + "/" + setting
		if err := os.WriteFile(path, []byte("0"), 0); err != nil {
			return fmt.Errorf("set %s: %w", setting, err)
		}
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("set %s up: %w", n.Interface, err)
	}
	return nil
}

// address gives the end of the pair its addresses; the calling thread is in the
// namespace.
func (n *Namespace) address() error {
	l, err := netlink.LinkByName(n.Interface)
	if err != nil {
		return fmt.Errorf("find %s: %w", n.Interface, err)
	}
	for _, a := range []struct {
		ip   netip.Addr
		bits int
	}{{n.IP4, 16}, {n.IP6, 64}} {
		err := netlink.AddrAdd(l, &netlink.Addr{
			IPNet: &net.IPNet{IP: a.ip.AsSlice(), Mask: net.CIDRMask(a.bits, a.ip.BitLen())},
			Flags: unix.IFA_F_NODAD,
		})
		if err != nil {
			return fmt.Errorf("add address %v: %w", a.ip, err)
		}
	}
	return nil
}

// Path names the namespace for nsenter --net=PATH, while the test runs.
func (n *Namespace) Path() string {
	return "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(n.handle))
}

// Do calls fn on a thread that is in the namespace. Sockets that fn opens stay
// in it; goroutines that fn starts do not run in it.
func (n *Namespace) Do(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked, as in create: no thread returns to others changed.
		runtime.LockOSThread()
		if err := netns.Set(n.handle); err != nil {
			done <- fmt.Errorf("enter network namespace: %w", err)
			return
		}
		done <- fn()
	}()
	return <-done
}

// Command returns a command that will run in the namespace. It is killed when
// ctx is done.
func (n *Namespace) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + n.Path(), "--", name}, args...)...)
}

// Need skips the test, saying so, when a tool is not installed.
func Need(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: %v", tool, err)
		}
	}
}
