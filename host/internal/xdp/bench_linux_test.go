//go:build amd64 || arm64

package xdp

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// BenchmarkPacket measures with the kernel's own timer what one TCP SYN of 64
// bytes costs: a program that passes everything, and the filter, with an empty
// and a full block list. It is one hot packet, so that caches flatter it.
func BenchmarkPacket(b *testing.B) {
	pass, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	if err != nil {
		b.Skipf("loading a program needs root: %v", err)
	}
	defer pass.Close()
	packet4 := append(syn4(attacker4), make([]byte, 10)...)
	packet6 := syn6(attacker6)

	empty := newFilter(b, Config{})
	full := newFilter(b, Config{})
	fillRandom(b, full, 100_000)
	hit := newFilter(b, Config{})
	fillRandom(b, hit, 100_000)
	for _, p := range []string{attacker4 + "/32", attacker6 + "/128"} {
		if err := hit.Block(netip.MustParsePrefix(p), 0, 1); err != nil {
			b.Fatal(err)
		}
	}
	for _, bench := range []struct {
		name    string
		program *ebpf.Program
		packet  []byte
	}{
		{"bare-pass", pass, packet4},
		{"ip4-empty", empty.program, packet4},
		{"ip4-miss-100k", full.program, packet4},
		{"ip4-hit-100k", hit.program, packet4},
		{"ip6-empty", empty.program, packet6},
		{"ip6-miss-100k", full.program, packet6},
		{"ip6-hit-100k", hit.program, packet6},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			var total float64
			runs := 0
			for b.Loop() {
				_, each, err := bench.program.Benchmark(bench.packet, 1_000_000, nil)
				if err != nil {
					b.Fatal(err)
				}
				total += float64(each.Nanoseconds())
				runs++
			}
			b.ReportMetric(total/float64(runs), "ns/packet")
		})
	}
}

func fillRandom(b *testing.B, f *Filter, n int) {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 1))
	entries := make([]Entry, 0, n)
	for len(entries) < n {
		var four [4]byte
		binary.BigEndian.PutUint32(four[:], random.Uint32())
		var six [16]byte
		binary.BigEndian.PutUint64(six[:], 0x2001<<48|random.Uint64()>>16)
		binary.BigEndian.PutUint64(six[8:], random.Uint64())
		entries = append(entries, Entry{Prefix: netip.PrefixFrom(netip.AddrFrom4(four), 32)},
			Entry{Prefix: netip.PrefixFrom(netip.AddrFrom16(six), 128)})
	}
	if err := f.Replace(entries); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkReplace stores a list of 100,000 entries over an equal one.
func BenchmarkReplace(b *testing.B) {
	f := newFilter(b, Config{})
	b.ReportAllocs()
	for b.Loop() {
		fillRandom(b, f, 100_000)
	}
}

// BenchmarkFlush reads the summaries of full tables.
func BenchmarkFlush(b *testing.B) {
	f := newFilter(b, Config{})
	s := newSummary(f)
	random := rand.New(rand.NewPCG(1, 1))
	packet := syn4(attacker4)
	events := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for range 4000 {
			binary.BigEndian.PutUint32(packet[26:], random.Uint32())
			run(b, f, packet)
		}
		b.StartTimer()
		drain(f, s)
		events += len(s.events)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
}
