package vulndb

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Name is a package, its ecosystem without release, its name in normal form.
type Name struct {
	Ecosystem string `json:"ecosystem"`
	Name      string `json:"name"`
}

// Diff returns the packages about which two databases do not say the same, in the
// order of the index. It reads what differs, and the checksums of the rest; before may be nil.
// Only findings about these packages can have changed.
func Diff(before, after *DB) ([]Name, error) {
	var out []Name
	note := func(db *DB, n int) error {
		g, err := db.group(n)
		if err != nil {
			return fmt.Errorf("compare databases: %w", err)
		}
		name := Name{g.text(), g.text()}
		if len(out) == 0 || out[len(out)-1] != name {
			out = append(out, name)
		}
		return nil
	}
	i, j := 0, 0
	for {
		var err error
		switch {
		case j == len(after.keys) && (before == nil || i == len(before.keys)):
			return out, nil
		case before == nil || i == len(before.keys) || j < len(after.keys) && after.keys[j] < before.keys[i]:
			err = note(after, j)
			j++
		case j == len(after.keys) || before.keys[i] < after.keys[j]:
			err = note(before, i)
			i++
		default:
			// One hash may be of several packages: all that have it are compared together.
			key := after.keys[j]
			i0, j0 := i, j
			for i < len(before.keys) && before.keys[i] == key {
				i++
			}
			for j < len(after.keys) && after.keys[j] == key {
				j++
			}
			var same bool
			if same, err = equal(before, i0, i, after, j0, j); err != nil || same {
				break
			}
			for n := i0; n < i && err == nil; n++ {
				err = note(before, n)
			}
			for n := j0; n < j && err == nil; n++ {
				err = note(after, n)
			}
		}
		if err != nil {
			return nil, err
		}
	}
}

// equal compares runs of groups by their content; sources may have other numbers.
func equal(before *DB, i, iend int, after *DB, j, jend int) (bool, error) {
	if iend-i != jend-j {
		return false, nil
	}
	for ; i < iend; i, j = i+1, j+1 {
		a, err := before.digest(i)
		if err != nil {
			return false, err
		}
		b, err := after.digest(j)
		if err != nil {
			return false, err
		}
		if !bytes.Equal(a, b) {
			return false, nil
		}
	}
	return true, nil
}

// digest is what tells a group from another: its name and the hashes of its records.
func (db *DB) digest(n int) ([]byte, error) {
	g, err := db.group(n)
	if err != nil {
		return nil, fmt.Errorf("compare databases: %w", err)
	}
	out := append([]byte(g.text()+"\n"), g.text()+"\n"...)
	entries, err := db.entries(&g, &Room{})
	if err != nil {
		return nil, fmt.Errorf("compare databases: %w", err)
	}
	for _, e := range entries {
		out = binary.LittleEndian.AppendUint64(append(out, e.ID...), e.Head().Hash)
	}
	return out, nil
}
