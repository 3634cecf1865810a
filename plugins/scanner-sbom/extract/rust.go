package extract

import (
	"bytes"
	"compress/zlib"
	"context"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// Bounds of the list of crates in a program, as it stands there and unpacked: the
// library would take it as large as it is.
const (
	maxCrates         = 4 << 20
	maxCratesUnpacked = 32 << 20
)

// audited has the Reader r read programs only in which there is a list of crates, of
// a size within the bounds.
func audited(r *Reader) *Reader {
	read := r.Read
	r.Read = func(ctx context.Context, in Input) ([]*inventory.Package, error) {
		packed, size := crates(in.Body, in.Info.Size())
		if packed == nil {
			return nil, nil
		}
		if size > maxCrates {
			return nil, fmt.Errorf("its list of crates has %d bytes, and may have %d", size, maxCrates)
		}
		z, err := zlib.NewReader(packed)
		if err != nil {
			return nil, fmt.Errorf("unpack the list of crates: %w", err)
		}
		if n, err := io.Copy(io.Discard, io.LimitReader(z, maxCratesUnpacked+1)); err != nil {
			return nil, fmt.Errorf("unpack the list of crates: %w", err)
		} else if n > maxCratesUnpacked {
			return nil, ExpandsError(fmt.Sprintf("a list of crates of more than %d bytes", maxCratesUnpacked))
		}
		return read(ctx, in)
	}
	return r
}

// crates finds the section in which cargo-auditable leaves the list of crates; nil
// when there is none, or the file is no program.
func crates(from io.ReaderAt, size int64) (section io.Reader, bytes int64) {
	var magic [4]byte
	if _, err := from.ReadAt(magic[:], 0); err != nil {
		return nil, 0
	}
	switch string(magic[:]) {
	case elf.ELFMAG:
		f, err := elf.NewFile(from)
		if err != nil {
			return nil, 0
		}
		for _, name := range []string{".dep-v0", ".rust-deps-v0"} {
			// A section that is packed again is none of Cargo's.
			if s := f.Section(name); s != nil && s.Flags&elf.SHF_COMPRESSED == 0 && s.Type != elf.SHT_NOBITS {
				return part(from, int64(s.Offset), int64(s.FileSize)) //nolint:gosec // a negative one is none
			}
		}
	case "\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe":
		f, err := macho.NewFile(from)
		if err != nil {
			return nil, 0
		}
		for _, name := range []string{".dep-v0", "rust-deps-v0"} {
			if s := f.Section(name); s != nil {
				return part(from, int64(s.Offset), int64(s.Size)) //nolint:gosec // a negative one is none
			}
		}
	case "\x00asm":
		return wasmCrates(from, size)
	}
	if magic[0] == 'M' && magic[1] == 'Z' {
		f, err := pe.NewFile(from)
		if err != nil {
			return nil, 0
		}
		for _, name := range []string{".dep-v0", "rdep-v0"} {
			if s := f.Section(name); s != nil {
				return part(from, int64(s.Offset), int64(s.Size))
			}
		}
	}
	return nil, 0
}

func part(from io.ReaderAt, at, size int64) (io.Reader, int64) {
	if at < 0 || size < 0 {
		return nil, 0
	}
	return io.NewSectionReader(from, at, size), size
}

// wasmCrates looks through the sections of WebAssembly: an id, a size, and of those
// with the id 0 a name.
func wasmCrates(from io.ReaderAt, size int64) (io.Reader, int64) {
	const name = "\x07.dep-v0"
	for at := int64(8); at < size; {
		var head [16]byte
		n, _ := from.ReadAt(head[:], at)
		if n < 2 {
			return nil, 0
		}
		length, width := binary.Uvarint(head[1:n])
		if width <= 0 || length > uint64(size) {
			return nil, 0
		}
		if rest := head[1+width : n]; head[0] == 0 && bytes.HasPrefix(rest, []byte(name)) && length >= uint64(len(name)) {
			return part(from, at+1+int64(width)+int64(len(name)), int64(length)-int64(len(name)))
		}
		at += 1 + int64(width) + int64(length)
	}
	return nil, 0
}
