package symbol

import (
	"bytes"
	"cmp"
	"context"
	"debug/elf"
	"debug/macho"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Limits bound what is read of a program. The zero Limits are good.
type Limits struct {
	// Search is how many bytes are searched for a table that has no section: 256 MiB.
	Search int64
	// Names is how many bytes of names are read: 64 MiB.
	Names int64
}

// Seen is what a program has of one symbol.
type Seen struct {
	// Names are those of the functions, as the program has them, at most 8, sorted.
	Names []string
}

// maxNames bounds the names that are told of one symbol: of a whole package there may
// be thousands.
const maxNames = 8

// Look looks for the symbols of a query in a program, and returns what there is of each, by
// number. The error wraps [ErrNoTable], [ErrOld] or [ErrTooLarge] where that is why nothing can be
// told. It takes some milliseconds for each megabyte of names.
func Look(ctx context.Context, r io.ReaderAt, size int64, q *Query, l Limits) (seen []Seen, err error) {
	defer func() {
		// The readers of the standard library are made for programs that are whole.
		if p := recover(); p != nil {
			seen, err = nil, fmt.Errorf("read the program: %v", p)
		}
	}()
	l.Search, l.Names = cmp.Or(l.Search, 256<<20), cmp.Or(l.Names, 64<<20)
	table, err := locate(ctx, r, size, l)
	if err != nil {
		return nil, err
	}
	if table.length > l.Names {
		return nil, fmt.Errorf("%w: %d bytes of names, at most %d", ErrTooLarge, table.length, l.Names)
	}
	seen = make([]Seen, q.n)
	err = each(ctx, r, table, func(name []byte) {
		text := ""
		q.find(string(name), func(n int) {
			if len(seen[n].Names) == maxNames {
				return
			}
			if text == "" {
				text = string(name)
			}
			seen[n].Names = append(seen[n].Names, text)
		})
	})
	if err != nil {
		return nil, err
	}
	for i := range seen {
		slices.Sort(seen[i].Names)
		seen[i].Names = slices.Compact(seen[i].Names)
	}
	return seen, nil
}

// maxName is the longest name that is looked at; real ones have some hundred bytes, also where
// type arguments have names of their own.
const maxName = 8 << 10

// each calls visit with every name of a table. One that is too long is passed over.
func each(ctx context.Context, r io.ReaderAt, table names, visit func([]byte)) error {
	const piece = 256 << 10
	buf := make([]byte, 0, piece+maxName)
	long := false // a name that is too long has not ended
	for at, end := table.at, table.at+table.length; at < end; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := int(min(piece, end-at))
		left := len(buf)
		buf = buf[:left+n]
		if _, err := r.ReadAt(buf[left:], at); err != nil {
			return fmt.Errorf("read the names of functions: %w", err)
		}
		at += int64(n)
		rest := buf
		for {
			i := bytes.IndexByte(rest, 0)
			if i < 0 {
				break
			}
			if i > 0 && i <= maxName && !long {
				visit(rest[:i])
			}
			long = false
			rest = rest[i+1:]
		}
		if len(rest) > maxName {
			long, rest = true, nil
		}
		buf = append(buf[:0], rest...)
	}
	return nil
}

// locate finds the names of a program.
func locate(ctx context.Context, r io.ReaderAt, size int64, l Limits) (names, error) {
	from, to, err := section(r, size)
	if err != nil {
		return names{}, err
	}
	if from < to {
		head := make([]byte, min(headerSize, size-from))
		if _, err := r.ReadAt(head, from); err != nil {
			return names{}, fmt.Errorf("read the table: %w", err)
		}
		if n, ok, err := parse(head, from, to); ok || err != nil {
			return n, err
		}
	}
	n, err := search(ctx, r, 0, min(size, l.Search), size)
	if errors.Is(err, ErrNoTable) && size > l.Search {
		return n, fmt.Errorf("%w in its first %d bytes", ErrNoTable, l.Search)
	}
	return n, err
}

// section returns where the section of the table is in a file; nothing when there is none.
// An error says that the file is no program.
func section(r io.ReaderAt, size int64) (from, to int64, err error) {
	var magic [4]byte
	if size < int64(len(magic)) {
		return 0, 0, ErrNoTable
	}
	if _, err := r.ReadAt(magic[:], 0); err != nil {
		return 0, 0, fmt.Errorf("read the program: %w", err)
	}
	switch {
	case string(magic[:]) == elf.ELFMAG:
		f, err := elf.NewFile(r)
		if err != nil {
			return 0, 0, nil //nolint:nilerr // its sections are wrong: the table may be right
		}
		for _, s := range f.Sections {
			if s.Name == ".gopclntab" || s.Name == ".data.rel.ro.gopclntab" {
				return within(s.Offset, s.FileSize, size, s.Type != elf.SHT_NOBITS && s.Flags&elf.SHF_COMPRESSED == 0)
			}
		}
	case slices.Contains([]string{"\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe"}, string(magic[:])):
		f, err := macho.NewFile(r)
		if err != nil {
			return 0, 0, nil //nolint:nilerr // as above
		}
		if s := f.Section("__gopclntab"); s != nil {
			return within(uint64(s.Offset), s.Size, size, true)
		}
	case string(magic[:2]) == "MZ":
		// Go gives the table no section there.
	default:
		return 0, 0, fmt.Errorf("%w: neither ELF, Mach-O nor PE", ErrNoTable)
	}
	return 0, 0, nil
}

// within is a section that lies in the file, or nothing.
func within(offset, length uint64, size int64, whole bool) (from, to int64, err error) {
	if !whole || offset >= uint64(size) || length > uint64(size)-offset { //nolint:gosec // a size is not negative
		return 0, 0, nil
	}
	return int64(offset), int64(offset + length), nil //nolint:gosec // both are below size
}
