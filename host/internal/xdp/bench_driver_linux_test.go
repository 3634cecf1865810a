//go:build bench && (amd64 || arm64)

package xdp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// Where the source address lies in a frame without VLAN tags.
const (
	sourceOffset4 = 14 + 12
	sourceOffset6 = 14 + 8
)

// sources are the addresses that packets come from, in turn.
type sources struct {
	six bool
	// table holds the addresses; nil makes up a new one for each packet.
	table *ebpf.Map
	size  int
}

// tableFrom returns sources that rotate through addresses of one family.
func tableFrom(t testing.TB, addrs []netip.Addr) sources {
	t.Helper()
	s := sources{six: addrs[0].Is6(), size: len(addrs)}
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Type: ebpf.Array, KeySize: 4, ValueSize: uint32(addrs[0].BitLen() / 8), MaxEntries: uint32(len(addrs)),
	})
	if err != nil {
		t.Fatalf("make a table of sources: %v", err)
	}
	t.Cleanup(func() { _ = m.Close() })
	keys := make([]uint32, len(addrs))
	values4, values6 := make([][4]byte, len(addrs)), make([][16]byte, len(addrs))
	for i, a := range addrs {
		keys[i], values6[i] = uint32(i), a.As16()
		if !s.six {
			values4[i] = a.As4()
		}
	}
	var values any = values4
	if s.six {
		values = values6
	}
	if _, err := m.BatchUpdate(keys, values, nil); err != nil {
		t.Fatalf("fill a table of sources: %v", err)
	}
	s.table = m
	return s
}

// driverState is what a driver remembers: which source is next, or the state of
// its random numbers.
type driverState struct{ Next, Random uint64 }

// newDriver returns a program that writes the next source address into the
// packet and goes on, by a tail call, with another program. The checksum is left
// as it is: none of the programs reads it.
func newDriver(t testing.TB, s sources, target *ebpf.Program) *ebpf.Program {
	t.Helper()
	made := func(name string, spec *ebpf.MapSpec) *ebpf.Map {
		m, err := ebpf.NewMap(spec)
		if err != nil {
			t.Fatalf("make the driver's %s: %v", name, err)
		}
		// A program array lives no longer than who holds it.
		t.Cleanup(func() { _ = m.Close() })
		return m
	}
	state := made("state", &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 16, MaxEntries: 1})
	if err := state.Put(uint32(0), driverState{Random: 0x9E3779B97F4A7C15}); err != nil {
		t.Fatalf("seed the driver: %v", err)
	}
	next := made("jump table", &ebpf.MapSpec{Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err := next.Put(uint32(0), uint32(target.FD())); err != nil {
		t.Fatalf("aim the driver: %v", err)
	}

	// R6 the context, R7 the packet, R8 the driver's state.
	code := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R7, asm.R6, 0, asm.Word), // data
		asm.LoadMem(asm.R2, asm.R6, 4, asm.Word), // data_end
		asm.Mov.Reg(asm.R3, asm.R7),
		asm.Add.Imm(asm.R3, 14+40),
		asm.JGT.Reg(asm.R3, asm.R2, "out"),
		asm.LoadMapValue(asm.R8, state.FD(), 0),
	}
	if s.table == nil {
		code = append(code, s.invent()...)
	} else {
		code = append(code, s.rotate()...)
	}
	code = append(code,
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.LoadMapPtr(asm.R2, next.FD()),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnTailCall.Call(),
		// No program there: the verdict says so.
		asm.Mov.Imm(asm.R0, 0).WithSymbol("out"),
		asm.Return(),
	)
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		// Tail calls lead to programs of the same attach type alone.
		Name: "driver", Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "GPL", Instructions: code,
	})
	if err != nil {
		t.Fatalf("load the driver: %+v", err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// rotate writes the next address of the table.
func (s sources) rotate() asm.Instructions {
	code := asm.Instructions{
		asm.LoadMem(asm.R1, asm.R8, 0, asm.DWord),
		asm.StoreMem(asm.RFP, -4, asm.R1, asm.Word),
		asm.Add.Imm(asm.R1, 1),
		asm.JLT.Imm(asm.R1, int32(s.size), "kept"),
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.R8, 0, asm.R1, asm.DWord).WithSymbol("kept"),
		asm.LoadMapPtr(asm.R1, s.table.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"),
	}
	if s.six {
		return append(code,
			asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
			asm.LoadMem(asm.R2, asm.R0, 8, asm.DWord),
			asm.StoreMem(asm.R7, sourceOffset6, asm.R1, asm.DWord),
			asm.StoreMem(asm.R7, sourceOffset6+8, asm.R2, asm.DWord),
		)
	}
	return append(code,
		asm.LoadMem(asm.R1, asm.R0, 0, asm.Word),
		asm.StoreMem(asm.R7, sourceOffset4, asm.R1, asm.Word),
	)
}

// invent writes an address that no packet had before: of xorshift64 (Marsaglia
// 2003), whose values do not come again for 2^64 - 1 packets. IPv4 takes 32 of
// its bits. IPv6 takes two of its values behind 2001::/16, where the entries are.
func (s sources) invent() asm.Instructions {
	step := asm.Instructions{}
	for _, shift := range []struct {
		op   asm.ALUOp
		bits int32
	}{{asm.LSh, 13}, {asm.RSh, 7}, {asm.LSh, 17}} {
		step = append(step, asm.Mov.Reg(asm.R2, asm.R1), shift.op.Imm(asm.R2, shift.bits), asm.Xor.Reg(asm.R1, asm.R2))
	}
	code := asm.Instructions{asm.LoadMem(asm.R1, asm.R8, 8, asm.DWord)}
	code = append(code, step...)
	if !s.six {
		return append(code,
			asm.StoreMem(asm.R8, 8, asm.R1, asm.DWord),
			asm.RSh.Imm(asm.R1, 16),
			asm.StoreMem(asm.R7, sourceOffset4, asm.R1, asm.Word),
		)
	}
	code = append(code,
		asm.Mov.Reg(asm.R3, asm.R1),
		asm.LSh.Imm(asm.R3, 16),
		asm.Or.Imm(asm.R3, 0x0120), // 20 01 in the packet
		asm.StoreMem(asm.R7, sourceOffset6, asm.R3, asm.DWord),
	)
	code = append(code, step...)
	return append(code,
		asm.StoreMem(asm.R8, 8, asm.R1, asm.DWord),
		asm.StoreMem(asm.R7, sourceOffset6+8, asm.R1, asm.DWord),
	)
}

// TestBenchDriver looks at the addresses that drivers write.
func TestBenchDriver(t *testing.T) {
	pass := passing(t)
	list := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("203.0.113.3")}
	list6 := []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")}
	for _, s := range []sources{tableFrom(t, list), tableFrom(t, list6), {}, {six: true}} {
		d := newDriver(t, s, pass)
		seen := make(map[netip.Addr]int)
		frame := packetOf(s)
		for range 12 {
			code, out, err := d.Test(frame)
			if err != nil || code != xdpPass {
				t.Fatalf("got code %d, %v; want %d", code, err, xdpPass)
			}
			a := netip.AddrFrom4([4]byte(out[sourceOffset4:]))
			if s.six {
				a = netip.AddrFrom16([16]byte(out[sourceOffset6:]))
			}
			seen[a]++
		}
		want := s.size
		if s.table == nil {
			want = 12
		}
		if len(seen) != want {
			t.Errorf("%+v: got addresses %v, want %d different ones", s, seen, want)
		}
		for a := range seen {
			if s.six && binary.BigEndian.Uint16(a.AsSlice()) != 0x2001 {
				t.Errorf("got address %v, want one of 2001::/16", a)
			}
		}
	}
}

// packetOf returns the packet that is sent from the sources: a TCP SYN of 64
// bytes over IPv4, of 74 over IPv6.
func packetOf(s sources) []byte {
	if s.six {
		return syn6(attacker6)
	}
	return append(syn4(attacker4), make([]byte, 10)...)
}

// passing returns a program that passes everything.
func passing(t testing.TB) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	if err != nil {
		t.Fatal(fmt.Errorf("load a program that passes everything: %w", err))
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}
