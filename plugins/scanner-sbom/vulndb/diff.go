package vulndb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
)

// Name is a package, its ecosystem without release, its name in normal form.
type Name struct {
	Ecosystem string `json:"ecosystem"`
	Name      string `json:"name"`
}

// Diff returns the packages about which two databases do not say the same, each once, in the
// order of the index; then those of which a flaw came into the catalogue of exploited ones, left
// it, or has another entry there. Estimates (EPSS) are not compared: they change every day for
// all. It reads the groups of both, one after another; before may be nil. Only findings about these
// packages can have changed.
func Diff(before, after *DB) ([]Name, error) {
	d := differ{before: groups{db: before}, after: groups{db: after}, seen: map[Name]bool{}}
	if before == nil {
		d.before.db = &DB{}
	}
	n := min(len(d.before.db.sources), len(after.sources))
	d.numbered = slices.Equal(d.before.db.sources[:n], after.sources[:n])
	if err := d.run(); err != nil {
		return nil, fmt.Errorf("compare databases: %w", err)
	}
	if err := d.exploited(); err != nil {
		return nil, fmt.Errorf("compare the catalogues of exploited vulnerabilities: %w", err)
	}
	return d.names, nil
}

// differ is one run of Diff.
type differ struct {
	before, after groups
	// numbered says that sources of both have the same numbers, but for further ones.
	numbered bool
	names    []Name
	seen     map[Name]bool
}

func (d *differ) run() error {
	old, now := d.before.db.keys, d.after.db.keys
	i, j := 0, 0
	for i < len(old) || j < len(now) {
		switch {
		case i == len(old) || j < len(now) && now[j] < old[i]:
			if err := d.note(&d.after, j, j+1); err != nil {
				return err
			}
			j++
		case j == len(now) || old[i] < now[j]:
			if err := d.note(&d.before, i, i+1); err != nil {
				return err
			}
			i++
		default:
			// One hash may be of several packages: all that have it are compared together.
			i0, j0, key := i, j, now[j]
			for i < len(old) && old[i] == key {
				i++
			}
			for j < len(now) && now[j] == key {
				j++
			}
			same, err := d.same(i0, i, j0, j)
			if err != nil {
				return err
			}
			if same {
				continue
			}
			if err := d.note(&d.before, i0, i); err != nil {
				return err
			}
			if err := d.note(&d.after, j0, j); err != nil {
				return err
			}
		}
	}
	return nil
}

// note adds the names of groups.
func (d *differ) note(side *groups, from, to int) error {
	for n := from; n < to; n++ {
		g, err := side.decoder(n)
		if err != nil {
			return err
		}
		d.add(Name{g.text(), g.text()})
	}
	return nil
}

func (d *differ) add(n Name) {
	if !d.seen[n] {
		d.seen[n] = true
		d.names = append(d.names, n)
	}
}

// same compares runs of groups by their content. Most have the same bytes; sources may have other
// numbers.
func (d *differ) same(i, iend, j, jend int) (bool, error) {
	if iend-i != jend-j {
		return false, nil
	}
	for ; i < iend; i, j = i+1, j+1 {
		a, err := d.before.raw(i)
		if err != nil {
			return false, err
		}
		b, err := d.after.raw(j)
		if err != nil {
			return false, err
		}
		if d.numbered && bytes.Equal(a, b) {
			continue
		}
		x, err := d.before.digest(i)
		if err != nil {
			return false, err
		}
		y, err := d.after.digest(j)
		if err != nil {
			return false, err
		}
		if !bytes.Equal(x, y) {
			return false, nil
		}
	}
	return true, nil
}

// exploited adds the packages whose flaws are in one catalogue alone, or are told
// otherwise.
func (d *differ) exploited() error {
	old, now := d.before.db.kev, d.after.db.kev
	changed := map[string]bool{}
	for cve, e := range now {
		if was, ok := old[cve]; !ok || was != e {
			changed[cve] = true
		}
	}
	for cve := range old {
		if _, ok := now[cve]; !ok {
			changed[cve] = true
		}
	}
	for _, cve := range slices.Sorted(maps.Keys(changed)) {
		// Of a record that is not in the new database, the package is known already.
		all, err := d.after.db.called(cve)
		if err != nil {
			return err
		}
		for _, r := range all {
			for i := range r.Affected {
				if p := &r.Affected[i].Package; p.Name != "" {
					base, _ := Split(p.Ecosystem)
					d.add(Name{base, Normal(base, p.Name)})
				}
			}
		}
	}
	return nil
}

// groups reads groups one after another, many at a time.
type groups struct {
	db     *DB
	window []byte
	at     int64 // of the window, in the file
}

// windowBytes is what is read at a time.
const windowBytes = 1 << 20

// raw returns the nth group with its checksum, until the next call. Calls for one that lies
// before the last read anew.
func (g *groups) raw(n int) ([]byte, error) {
	e, err := g.db.extent(n)
	if err != nil {
		return nil, err
	}
	if e.Offset < g.at || e.Offset+e.Length > g.at+int64(len(g.window)) {
		end := g.db.footer.Groups.Offset + g.db.footer.Groups.Length
		window := extent{e.Offset, max(e.Length, min(windowBytes, end-e.Offset))}
		if window.Length > maxGroup {
			return nil, damaged("a group of %d bytes", window.Length)
		}
		g.window = slices.Grow(g.window[:0], int(window.Length))[:window.Length]
		if _, err := g.db.file.ReadAt(g.window, window.Offset); err != nil {
			g.window = g.window[:0]
			return nil, fmt.Errorf("read groups: %w", err)
		}
		g.at = e.Offset
	}
	return g.window[e.Offset-g.at:][:e.Length], nil
}

func (g *groups) decoder(n int) (decoder, error) {
	raw, err := g.raw(n)
	if err != nil {
		return decoder{}, err
	}
	text, err := groupText(raw)
	return decoder{rest: text}, err
}

// digest is what tells a group from another: its name and the hashes of its records.
func (g *groups) digest(n int) ([]byte, error) {
	d, err := g.decoder(n)
	if err != nil {
		return nil, err
	}
	out := append([]byte(d.text()+"\n"), d.text()+"\n"...)
	entries, err := g.db.entries(&d, &Room{})
	if err != nil {
		return nil, err
	}
	for i := range entries {
		head := entries[i].Head()
		out = append(append(append(out, entries[i].ID...), '\n'), head.Source...)
		out = binary.LittleEndian.AppendUint64(append(out, '\n'), head.Hash)
	}
	return out, nil
}

// called returns the whole records that have an id as their own, as an alias, or as what
// they were made from.
func (db *DB) called(id string) ([]*advisory.Record, error) {
	return db.find(id, func(r *advisory.Record) bool {
		return r.ID == id || slices.Contains(r.Aliases, id) || slices.Contains(r.Upstream, id)
	})
}
