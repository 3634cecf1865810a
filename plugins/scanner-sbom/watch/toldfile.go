package watch

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// toldMagic has the version of a file's form: then comes the CRC-32C of the rest.
const toldMagic = "ironpost told 2\n"

// newSuffix is that of a file that is being written.
const newSuffix = ".new"

// Bounds of a file: its bytes, and those of what packages are called.
const (
	maxFile = 256 << 20
	maxRefs = 512 << 20
)

// toldFile is the content of the file of a target.
type toldFile struct {
	target   string
	packages []record
	alerts   []key
	// memory is the Looker's; refs are what the packages are called, "" where that is not
	// known. Both are only read when they are asked for.
	memory []byte
	refs   []string
}

func (f *toldFile) said() *said {
	s := &said{packages: f.packages, memory: sha256.Sum256(f.memory)}
	s.take(f.alerts)
	return s
}

// pathOf is where the file of a target is.
func (t *told) pathOf(target string) string {
	return filepath.Join(t.dir, keyOf(target).text())
}

// read reads the file of a target, nil when there is none, or one that cannot be read.
func (t *told) read(target string) *toldFile {
	f, err := readFile(t.pathOf(target), true)
	if err != nil || f.target != target {
		return nil
	}
	return f
}

// readFile reads a file; whole says with what packages are called.
func readFile(path string, whole bool) (*toldFile, error) {
	in, err := os.Open(path) //nolint:gosec // a file of the plugin's own
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }() // it was read only
	data, err := io.ReadAll(io.LimitReader(in, maxFile))
	if err != nil {
		return nil, err
	}
	f, err := decodeFile(data, whole)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return f, nil
}

var errDamaged = errors.New("it is damaged")

func sumOf(data []byte) uint32 { return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) }

func decodeFile(data []byte, whole bool) (*toldFile, error) {
	rest, ok := bytes.CutPrefix(data, []byte(toldMagic))
	if !ok || len(rest) < 4 || binary.LittleEndian.Uint32(rest) != sumOf(rest[4:]) {
		return nil, errDamaged
	}
	rest = rest[4:]
	// take cuts n pieces of some bytes, whose number comes before them.
	take := func(each int) (part []byte, n int) {
		count, m := binary.Uvarint(rest)
		if m <= 0 || count > uint64((len(rest)-m)/each) {
			ok = false
			return nil, 0
		}
		n = int(count) //nolint:gosec // there are as many bytes
		part, rest = rest[m:m+n*each], rest[m+n*each:]
		return part, n
	}
	f := &toldFile{}
	name, _ := take(1)
	packages, n := take(len(key{}) + 8)
	alerts, m := take(len(key{}))
	memory, _ := take(1)
	refs, _ := take(1)
	if !ok || len(rest) > 0 {
		return nil, errDamaged
	}
	f.target = string(name)
	f.packages = make([]record, n)
	for i := range f.packages {
		p := &f.packages[i]
		p.key, packages = key(packages), packages[len(key{}):]
		p.sum, packages = binary.LittleEndian.Uint64(packages), packages[8:]
		if i > 0 && f.packages[i-1].compare(*p) >= 0 {
			return nil, errDamaged
		}
	}
	f.alerts = make([]key, m)
	for i := range f.alerts {
		f.alerts[i], alerts = key(alerts), alerts[len(key{}):]
	}
	f.memory = bytes.Clone(memory)
	if whole {
		f.refs = unpackRefs(refs, n)
	}
	return f, nil
}

// unpackRefs reads what n packages are called, nil when that makes no sense.
func unpackRefs(data []byte, n int) []string {
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), maxRefs))
	if err != nil {
		return nil
	}
	out := make([]string, n)
	for i := range out {
		length, m := binary.Uvarint(text)
		if m <= 0 || length > uint64(len(text)-m) {
			return nil
		}
		end := m + int(length) //nolint:gosec // there are as many bytes
		out[i], text = string(text[m:end]), text[end:]
	}
	return out
}

func (f *toldFile) encode() ([]byte, error) {
	var refs bytes.Buffer
	w, err := flate.NewWriter(&refs, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	var room []byte
	for _, ref := range f.refs {
		room = append(binary.AppendUvarint(room[:0], uint64(len(ref))), ref...)
		if _, err := w.Write(room); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	out := append([]byte(toldMagic), 0, 0, 0, 0)
	out = binary.AppendUvarint(out, uint64(len(f.target)))
	out = append(out, f.target...)
	out = binary.AppendUvarint(out, uint64(len(f.packages)))
	for _, p := range f.packages {
		out = append(out, p.key[:]...)
		out = binary.LittleEndian.AppendUint64(out, p.sum)
	}
	out = binary.AppendUvarint(out, uint64(len(f.alerts)))
	for _, k := range f.alerts {
		out = append(out, k[:]...)
	}
	for _, part := range [][]byte{f.memory, refs.Bytes()} {
		out = binary.AppendUvarint(out, uint64(len(part)))
		out = append(out, part...)
	}
	binary.LittleEndian.PutUint32(out[len(toldMagic):], sumOf(out[len(toldMagic)+4:]))
	return out, nil
}

// unsaved are the targets whose files are to be written, and those whose are to be removed.
func (t *told) unsaved() (changed, gone []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, s := range t.targets {
		if s.dirty {
			changed = append(changed, id)
		}
	}
	return changed, sortedKeys(t.gone)
}

// encode returns the content of a target's file. refs are what its packages are called, as
// far as that is known, and memory is the Looker's, nil is the one of before; else they are those of
// the file that there is. nil is that there is nothing to write.
func (t *told) encode(target string, refs map[key]string, memory []byte) ([]byte, error) {
	t.mu.Lock()
	s := t.targets[target]
	if s == nil {
		t.mu.Unlock()
		return nil, nil
	}
	// The slice is not changed but for sums that become stale, which may be either.
	f := &toldFile{target: target, packages: append([]record(nil), s.packages...), alerts: s.ordered(), memory: memory}
	s.dirty = false
	if memory != nil {
		s.memory = sha256.Sum256(memory)
	}
	t.mu.Unlock()
	f.refs = make([]string, len(f.packages))
	known := 0
	for i, p := range f.packages {
		if f.refs[i] = refs[p.key]; f.refs[i] != "" {
			known++
		}
	}
	if known < len(f.packages) || memory == nil {
		if old := t.read(target); old != nil {
			if memory == nil {
				f.memory = old.memory
			}
			former := old.names()
			for i, p := range f.packages {
				if f.refs[i] == "" {
					f.refs[i] = former[p.key]
				}
			}
		}
	}
	return f.encode()
}

// memory is the Looker's of a target, as its file has it.
func (t *told) memory(target string) []byte {
	f := t.read(target)
	if f == nil || len(f.memory) == 0 {
		return nil
	}
	return f.memory
}

// refs are what packages of a target are called, as its file has it.
func (t *told) refs(target string) map[key]string {
	f := t.read(target)
	if f == nil {
		return map[key]string{}
	}
	return f.names()
}

// names are what the packages of a file are called.
func (f *toldFile) names() map[key]string {
	out := make(map[key]string, len(f.refs))
	for i, ref := range f.refs {
		out[f.packages[i].key] = ref
	}
	return out
}

// remember has the file be written unless it has this memory of the Looker's.
func (t *told) remember(target string, memory []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.of(target); s.memory != sha256.Sum256(memory) {
		s.dirty = true
	}
}

// write writes the file of a target beside the one that there is, and renames it.
func (t *told) write(target string, data []byte) (err error) {
	defer func() {
		if err != nil {
			t.mu.Lock()
			defer t.mu.Unlock()
			if s := t.targets[target]; s != nil {
				s.dirty = true
			}
		}
	}()
	if err := os.MkdirAll(t.dir, 0o700); err != nil {
		return err
	}
	path := t.pathOf(target)
	if err := os.WriteFile(path+newSuffix, data, 0o600); err != nil { // one process has the folder
		return errors.Join(err, os.Remove(path+newSuffix))
	}
	return os.Rename(path+newSuffix, path)
}

// unlink removes the file of a target that is gone, unless it came back.
func (t *told) unlink(target string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.gone[target] {
		return nil
	}
	if err := os.Remove(t.pathOf(target)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	delete(t.gone, target)
	return nil
}
