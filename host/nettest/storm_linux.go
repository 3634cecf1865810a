package nettest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Storm sends a SYN flood as fast as the kernel can make it, for a time or until
// ctx is done: packets that a program writes and sends itself, out of a test run
// with live frames (Linux 5.18). Flood.Packets is ignored. The other end of the
// pair has to have an XDP program, or nothing arrives. The checksum of the IP
// header is that of one source, so that of forged sources the victim's stack gets
// no packets that it answers. It returns how many packets were made.
func (n *Namespace) Storm(ctx context.Context, flood Flood, most time.Duration) (sent uint64, err error) {
	program, err := storm(flood)
	if err != nil {
		return 0, err
	}
	defer program.Close()
	err = n.Do(func() error {
		l, err := netlink.LinkByName(n.Interface)
		if err != nil {
			return fmt.Errorf("find %s: %w", n.Interface, err)
		}
		from := flood.From
		if !from.IsValid() {
			if from = n.IP4; flood.Six {
				from = n.IP6
			}
		}
		frame := append(syn(n, flood, from, 40000), make([]byte, 10)...)
		const round = 1 << 16
		for began := time.Now(); ctx.Err() == nil && time.Since(began) < most; sent += round {
			// struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index,
			// egress_ifindex.
			md := []uint32{0, uint32(len(frame)), 0, uint32(l.Attrs().Index), 0, 0}
			_, err := program.Run(&ebpf.RunOptions{
				Data: frame, Repeat: round, Context: md, Flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES, BatchSize: 64,
			})
			if err != nil && !errors.Is(err, unix.EINTR) {
				return fmt.Errorf("run a program that sends: %w", err)
			}
		}
		return nil
	})
	return sent, err
}

// storm loads a program that sends the packet back to the interface that it seems
// to come from. If flood.From does not say from where, its source is a new one: of
// xorshift64 (Marsaglia 2003), in 1.0.0.0/8 to 126.0.0.0/8 or in the target's IPv6
// network.
func storm(flood Flood) (*ebpf.Program, error) {
	code := asm.Instructions{}
	if !flood.From.IsValid() {
		state, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
		if err != nil {
			return nil, fmt.Errorf("make the state of a flood: %w", err)
		}
		defer state.Close() // the program holds it
		if err := state.Put(uint32(0), uint64(time.Now().UnixNano())); err != nil {
			return nil, fmt.Errorf("seed a flood: %w", err)
		}
		code = append(code,
			asm.LoadMem(asm.R7, asm.R1, 0, asm.Word), // data
			asm.LoadMem(asm.R2, asm.R1, 4, asm.Word), // data_end
			asm.Mov.Reg(asm.R3, asm.R7),
			asm.Add.Imm(asm.R3, 14+24),
			asm.JGT.Reg(asm.R3, asm.R2, "out"),
			asm.LoadMapValue(asm.R8, state.FD(), 0),
			asm.LoadMem(asm.R1, asm.R8, 0, asm.DWord),
		)
		for _, step := range []struct {
			op   asm.ALUOp
			bits int32
		}{{asm.LSh, 13}, {asm.RSh, 7}, {asm.LSh, 17}} {
			code = append(code, asm.Mov.Reg(asm.R2, asm.R1), step.op.Imm(asm.R2, step.bits), asm.Xor.Reg(asm.R1, asm.R2))
		}
		code = append(code, asm.StoreMem(asm.R8, 0, asm.R1, asm.DWord))
		if flood.Six {
			// The second half of the address; the first is the network.
			code = append(code, asm.StoreMem(asm.R7, 14+16, asm.R1, asm.DWord))
		} else {
			code = append(code,
				asm.RSh.Imm(asm.R1, 16),
				asm.Mov.Reg(asm.R2, asm.R1),
				asm.And.Imm(asm.R2, 0xff), // the first byte
				asm.Mod.Imm(asm.R2, 126),
				asm.Add.Imm(asm.R2, 1),
				asm.RSh.Imm(asm.R1, 8),
				asm.LSh.Imm(asm.R1, 8),
				asm.Or.Reg(asm.R1, asm.R2),
				asm.StoreMem(asm.R7, 14+12, asm.R1, asm.Word),
			)
		}
	}
	code = append(code, asm.Mov.Imm(asm.R0, xdpTransmit).WithSymbol("out"), asm.Return())
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "storm", Type: ebpf.XDP, License: "GPL", Instructions: code})
	if err != nil {
		return nil, fmt.Errorf("load a program that sends: %w", err)
	}
	return p, nil
}

// xdpTransmit is XDP_TX (include/uapi/linux/bpf.h).
const xdpTransmit = 3
