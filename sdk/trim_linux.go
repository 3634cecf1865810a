package sdk

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// programHeader is one entry of the table that says how an executable lies in
// memory (Elf64_Phdr, elf(5)).
type programHeader struct {
	kind, flags uint32
	_           uint64 // offset in the file
	address     uint64
	_           uint64 // physical address
	size        uint64
	_, _        uint64 // size in memory, alignment
}

// Values of elf(5) and getauxval(3).
const (
	headerLoad  = 1 // PT_LOAD
	headerTable = 6 // PT_PHDR
	flagWrite   = 2 // PF_W
	auxTable    = 3 // AT_PHDR
	auxCount    = 5 // AT_PHNUM
)

// trimImage unmaps the pages of the executable's code and constants, most of
// which the kernel has mapped around what starting touched. What is used comes
// back from the page cache; nothing is lost, since these pages are never written.
func trimImage() {
	aux, err := unix.Auxv()
	if err != nil || unsafe.Sizeof(uintptr(0)) != 8 {
		return
	}
	var table, count uintptr
	for _, entry := range aux {
		switch entry[0] {
		case auxTable:
			table = entry[1]
		case auxCount:
			count = entry[1]
		}
	}
	if table == 0 {
		return
	}
	// The kernel put the table there, outside of Go's memory.
	headers := unsafe.Slice(*(**programHeader)(unsafe.Pointer(&table)), count)
	var base uintptr
	for _, h := range headers {
		if h.kind == headerTable {
			base = table - uintptr(h.address)
		}
	}
	page := uintptr(unix.Getpagesize())
	for _, h := range headers {
		if h.kind != headerLoad || h.flags&flagWrite != 0 {
			continue
		}
		from := (base + uintptr(h.address)) &^ (page - 1)
		to := (base + uintptr(h.address) + uintptr(h.size)) &^ (page - 1)
		if to > from {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED) // at worst nothing is saved
		}
	}
}
