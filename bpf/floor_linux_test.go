//go:build linux && (amd64 || arm64)

package bpf

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// version is the kernel in which something appeared, as major<<8 | minor.
type version uint16

func v(major, minor version) version { return major<<8 | minor }

// floor is the oldest kernel on which the program has to load.
var floor = v(5, 15)

// What the program may use, and since when the kernel has it, for XDP and in the
// compilers of both processors. Sources: the tables of the BPF Compiler
// Collection (docs/kernel-versions.md in iovisor/bcc), the history of
// include/uapi/linux/bpf.h, and, where they are given, the commits of Linux.
//
// What is missing here fails the test, so that whoever comes to need it looks it
// up.
var (
	helpers = map[asm.BuiltinFunc]version{
		asm.FnMapLookupElem:       v(3, 19),
		asm.FnMapUpdateElem:       v(3, 19),
		asm.FnMapDeleteElem:       v(3, 19),
		asm.FnKtimeGetNs:          v(4, 1),
		asm.FnGetSmpProcessorId:   v(4, 1),
		asm.FnPerfEventOutput:     v(4, 8), // 4de16969523c, for XDP
		asm.FnSpinLock:            v(5, 1),
		asm.FnSpinUnlock:          v(5, 1),
		asm.FnRingbufOutput:       v(5, 8),
		asm.FnRingbufReserve:      v(5, 8),
		asm.FnRingbufSubmit:       v(5, 8),
		asm.FnKtimeGetCoarseNs:    v(5, 11), // d05512618056
		asm.FnLoop:                v(5, 17), // e6f2dd0f8067
		asm.FnMapLookupPercpuElem: v(5, 19),
	}
	mapTypes = map[ebpf.MapType]version{
		ebpf.Hash:           v(3, 19),
		ebpf.Array:          v(3, 19),
		ebpf.PerfEventArray: v(4, 3),
		ebpf.PerCPUHash:     v(4, 6),
		ebpf.PerCPUArray:    v(4, 6),
		ebpf.LRUHash:        v(4, 10),
		ebpf.LRUCPUHash:     v(4, 10),
		ebpf.LPMTrie:        v(4, 11),
		ebpf.RingBuf:        v(5, 8),
	}
	mapFlags = map[uint32]version{
		1 << 0:  v(4, 6), // BPF_F_NO_PREALLOC
		1 << 7:  v(5, 2), // BPF_F_RDONLY_PROG, of the section of constants
		1 << 10: v(5, 5), // BPF_F_MMAPABLE
	}
)

// TestFloor reads the object: what it asks of a kernel is there since the floor.
// That a verifier of that age accepts it is another matter, which takes such a
// kernel.
func TestFloor(t *testing.T) {
	spec, err := LoadXDP()
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range spec.Maps {
		old(t, "the type of map "+name, mapTypes, m.Type)
		for bit := range 32 {
			if flag := uint32(1) << bit; m.Flags&flag != 0 {
				old(t, "a flag of map "+name, mapFlags, flag)
			}
		}
	}
	for name, p := range spec.Programs {
		if p.Type != ebpf.XDP || p.AttachType != ebpf.AttachXDP {
			t.Errorf("%s is a program of type %v, %v", name, p.Type, p.AttachType)
		}
		// Multi-buffer frames, BPF_F_XDP_HAS_FRAGS, came with 5.18 (c2f2cdbeffda).
		if p.Flags != 0 {
			t.Errorf("%s has the flags %#x, want none", name, p.Flags)
		}
		for i, ins := range p.Instructions {
			if what := young(ins); what != "" {
				t.Errorf("%s, instruction %d, %v: %s", name, i, ins, what)
			}
			if ins.IsBuiltinCall() {
				old(t, "a helper that "+name+" calls", helpers, asm.BuiltinFunc(ins.Constant))
			}
		}
	}
	for typ, err := range spec.Types.All() {
		if err != nil {
			t.Fatal(err)
		}
		switch typ := typ.(type) {
		case *btf.TypeTag:
			t.Errorf("type information: %v came with Linux 5.17", typ)
		case *btf.Enum:
			if typ.Size > 4 || typ.Signed {
				t.Errorf("type information: %v needs BTF_KIND_ENUM64 or its sign bit, which came with Linux 6.0", typ)
			}
		}
	}
}

// old checks that a kernel of the age of the floor has what.
func old[K comparable](t *testing.T, where string, table map[K]version, what K) {
	t.Helper()
	since, ok := table[what]
	switch {
	case !ok:
		t.Errorf("%s, %v, is in no table: look up since when the kernel has it", where, what)
	case since > floor:
		t.Errorf("%s, %v, came with Linux %d.%d, after %d.%d", where, what, since>>8, since&255, floor>>8, floor&255)
	}
}

// young says what an instruction needs that is younger than the floor; "" for
// nothing.
func young(ins asm.Instruction) string {
	op := ins.OpCode
	switch {
	case ins.IsKfuncCall():
		return "kernel functions can be called from XDP since Linux 5.18"
	case op.Class() == asm.StXClass && op.Mode() == asm.AtomicMode:
		// x86 has the others since 5.12, arm64 since 5.18 (1902472b4fa9).
		if op.AtomicOp() != asm.AddAtomic {
			return "atomic operations but for a plain addition compile for arm64 since Linux 5.18"
		}
	case op.Class().IsALU():
		// The instruction set's version 4 came with Linux 6.6.
		switch alu := op.ALUOp(); alu {
		case asm.SDiv, asm.SMod, asm.MovSX8, asm.MovSX16, asm.MovSX32:
			return "came with Linux 6.6"
		case asm.Swap:
			if op.Class() == asm.ALU64Class {
				return "an unconditional byte swap came with Linux 6.6"
			}
		}
	case op.Class() == asm.LdXClass && op.Mode() == asm.MemSXMode:
		return "loads that extend the sign came with Linux 6.6"
	case op.Class() == asm.Jump32Class && op.JumpOp() == asm.Ja:
		return "long jumps came with Linux 6.6"
	}
	return ""
}

// TestYoung checks that what is too young is found.
func TestYoung(t *testing.T) {
	for _, ins := range []asm.Instruction{
		asm.FetchAdd.Mem(asm.R1, asm.R2, asm.DWord, 0),
		asm.AndAtomic.Mem(asm.R1, asm.R2, asm.Word, 0),
		asm.CmpXchg.Mem(asm.R1, asm.R2, asm.DWord, 0),
		asm.SDiv.Reg(asm.R1, asm.R2),
		asm.BSwap(asm.R1, asm.Word),
		asm.LoadMemSX(asm.R1, asm.R2, 0, asm.Word),
		asm.LongJump("x"),
	} {
		if young(ins) == "" {
			t.Errorf("%v passes", ins)
		}
	}
	for _, ins := range []asm.Instruction{
		asm.AddAtomic.Mem(asm.R1, asm.R2, asm.DWord, 0),
		asm.HostTo(asm.BE, asm.R1, asm.Word),
		asm.Mov.Reg32(asm.R1, asm.R2),
		asm.LoadMem(asm.R1, asm.R2, 0, asm.Byte),
		asm.JEq.Imm32(asm.R1, 1, "x"),
		asm.Ja.Label("x"),
	} {
		if what := young(ins); what != "" {
			t.Errorf("%v: got %q, want nothing", ins, what)
		}
	}
}

// TestAlignment holds what the kernel does not check: an LPM trie puts a value
// right behind the bytes of its key (struct lpm_trie_node in kernel/bpf/lpm_trie.c:
// 40 bytes, the key without its length, the value). Numbers of eight bytes are not
// aligned there if those are no multiple of eight. An atomic addition to such a
// number is a fault in the kernel of an arm64 machine, and where it crosses a cache
// line in that of an x86 one with split_lock_detect: a packet would stop it.
func TestAlignment(t *testing.T) {
	spec, err := LoadXDP()
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range spec.Maps {
		if m.Type == ebpf.LPMTrie && (m.KeySize-4)%8 != 0 {
			t.Errorf("the values of %s, whose keys have %d bytes, are not aligned to 8; keys of %d would do", name, m.KeySize, 4+(m.KeySize+3)/8*8)
		}
	}
}
