package match

import (
	"github.com/ironpost/ironpost/plugins/scanner-sbom/version"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// verdict is what a range says of a version.
type verdict struct {
	affected bool
	// introduced and until describe the stretch that the version lies in; until is nil when it
	// does not end.
	introduced string
	until      *vulndb.Event
	fixed      []string // versions after it that are right, the nearest first
}

// evaluate applies the algorithm of the OSV schema to one range. The error is of a version
// that cannot be compared.
func evaluate(r *vulndb.Range, ecosystem, own *version.Version) (verdict, error) {
	v := ecosystem
	if r.SemVer {
		v = own
	}
	var last, next *vulndb.Event // before or at the version, and after it
	var later uint64             // the first events that come after it
	limits, below := 0, false
	for i := range r.Events {
		e := &r.Events[i]
		if e.Kind > vulndb.Limit {
			continue
		}
		n, err := against(v, e)
		if err != nil {
			return verdict{}, err
		}
		if n < 0 && i < 64 {
			later |= 1 << i
		}
		if e.Kind == vulndb.Limit {
			limits++
			below = below || n < 0
			continue
		}
		if n > 0 || n == 0 && e.Kind != vulndb.LastAffected {
			newer, err := after(e, last, v)
			if err != nil {
				return verdict{}, err
			}
			if newer {
				last = e
			}
			continue
		}
		if e.Kind == vulndb.Introduced {
			continue
		}
		if next == nil {
			next = e
			continue
		}
		nearer, err := after(next, e, v)
		if err != nil {
			return verdict{}, err
		}
		if nearer {
			next = e
		}
	}
	if last == nil || last.Kind != vulndb.Introduced || limits > 0 && !below {
		return verdict{}, nil
	}
	out := verdict{affected: true, introduced: last.Version, until: next}
	out.fixed = fixes(r, v, later, 64)
	return out, nil
}

var words = [...]string{
	vulndb.Introduced: "introduced", vulndb.Fixed: "fixed", vulndb.LastAffected: "last affected", vulndb.Limit: "limit",
}

// against compares the version with an event's. "0" is before everything.
func against(v *version.Version, e *vulndb.Event) (int, error) {
	switch {
	case e.Kind == vulndb.Introduced && e.Version == "0":
		return 1, nil
	case e.Kind == vulndb.Limit && e.Version == "*":
		return -1, nil
	}
	return v.Compare(e.Version)
}

// after reports whether event a comes after b, which may be nil. At one version the order
// is: introduced, last affected, fixed.
func after(a, b *vulndb.Event, v *version.Version) (bool, error) {
	switch {
	case b == nil:
		return true, nil
	case b.Version == "0" && b.Kind == vulndb.Introduced:
		return true, nil
	case a.Version == "0" && a.Kind == vulndb.Introduced:
		return false, nil
	}
	n, err := v.Scheme().Compare(a.Version, b.Version)
	if err != nil || n != 0 {
		return n > 0, err
	}
	return rank(a.Kind) > rank(b.Kind), nil
}

func rank(k vulndb.EventKind) int {
	switch k {
	case vulndb.Introduced:
		return 0
	case vulndb.LastAffected:
		return 1
	}
	return 2
}

// fixes returns the versions of a range that are right and come after v, in order. later says
// of the first known events, but for patches, whether they do.
func fixes(r *vulndb.Range, v *version.Version, later uint64, known int) []string {
	var out []string
	for i := range r.Events {
		e := &r.Events[i]
		if e.Kind != vulndb.Fixed && e.Kind != vulndb.Patched {
			continue
		}
		if i < known && e.Kind == vulndb.Fixed {
			if later&(1<<i) != 0 {
				out = append(out, e.Version)
			}
		} else if n, err := v.Compare(e.Version); err == nil && n < 0 {
			out = append(out, e.Version)
		}
	}
	if len(out) > 1 {
		sortVersions(out, v.Scheme())
	}
	return out
}
