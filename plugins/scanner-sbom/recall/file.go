package recall

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/packed"
)

// The file: magic, which has the version of the form; the CRC-32C of all that follows;
// then for each target its key, when it was used, and what is known of it.
const (
	name  = "scans.delta"
	magic = "ironpost scans 1\n"
	// maxFile is more than is ever written.
	maxFile = 2 * (maxBytes + entryBytes*maxEntries)
)

// saved is a target to be written.
type saved struct {
	key    key
	target target
}

// load reads the file; what is missing, damaged or of another version is empty.
func load(dir string) map[key]*target {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return map[key]*target{}
	}
	defer func() { _ = f.Close() }() // it was read only
	info, err := f.Stat()
	if err != nil || info.Size() > maxFile {
		return map[key]*target{}
	}
	var b strings.Builder
	b.Grow(int(info.Size()))
	if _, err := io.Copy(&b, io.LimitReader(f, maxFile)); err != nil {
		return map[key]*target{}
	}
	targets, err := parse(b.String())
	if err != nil {
		return map[key]*target{}
	}
	return targets
}

// parse reads the file's content, and leaves what is known encoded.
func parse(in string) (map[key]*target, error) {
	rest, ok := strings.CutPrefix(in, magic)
	if !ok || len(rest) < 4 {
		return nil, packed.ErrForm
	}
	sum := binary.LittleEndian.Uint32([]byte(rest[:4]))
	r := from(rest[4:])
	if checksum(r.In) != sum {
		return nil, packed.ErrForm
	}
	out := map[key]*target{}
	for range r.Count() {
		name := r.Text()
		t := &target{used: time.Unix(0, r.Signed()), encoded: r.Text()}
		if r.Bad || len(name) != len(key{}) {
			return nil, packed.ErrForm
		}
		out[key([]byte(name))] = t
	}
	if r.Bad || r.In != "" {
		return nil, packed.ErrForm
	}
	return out, nil
}

func checksum(s string) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := uint32(0)
	for len(s) > 0 {
		n := min(len(s), 64<<10)
		sum = crc32.Update(sum, table, []byte(s[:n]))
		s = s[n:]
	}
	return sum
}

// save writes the file beside the one that there is, and renames it. It is not synced:
// after a crash the checksum tells.
func save(dir string, list []saved) (err error) {
	w := writer{packed.Writer{Out: append([]byte(magic), 0, 0, 0, 0)}}
	w.Number(uint64(len(list)))
	for _, s := range list {
		w.Text(string(s.key[:]))
		w.Signed(s.target.used.UnixNano())
		if s.target.known != nil {
			w.Text(encodeKnown(s.target.known))
		} else {
			w.Text(s.target.encoded)
		}
	}
	body := w.Out[len(magic)+4:]
	binary.LittleEndian.PutUint32(w.Out[len(magic):], crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	sweep(dir)
	f, err := os.CreateTemp(dir, name+".new-*") // for its owner alone: it says what folders hold
	if err != nil {
		return err
	}
	_, err = f.Write(w.Out)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// sweep removes what a process that was killed left unfinished.
func sweep(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, name+".new-*")) // only a bad pattern is an error
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(path) // the next one tries again
		}
	}
}
