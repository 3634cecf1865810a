package watch

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// The form before this one was one file of all targets, with the CRC-32C of what follows.
const (
	formerFile  = "told.db"
	formerMagic = "ironpost told 1\n"
	maxFormer   = 1 << 30
)

// formerSaid is what that file had of a target, its packages by Ref and its alerts by a key in
// hexadecimal.
type formerSaid struct {
	Inventory map[string]uint64
	Alerts    map[string]struct{}
}

// migrate takes over the file of the form before, and removes it once there are files of this
// one. What cannot be read is told anew.
func (t *told) migrate(path string) {
	former, err := readFormer(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	for target, was := range former {
		if t.targets[target] != nil || was == nil || len(t.targets) >= limits().targets {
			continue
		}
		f := &toldFile{target: target}
		refs := make(map[key]string, len(was.Inventory))
		for ref, sum := range was.Inventory {
			k := packageKey(target, ref)
			refs[k] = ref
			f.packages = append(f.packages, record{k, sum})
		}
		slices.SortFunc(f.packages, record.compare)
		for thing := range was.Alerts {
			if k, err := hex.DecodeString(thing); err == nil && len(k) == len(key{}) {
				f.alerts = append(f.alerts, key(k))
			}
		}
		for _, p := range f.packages {
			f.refs = append(f.refs, refs[p.key])
		}
		data, e := f.encode()
		if e == nil {
			t.targets[target] = f.said()
			t.packages += len(f.packages)
			e = t.write(target, data)
		}
		err = errors.Join(err, e)
	}
	if err != nil {
		t.log.Warn("what was told before is not known whole, so that some is told again", "error", err)
	}
	if err := os.Remove(path); err != nil {
		t.log.Warn("a file that is not needed any more could not be removed", "error", err)
	}
}

func readFormer(path string) (map[string]*formerSaid, error) {
	in, err := os.Open(path) //nolint:gosec // a file of the plugin's own
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }() // it was read only
	data, err := io.ReadAll(io.LimitReader(in, maxFormer))
	if err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(data, []byte(formerMagic))
	if !ok || len(rest) < 4 || binary.LittleEndian.Uint32(rest) != sumOf(rest[4:]) {
		return nil, fmt.Errorf("read %s: %w", path, errDamaged)
	}
	var targets map[string]*formerSaid
	if err := gob.NewDecoder(bytes.NewReader(rest[4:])).Decode(&targets); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return targets, nil
}
