//go:build bench && (amd64 || arm64)

package xdp

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/host/benchtest"
)

// A round is one test run of the kernel. It stands for one summary interval: the
// halves of the slot tables are swapped before each, so that the filter has as
// many slots to take anew as at five million packets a second; at the rates that are
// measured here, which are higher, it has fewer for each packet.
const (
	roundPackets = 1_000_000
	rounds       = 9
)

// TestBenchXDP measures what one TCP SYN costs in the kernel, in its test runs, for
//
//	bare        a program that passes everything
//	verdict     this filter without detection: headers, lists, counters
//	everything  this filter as it runs by default, slots of sources and destinations too
//	xdp-filter  that of xdp-tools, with all its features; see peer
//
// Every packet comes from another source than the one before, by a driver program
// that writes the address and then goes on with the program under test, unless
// there is one source alone. What the driver costs is measured in the same rounds,
// as the difference that it makes to the bare program, and taken off; raw figures
// have it in them. Neither has the loop of the test run taken off, which is all that
// the bare program costs. The contestants take turns, round by round, on one
// processor, after one round each that is not counted; figures are means of the
// middle half of the rounds.
//
// All get the same packets and the same lists, of random addresses of both
// families: no prefixes, which xdp-filter does not have, and nothing that expires.
// The tables of both are made for the length of the list, or for xdp-filter's
// default. A miss comes from an address drawn from all there are, as those of
// forging attackers are, a hit from one of the list, in random order over all of it,
// so that every entry is touched. A near miss shares the /24 with an entry.
//
// It does not show what a driver of a network card adds, whose packet is not in the
// cache: a cost that all programs share. Nor what happens when other software
// takes the caches between packets.
func TestBenchXDP(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("loading programs needs root")
	}
	b := &packetBench{t: t, report: &benchtest.Report{Name: "xdp", Wide: true}, pass: passing(t)}
	for _, size := range []int{0, 10_000, 100_000, 1_000_000} {
		t.Run(count(size), func(t *testing.T) {
			pin(t)
			b.entries(t, size)
		})
	}
	b.report.Write(t)
}

// pin keeps the test on one processor.
func pin(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatalf("read the processors: %v", err)
	}
	for cpu := range runtime.NumCPU() {
		if before.IsSet(cpu) {
			one.Zero()
			one.Set(cpu) // the last: the first has most of the interrupts
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatalf("stay on a processor: %v", err)
	}
	t.Cleanup(func() { _ = unix.SchedSetaffinity(0, &before) })
}

// count writes 10000 as 10k.
func count(n int) string {
	switch {
	case n >= 1_000_000:
		return fmt.Sprintf("%dM", n/1_000_000)
	case n >= 1000:
		return fmt.Sprintf("%dk", n/1000)
	}
	return fmt.Sprint(n)
}

// sourcesOf says how many sources there are.
func sourcesOf(n int) string {
	if n == 1 {
		return "1 source"
	}
	return count(n) + " sources"
}

// packetBench measures cases and reports them.
type packetBench struct {
	t      *testing.T
	report *benchtest.Report
	pass   *ebpf.Program
}

// contestant is a program under test. begin is called before each of its rounds.
type contestant struct {
	name    string
	program *ebpf.Program
	begin   func()
}

// entries measures every case with lists of a size.
func (b *packetBench) entries(t *testing.T, size int) {
	random := rand.New(rand.NewPCG(1, uint64(size)))
	list4, list6 := addresses(random, size, false), addresses(random, size, true)
	both := slices.Concat(list4, list6)

	config := Config{MaxEntries: max(peerDefault, size)}
	everything := newFilter(t, config)
	config.NoDetection = true
	verdict := newFilter(t, config)
	entries := make([]Entry, len(both))
	for i, a := range both {
		entries[i].Prefix = netip.PrefixFrom(a, a.BitLen())
	}
	for _, f := range []*Filter{everything, verdict} {
		if err := f.Replace(entries); err != nil {
			t.Fatal(err)
		}
	}
	field := []contestant{
		{name: "bare", program: b.pass},
		{name: "verdict", program: verdict.program},
		{name: "everything", program: everything.program, begin: func() { everything.memory.settings[0].Epoch++ }},
		{name: "xdp-filter", program: newPeer(t, both).program(t)},
	}
	for _, n := range []int{1, 1000, 50_000} {
		b.measure(t, "miss", size, sourcesOf(n), tableFrom(t, addresses(random, n, false)), field)
	}
	b.measure(t, "miss", size, "spoofed", sources{}, field)
	b.measure(t, "miss", size, "spoofed IPv6", sources{six: true}, field)
	if size == 0 {
		return
	}
	b.measure(t, "near miss", size, "spoofed", tableFrom(t, neighbours(list4)), field)
	b.measure(t, "hit", size, "1 source", tableFrom(t, list4[:1]), field)
	random.Shuffle(size, func(i, j int) { list4[i], list4[j] = list4[j], list4[i] })
	random.Shuffle(size, func(i, j int) { list6[i], list6[j] = list6[j], list6[i] })
	b.measure(t, "hit", size, "the whole list", tableFrom(t, list4), field)
	b.measure(t, "hit", size, "the whole list, IPv6", tableFrom(t, list6), field)
}

// addresses returns n different random addresses: of 2001::/16 for IPv6.
func addresses(random *rand.Rand, n int, six bool) []netip.Addr {
	seen := make(map[netip.Addr]bool, n)
	list := make([]netip.Addr, 0, n)
	for len(list) < n {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], 0x2001<<48|random.Uint64()>>16)
		binary.BigEndian.PutUint64(b[8:], random.Uint64())
		a := netip.AddrFrom16(b)
		if !six {
			a = netip.AddrFrom4([4]byte(b[8:]))
		}
		if !seen[a] {
			seen[a] = true
			list = append(list, a)
		}
	}
	return list
}

// neighbours returns an address for each that is not on the list and differs in
// the last byte alone.
func neighbours(list []netip.Addr) []netip.Addr {
	listed := make(map[netip.Addr]bool, len(list))
	for _, a := range list {
		listed[a] = true
	}
	out := make([]netip.Addr, 0, len(list))
	for _, a := range list {
		b := a.As4()
		for step := byte(1); step != 0; step++ {
			b[3]++
			if near := netip.AddrFrom4(b); !listed[near] {
				out = append(out, near)
				break
			}
		}
	}
	return out
}

// measure adds one line to the report.
func (b *packetBench) measure(t *testing.T, kind string, size int, who string, s sources, field []contestant) {
	t.Helper()
	packet := packetOf(s)
	raw := make(map[string]float64)
	turns := make([][]float64, len(field)+1)
	drivers := make([]*ebpf.Program, len(field)+1)
	for i, c := range field {
		drivers[i] = newDriver(t, s, c.program)
	}
	drivers[len(field)] = b.pass // alone
	for round := -1; round < rounds; round++ {
		for i := range drivers {
			i = (i + round + 1) % len(drivers)
			if i < len(field) && field[i].begin != nil {
				field[i].begin()
			}
			code, each := runRound(t, drivers[i], packet)
			want := uint32(xdpPass)
			if kind == "hit" && i > 0 && i < len(field) {
				want = xdpDrop
			}
			if code != want {
				t.Fatalf("%s of %d entries, %s: got code %d from %s, want %d", kind, size, who, code, field[i].name, want)
			}
			if round >= 0 {
				turns[i] = append(turns[i], each)
			}
		}
	}
	for i, c := range field {
		raw[c.name] = benchtest.MidMean(turns[i])
	}
	alone := benchtest.MidMean(turns[len(field)])
	driver := raw["bare"] - alone
	line := fmt.Sprintf("%s, %s entries, %s", kind, count(size), who)
	for _, c := range field {
		b.report.Add(line, c.name, raw[c.name]-driver, "ns")
	}
	b.report.Add(line, "driver", driver, "ns")
	for _, c := range field {
		b.report.Add(line, "raw "+c.name, raw[c.name], "ns")
	}
	peer := raw["xdp-filter"] - driver
	for name, most := range limits(kind, size, who) {
		ratio := (raw[name] - driver) / peer
		if most == 0 {
			b.report.Add(line, name+" : xdp-filter", ratio, "x")
		} else {
			b.report.Target(t, line, name+" : xdp-filter", ratio, "x", ratio <= most, fmt.Sprintf("<= %.2f", most))
		}
	}
}

// runRound runs a program on a round of packets and returns its last code and the
// time of one packet in ns: that which the thread was on the processor. The kernel's
// own figure is the same in whole nanoseconds, too coarse for what takes ten.
func runRound(t *testing.T, p *ebpf.Program, packet []byte) (code uint32, each float64) {
	t.Helper()
	start := threadTime(t)
	code, err := p.Run(&ebpf.RunOptions{Data: packet, Repeat: roundPackets})
	if err != nil {
		t.Fatal(err)
	}
	return code, float64(threadTime(t)-start) / roundPackets
}

// threadTime returns how long the calling thread has been on a processor, in ns.
func threadTime(t *testing.T) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Fatalf("read the thread's clock: %v", err)
	}
	return ts.Nano()
}

// limits returns the share of xdp-filter's time that the filter may take at most, in
// order; 0 where there is no target.
func limits(kind string, size int, who string) iter.Seq2[string, float64] {
	var verdict, everything float64
	switch {
	case strings.Contains(who, "IPv6"):
	case kind == "hit":
		everything = 0.75
	case kind == "miss" && size == 1_000_000 && who == "spoofed":
		verdict, everything = 0.2, 0.6
	case kind == "miss" && who == "50k sources":
		verdict, everything = 0.35, 0.75
	case kind == "miss":
		verdict, everything = 0.35, 0.6
	}
	return func(yield func(string, float64) bool) {
		if yield("verdict", verdict) {
			yield("everything", everything)
		}
	}
}
