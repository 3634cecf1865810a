package vulndb

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Confirm notes that sources are now as they were when they were imported: those who keep them
// said so. It copies the database with another footer. A source that the database does not have is an error
// which wraps [fs.ErrNotExist].
func Confirm(ctx context.Context, path string, sources []string, now time.Time) error {
	unlock, err := exclusive(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := Open(path)
	if err != nil {
		return err
	}
	defer old.done()
	f := *old.footer
	f.Meta.Sources = slices.Clone(f.Meta.Sources)
	for _, name := range sources {
		at := slices.IndexFunc(f.Meta.Sources, func(m SourceMeta) bool { return m.Name == name })
		if at < 0 {
			return fmt.Errorf("confirm %s: there is no such source: %w", name, fs.ErrNotExist)
		}
		f.Meta.Sources[at].Imported = now.UTC()
	}
	raw, err := json.Marshal(&f)
	if err != nil {
		return fmt.Errorf("encode the footer: %w", err)
	}
	return replace(path, func(out *os.File) error {
		if _, err := out.ReadFrom(interrupted(ctx, io.NewSectionReader(old.file, 0, old.end))); err != nil {
			return err
		}
		if _, err := out.Write(tail(raw, old.end)); err != nil {
			return err
		}
		return unsign(path)
	})
}

// tail is the footer with what leads to it; it lies at an offset.
func tail(footer []byte, at int64) []byte {
	out := slices.Clip(footer)
	out = binary.LittleEndian.AppendUint64(out, uint64(at))          //nolint:gosec // not negative
	out = binary.LittleEndian.AppendUint32(out, uint32(len(footer))) //nolint:gosec // at most maxFooter
	out = binary.LittleEndian.AppendUint32(out, crc32.Checksum(footer, castagnoli))
	return append(out, trailer...)
}

// Export writes the database as it is, a bundle that others install once it is signed. The error
// wraps [ErrDamaged] when it is not whole; what was written is worth nothing then.
func (db *DB) Export(ctx context.Context, w io.Writer) error {
	if err := db.Check(ctx); err != nil {
		return err
	}
	info, err := db.file.Stat()
	if err != nil {
		return fmt.Errorf("export the vulnerability database: %w", err)
	}
	n, err := io.Copy(w, interrupted(ctx, io.NewSectionReader(db.file, 0, info.Size())))
	if err == nil && n != info.Size() {
		err = errors.New("it was cut meanwhile")
	}
	if err != nil {
		return fmt.Errorf("export the vulnerability database: %w", err)
	}
	return nil
}
