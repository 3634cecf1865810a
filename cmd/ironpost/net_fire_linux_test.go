package main_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/nettest"
)

// life is a host whose filter is pinned, and senders.
type life struct {
	*hosttest.Host
	*nettest.Pair
	t    *testing.T
	pins string

	blocked, blocked6, blockedNet, pardoned, innocent, innocent6 netip.Addr
}

// newLife starts a host that pins its filter below a directory, in a bpffs if
// none is named.
func newLife(t *testing.T, pins ...string) *life {
	t.Helper()
	pair := nettest.NewPair(t)
	if pins == nil {
		pins = []string{nettest.PinDir(t)}
	}
	l := &life{Pair: pair, t: t, pins: pins[0]}
	for addr, text := range map[*netip.Addr]string{
		&l.blocked: "10.77.0.7", &l.blocked6: "fd77::7", &l.blockedNet: "10.77.9.1", &l.pardoned: "10.77.9.2",
		&l.innocent: "10.77.0.3", &l.innocent6: "fd77::3",
	} {
		*addr = assign(t, pair.Attacker, netip.MustParseAddr(text))
	}
	// Who asks for the victim's MAC may be a blocked address of the same machine,
	// and its neighbours wait for the answer.
	for _, ip := range []netip.Addr{pair.Victim.IP4, pair.Victim.IP6} {
		run(t, pair.Attacker, 10*time.Second, "ip", "neigh", "replace", ip.String(), "lladdr", pair.Victim.MAC.String(),
			"dev", pair.Attacker.Interface, "nud", "permanent")
	}
	l.Host = l.host(fmt.Sprintf("%q", pair.Victim.Interface))
	return l
}

// host starts a host, with a data directory of its own, that names interfaces and
// pins where l does.
func (l *life) host(interfaces string) *hosttest.Host {
	l.t.Helper()
	return hosttest.Start(l.t, hosttest.Options{
		Plugins: []string{},
		Config:  fmt.Sprintf("[ebpf]\ninterface = [%s]\nmax_entries = 2048\npin_dir = %q\n", interfaces, l.pins),
		Env:     []string{"IRONPOST_EBPF_PIN_DIR=" + l.pins},
		Command: func(name string, args ...string) *exec.Cmd {
			return l.Victim.Command(context.Background(), name, args...)
		},
	})
}

// CLIOrFail runs the command line.
func (l *life) CLIOrFail(args ...string) {
	l.t.Helper()
	if _, err := l.CLI(args...); err != nil {
		l.t.Fatal(err)
	}
}

// offline runs a verb that needs no host, in the namespace of the filter.
func (l *life) offline(v any, args ...string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer cancel()
	args = append([]string{"--config", l.ConfigFile(), "--socket", l.Socket, "-o", "json"}, args...)
	out, err := l.Victim.Command(ctx, hosttest.Build()+"/ironpost", args...).Output()
	if err != nil {
		l.t.Fatalf("ironpost %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	decode(l.t, out, v)
}

// set changes the configuration file of a host that does not run.
func (l *life) set(from, to string) {
	l.t.Helper()
	b, err := os.ReadFile(l.ConfigFile())
	if err != nil || !strings.Contains(string(b), from) {
		l.t.Fatalf("got configuration %q, %v, want %q in it", b, err, from)
	}
	l.WriteConfig(strings.Replace(string(b), from, to, 1))
}

// under has every source send while something happens, and counts what arrives.
func (l *life) under(what string, happen func()) {
	l.t.Helper()
	flows := []*flow{
		{from: l.blocked, blocked: true},
		{from: l.blocked6, blocked: true},
		{from: l.blockedNet, blocked: true},
		{from: l.innocent},
		{from: l.innocent6},
		{from: l.pardoned},
	}
	f := l.fire(flows)
	happen()
	f.finish(probes)
	for _, flow := range flows {
		kind, wrong := "innocent, lost", flow.sent-flow.got
		if flow.blocked {
			kind, wrong = "blocked, leaked", flow.got
		}
		l.t.Logf("%s: %v sent %d, %s %d", what, flow.from, flow.sent, kind, wrong)
		if wrong != 0 {
			l.t.Errorf("%s: of %d packets of %v: %s %d, want 0", what, flow.sent, flow.from, kind, wrong)
		}
	}
}

// burst sends packets from the blocked address and returns how many arrive.
func (l *life) burst(n int) int {
	l.t.Helper()
	f := &flow{from: l.blocked}
	l.fire([]*flow{f}).finish(n)
	if f.sent < n {
		l.t.Fatalf("got %d packets sent, want %d", f.sent, n)
	}
	return f.got * n / f.sent
}

// filterStatus is what the tests read of ebpf status.
type filterStatus struct {
	HostRunning bool          `json:"host_running"`
	Kernel      string        `json:"kernel"`
	Filters     []filterState `json:"filters"`
}

type filterState struct {
	Interface string      `json:"interface"`
	State     string      `json:"state"`
	Mode      string      `json:"mode"`
	Simulate  bool        `json:"simulate"`
	ProgramID int         `json:"program_id"`
	Tag       string      `json:"program_tag"`
	Pins      string      `json:"pins"`
	Unpinned  string      `json:"unpinned"`
	Error     string      `json:"error"`
	Dropped   int         `json:"dropped"`
	Maps      []filterMap `json:"maps"`

	maps map[string]filterMap
}

type filterMap struct {
	Name       string `json:"name"`
	Entries    int    `json:"entries"`
	MaxEntries int    `json:"max_entries"`
}

func (f filterState) inUse(name string) int { return f.maps[name].Entries }

// only returns the one filter there is.
func (s filterStatus) only(t *testing.T) filterState {
	t.Helper()
	if len(s.Filters) != 1 {
		t.Fatalf("got filters %+v, want one", s.Filters)
	}
	f := s.Filters[0]
	f.maps = make(map[string]filterMap)
	for _, m := range f.Maps {
		f.maps[m.Name] = m
	}
	return f
}

func decode(t *testing.T, b []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%v in %q", err, b)
	}
}

// flow is what one source sends.
type flow struct {
	from      netip.Addr
	blocked   bool
	sent, got int
}

// fire is traffic under way.
type fire struct {
	t         *testing.T
	flows     []*flow
	least     chan int
	sent      chan struct{}
	receivers []*net.UDPConn
	reading   sync.WaitGroup
}

// fire sends a packet of every flow each millisecond, until finish.
func (l *life) fire(flows []*flow) *fire {
	l.t.Helper()
	f := &fire{t: l.t, flows: flows, least: make(chan int, 1), sent: make(chan struct{})}
	var mu sync.Mutex
	to := map[bool]netip.AddrPort{}
	for _, ip := range []netip.Addr{l.Victim.IP4, l.Victim.IP6} {
		c := l.socket(l.Victim, netip.AddrPortFrom(ip, 0))
		if err := c.SetReadBuffer(4 << 20); err != nil {
			l.t.Fatal(err)
		}
		to[ip.Is4()] = c.LocalAddr().(*net.UDPAddr).AddrPort()
		f.receivers = append(f.receivers, c)
		f.reading.Go(func() {
			var b [8]byte
			for {
				n, err := c.Read(b[:])
				if err != nil {
					return
				}
				if n == len(b) {
					mu.Lock()
					flows[binary.LittleEndian.Uint64(b[:])].got++
					mu.Unlock()
				}
			}
		})
	}
	var senders []*net.UDPConn
	for _, flow := range flows {
		senders = append(senders, l.socket(l.Attacker, netip.AddrPortFrom(flow.from, 0)))
	}
	go func() {
		defer close(f.sent)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for least, n := -1, 0; least < 0 || n < least; n++ {
			<-tick.C
			select {
			case least = <-f.least:
			default:
			}
			for i, flow := range flows {
				b := binary.LittleEndian.AppendUint64(nil, uint64(i))
				if _, err := senders[i].WriteToUDPAddrPort(b, to[flow.from.Is4()]); err == nil {
					flow.sent++
				}
			}
		}
		for _, s := range senders {
			_ = s.Close()
		}
	}()
	return f
}

// finish sends until every flow has at least so many packets out, and waits for
// the last to arrive.
func (f *fire) finish(least int) {
	f.least <- least
	<-f.sent
	for _, c := range f.receivers {
		// On a veth pair a packet has arrived when its sending returns, or within
		// the softirq that follows.
		if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			f.t.Error(err)
		}
	}
	f.reading.Wait()
	for _, c := range f.receivers {
		_ = c.Close()
	}
}

func (l *life) socket(n *nettest.Namespace, at netip.AddrPort) (c *net.UDPConn) {
	l.t.Helper()
	if err := n.Do(func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	}); err != nil {
		l.t.Fatal(err)
	}
	return c
}
