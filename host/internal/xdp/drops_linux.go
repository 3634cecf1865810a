//go:build amd64 || arm64

package xdp

import (
	"encoding/binary"
	"math"
	"net/netip"
	"sync/atomic"

	"github.com/ironpost/ironpost/bpf"
)

// dropTable is drops4 of the program: addresses that are just dropped, so that
// most of their packets need no look into the list, which takes longer.
//
// What a cell says holds, wherever the cell is: before an entry changes or goes,
// its cell is cleared, and after that set anew. So nothing is wrong with one that is
// missing, and who is killed in between leaves none that drops what is not blocked.
// Its cells are changed by the holder of lists alone, and read by packets.
type dropTable struct {
	lines []bpf.XDPDropLine
	// cells are those of a copy in the making, which has no lines.
	cells  []dropCell
	making bool
}

type dropCell struct{ hash, cell uint64 }

// dropForever is the time of an entry that does not expire.
const dropForever = math.MaxUint32

// dropCellOf returns the cell of an entry of an IPv4 address, 0 for one that asks for
// more than dropping, or expires before the clock of cells has got on.
func dropCellOf(addr [4]byte, e *bpf.XDPEntry) uint64 {
	if Action(e.Action) != ActionDrop || e.Flags != 0 {
		return 0
	}
	until := uint64(dropForever)
	if e.Expires != 0 {
		until = min(e.Expires>>bpf.XDPDropUnitDROP_UNIT_SHIFT, dropForever-1)
	}
	if until == 0 {
		return 0
	}
	return until<<32 | uint64(binary.NativeEndian.Uint32(addr[:]))
}

// dropLines is how many lines go with a mask of the host filter: two for each of its
// words, so that few addresses find no room.
func dropLines(mask uint32) int { return 2 * (int(mask) + 1) }

func (t *dropTable) line(hash uint64, mask uint32) *bpf.XDPDropLine {
	return &t.lines[int(uint32(hash>>16))&(dropLines(mask)-1)]
}

// set has a cell in the table, if there is room; there is none of its address yet.
func (t *dropTable) set(hash uint64, mask uint32, cell uint64) {
	switch {
	case cell == 0:
	case t.making:
		t.cells = append(t.cells, dropCell{hash, cell})
	default:
		line := t.line(hash, mask)
		for i := range line.Cells {
			if line.Cells[i] == 0 {
				atomic.StoreUint64(&line.Cells[i], cell)
				return
			}
		}
	}
}

// clear takes the cell of an address out, if there is one.
func (t *dropTable) clear(hash uint64, mask uint32, addr [4]byte) {
	line, low := t.line(hash, mask), binary.NativeEndian.Uint32(addr[:])
	for i := range line.Cells {
		if cell := line.Cells[i]; cell != 0 && uint32(cell) == low {
			atomic.StoreUint64(&line.Cells[i], 0)
		}
	}
}

// store makes the table that of a copy, where mask is now in force and was before.
func (t *dropTable) store(what *dropTable, before, mask uint32) {
	fresh := dropTable{lines: make([]bpf.XDPDropLine, dropLines(mask))}
	for _, c := range what.cells {
		fresh.set(c.hash, mask, c.cell)
	}
	// What lies behind the end may be of a host that was killed while it stored.
	for i := range t.lines[:dropLines(max(before, mask))] {
		var want [len(bpf.XDPDropLine{}.Cells)]uint64
		if i < len(fresh.lines) {
			want = fresh.lines[i].Cells
		}
		store(t.lines[i].Cells[:], want[:])
	}
}

// enter comes after an entry has been stored under a canonical prefix that is
// marked.
func (t *filters) enter(prefix netip.Prefix, e *bpf.XDPEntry) {
	if tableOf(prefix) == tableHosts4 {
		a := prefix.Addr().As4()
		t.drops4.set(t.hash4(a), t.hosts4.mask, dropCellOf(a, e))
	}
}

// forget comes before an entry under a canonical prefix changes or goes. The marks
// stay; see filters.
func (t *filters) forget(prefix netip.Prefix) {
	if tableOf(prefix) == tableHosts4 {
		a := prefix.Addr().As4()
		t.drops4.clear(t.hash4(a), t.hosts4.mask, a)
	}
}

// hash4 returns the hash of an IPv4 address.
func (t *filters) hash4(a [4]byte) uint64 {
	return hashAddress(uint64(binary.NativeEndian.Uint32(a[:])), 0, t.keys)
}
