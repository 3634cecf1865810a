//go:build amd64 || arm64

package xdp

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// direct has the program take the address of the one value of a map for granted
// instead of looking it up for each packet: the kernel knows it when the program is
// loaded. A C program can say that of its own variables alone, and those cannot
// be pinned.
func direct(spec *ebpf.CollectionSpec, name string) {
	for _, program := range spec.Programs {
		for i := range program.Instructions {
			load := &program.Instructions[i]
			if !load.IsLoadFromMap() || load.Reference() != name {
				continue
			}
			// The call that follows has this map as its first argument, in R1, and
			// its result in R0.
			for j := i + 1; j < len(program.Instructions); j++ {
				call := &program.Instructions[j]
				if !call.IsBuiltinCall() {
					continue
				}
				if call.Constant == int64(asm.FnMapLookupElem) {
					load.Src, load.Constant = asm.PseudoMapValue, 0
					moved := asm.Mov.Reg(asm.R0, asm.R1)
					moved.Metadata = call.Metadata
					*call = moved
				}
				break
			}
		}
	}
}
