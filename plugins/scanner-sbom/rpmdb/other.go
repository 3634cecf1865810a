package rpmdb

import "encoding/binary"

// ndb reads rpm's own form (lib/backend/ndb/rpmpkg.c): pages of slots, of which each says
// where the blocks of a package are.
func (s *source) ndb(f func([]byte) error) error {
	const page, slotSize, block, maxPages = 4096, 16, 16, 65536
	var head [32]byte
	if err := s.read(head[:], 0); err != nil {
		return err
	}
	order := binary.LittleEndian
	version, count := order.Uint32(head[4:]), order.Uint32(head[12:])
	if version != 0 || count == 0 || count > maxPages {
		return malformed("it has version %d and %d pages of slots", version, count)
	}
	b := make([]byte, page)
	for i := range int64(count) {
		if err := s.read(b, i*page); err != nil {
			return err
		}
		for at := 0; at < page; at += slotSize {
			slot := b[at : at+slotSize]
			if i == 0 && at < len(head) {
				continue // the head has the place of the first ones
			}
			if string(slot[:4]) != "Slot" {
				return malformed("there is no slot at byte %d", i*page+int64(at))
			}
			id := order.Uint32(slot[4:])
			if id == 0 {
				continue // it is free
			}
			var head [16]byte
			place := int64(order.Uint32(slot[8:])) * block
			if err := s.read(head[:], place); err != nil {
				return err
			}
			if string(head[:4]) != "BlbS" || order.Uint32(head[4:]) != id {
				return malformed("package %d is not where its slot says", id)
			}
			blob, err := s.room(uint64(order.Uint32(head[12:])))
			if err != nil {
				return err
			}
			if err := s.read(blob, place+int64(len(head))); err != nil {
				return err
			}
			if err := f(blob); err != nil {
				return err
			}
		}
	}
	return nil
}

// hashMagic is in the head of a hash of Berkeley DB (src/dbinc/db_page.h of libdb).
const hashMagic = 0x00061561

// Kinds of the pages of a hash, and of what is in them.
const (
	unsortedPage = 2
	overflowPage = 7
	hashPage     = 13
	elsewhere    = 3 // the value lies on pages of its own
)

// hash reads a hash of Berkeley DB. Packages are values that lie on pages of their own.
func (s *source) hash(order binary.ByteOrder, f func([]byte) error) error {
	const headSize, entrySize = 26, 12
	var head [72]byte
	if err := s.read(head[:], 0); err != nil {
		return err
	}
	size := int64(order.Uint32(head[20:]))
	if size < 512 || size > 1<<16 || size&(size-1) != 0 {
		return malformed("its pages have %d bytes", size)
	}
	if last := int64(order.Uint32(head[32:])); (last+1)*size > s.size {
		return malformed("it ends before page %d", last)
	}
	b, over := make([]byte, size), make([]byte, size)
	for page := int64(1); (page+1)*size <= s.size; page++ {
		if err := s.read(b, page*size); err != nil {
			return err
		}
		if kind := b[25]; kind != hashPage && kind != unsortedPage {
			continue
		}
		entries := int(order.Uint16(b[20:]))
		if headSize+2*entries > len(b) {
			return malformed("page %d has %d entries", page, entries)
		}
		for i := 1; i < entries; i += 2 { // keys are before their values
			at := int(order.Uint16(b[headSize+2*i:]))
			if at+entrySize > len(b) || b[at] != elsewhere {
				continue
			}
			next, length := order.Uint32(b[at+4:]), order.Uint32(b[at+8:])
			blob, err := s.room(uint64(length))
			if err != nil {
				return err
			}
			for rest := blob; len(rest) > 0; {
				if next == 0 {
					return malformed("a package ends early")
				}
				if err := s.read(over, int64(next)*size); err != nil {
					return err
				}
				if over[25] != overflowPage {
					return malformed("page %d has no part of a package", next)
				}
				rest = rest[copy(rest, over[headSize:]):]
				next = order.Uint32(over[16:])
			}
			if next != 0 {
				return malformed("a package goes on behind its end")
			}
			if err := f(blob); err != nil {
				return err
			}
		}
	}
	return nil
}
