package sdk

import (
	"debug/elf"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The entries of the auxiliary vector that say where the program headers of the
// executable lie in memory, and how many there are (getauxval(3)).
const (
	auxPHDR  = 3
	auxPHNUM = 5
)

// trimImage unmaps the pages of the executable's code and constants, which the
// kernel has mapped around everything that starting touched. What is used comes
// back from the page cache, page by page; nothing is lost, since these pages are
// never written. It makes a plugin that has started half as large.
func trimImage() {
	aux, err := unix.Auxv()
	if err != nil {
		return
	}
	var at, count uintptr
	for _, entry := range aux {
		switch entry[0] {
		case auxPHDR:
			at = entry[1]
		case auxPHNUM:
			count = entry[1]
		}
	}
	const size = unsafe.Sizeof(elf.Prog64{})
	if at == 0 || unsafe.Sizeof(at) != 8 {
		return
	}
	headers := unsafe.Slice((*elf.Prog64)(unsafe.Pointer(at)), count) //nolint:govet // the kernel put them there
	var base uintptr
	for _, h := range headers {
		if elf.ProgType(h.Type) == elf.PT_PHDR {
			base = at - uintptr(h.Vaddr)
		}
	}
	page := uintptr(unix.Getpagesize())
	for _, h := range headers {
		if elf.ProgType(h.Type) != elf.PT_LOAD || elf.ProgFlag(h.Flags)&elf.PF_W != 0 {
			continue
		}
		from := (base + uintptr(h.Vaddr)) &^ (page - 1)
		to := (base + uintptr(h.Vaddr) + uintptr(h.Filesz)) &^ (page - 1)
		if to > from {
			_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Pointer(from)), to-from), unix.MADV_DONTNEED) // at worst nothing is saved
		}
	}
	_ = size
}
