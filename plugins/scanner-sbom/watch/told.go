package watch

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// told remembers what was said of each target, in a file for each, so that a change of one
// target writes the file of that one alone. It is safe for concurrent use; of one target
// one goroutine at a time may have a page.
//
// In memory a package is 24 bytes: the id of what is said of it, which is the first 128 bits
// of a SHA-256, and 64 bits of another of what was said last. Two packages of a target
// with one id would take each other's place; whoever writes a container's packages would
// need 2^64 trials for such a pair, and 2^64 more for each change that goes unsaid, until it is said
// again a day later. What a package is called is in the file alone.
type told struct {
	dir string
	log hclog.Logger

	mu      sync.Mutex
	targets map[string]*said
	// gone are targets whose files are to be removed.
	gone map[string]bool
	// packages is of all targets; forgotten counts what had to be dropped, packages and
	// alerts.
	packages  int
	forgotten uint64
}

// key is a hash of 128 bits.
type key [16]byte

// text is the key as the ids of events have it.
func (k key) text() string { return hex.EncodeToString(k[:]) }

// keyOf is that of some texts: the first half of a SHA-256 of them, each with a 0 at its
// end.
func keyOf(parts ...string) key {
	h := sha256.New()
	for _, p := range parts {
		_, _ = h.Write([]byte(p)) // a hash takes everything
		_, _ = h.Write([]byte{0})
	}
	return key(h.Sum(nil)[:16])
}

// packageKey is that of a package of a target: the number of event.InventoryID.
func packageKey(target, ref string) key {
	sum := sha256.Sum256([]byte(target + "\x00" + ref))
	return key(sum[:16])
}

// said is what was said of one target.
type said struct {
	// packages are in the order of their keys.
	packages []record
	// alerts are the things that alerts were about, with the place of each in their order.
	alerts map[key]uint32
	next   uint32
	dirty  bool
	// memory is a sum of what the file has of the Looker's.
	memory [sha256.Size]byte
}

// record is a package, and a sum of what was said last of it.
type record struct {
	key key
	sum uint64
}

func (r record) compare(o record) int { return bytes.Compare(r.key[:], o.key[:]) }

// bounds are those of what is remembered. Who comes to them is told again what was forgotten.
type bounds struct {
	targets, packages, alerts int
}

// limits are 192 MiB of packages, and about 5 MiB of alerts of one target.
func limits() bounds { return bounds{targets: 4096, packages: 8 << 20, alerts: 100_000} }

// openTold reads what was said before from a folder. Of a file that is damaged everything is
// told anew, which is logged.
func openTold(dir string, log hclog.Logger) *told {
	t := &told{dir: filepath.Join(dir, "told"), log: log, targets: map[string]*said{}, gone: map[string]bool{}}
	entries, err := os.ReadDir(t.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("what was told before is not known, so that it is told again", "error", err)
	}
	for _, e := range entries {
		path := filepath.Join(t.dir, e.Name())
		if strings.HasSuffix(e.Name(), newSuffix) {
			_ = os.Remove(path) // it was not finished
			continue
		}
		f, err := readFile(path, false)
		if err == nil && t.pathOf(f.target) != path {
			err = fmt.Errorf("read %s: %w", path, errDamaged)
		}
		if err != nil {
			log.Warn("what was told of a target before is not known, so that it is told again", "error", err)
			continue
		}
		if t.packages+len(f.packages) > limits().packages || len(t.targets) >= limits().targets {
			t.forgotten += uint64(len(f.packages))
			t.gone[f.target] = true
			continue
		}
		t.packages += len(f.packages)
		t.targets[f.target] = f.said()
	}
	t.migrate(filepath.Join(dir, formerFile))
	return t
}

// of returns what was said of a target; t.mu is held.
func (t *told) of(target string) *said {
	s := t.targets[target]
	if s == nil {
		if len(t.targets) >= limits().targets {
			for id := range t.targets { // any: those that come by turns would push out each other
				t.drop(id)
				break
			}
		}
		s = &said{alerts: map[key]uint32{}}
		t.targets[target] = s
		delete(t.gone, target)
	}
	return s
}

// drop forgets a target for which there is no room; t.mu is held.
func (t *told) drop(target string) {
	s := t.targets[target]
	t.forgotten += uint64(len(s.packages))
	t.packages -= len(s.packages)
	delete(t.targets, target)
	t.gone[target] = true
}

// lost is how much had to be forgotten.
func (t *told) lost() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.forgotten
}

// names returns the targets of which something was said.
func (t *told) names() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return sortedKeys(t.targets)
}

// any says whether packages of a target were recorded.
func (t *told) any(target string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.targets[target]
	return s != nil && len(s.packages) > 0
}

// fresh says whether an alert about a thing has not been raised.
func (t *told) fresh(target, rule, subject, thing string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.targets[target]
	if s == nil {
		return true
	}
	_, ok := s.alerts[keyOf(rule, subject, thing)]
	return !ok
}

// raised notes that an alert about a thing was raised.
func (t *told) raised(target, rule, subject, thing string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.of(target)
	if most := limits().alerts; len(s.alerts) >= most {
		half := s.ordered()[len(s.alerts)/2:] // the older ones go
		t.forgotten += uint64(len(s.alerts) - len(half))
		s.take(half)
	}
	s.alerts[keyOf(rule, subject, thing)] = s.next
	s.next++
	s.dirty = true
}

// ordered are the alerts, the oldest first.
func (s *said) ordered() []key {
	out := make([]key, 0, len(s.alerts))
	for k := range s.alerts {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b key) int { return cmp.Compare(s.alerts[a], s.alerts[b]) })
	return out
}

// take has the alerts be these.
func (s *said) take(list []key) {
	s.alerts, s.next = make(map[key]uint32, len(list)), 0
	for _, k := range list {
		s.alerts[k] = s.next
		s.next++
	}
}

// forget drops a target that is gone.
func (t *told) forget(target string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.targets[target]; s != nil {
		t.packages -= len(s.packages)
		delete(t.targets, target)
		t.gone[target] = true
	}
}

// stale has everything recorded again: a sink may have lost what it had.
func (t *told) stale() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.targets {
		s.packages = slices.Clone(s.packages) // pages have those of before
		for i := range s.packages {
			s.packages[i].sum = 0
		}
	}
}

// page is what was recorded of a target, to which more is added. It is closed to count.
type page struct {
	told   *told
	target string
	before []record
	now    map[key]uint64
	away   map[key]bool
}

// page opens that of a target.
func (t *told) page(target string) *page {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &page{told: t, target: target}
	if s := t.targets[target]; s != nil {
		p.before = s.packages
	}
	return p
}

// changed says whether what there is to say of a package differs from what was recorded last.
func (p *page) changed(k key, sum uint64) bool {
	i, ok := slices.BinarySearchFunc(p.before, record{key: k}, record.compare)
	return !ok || sum == 0 || p.before[i].sum != sum
}

// recorded notes what was recorded.
func (p *page) recorded(k key, sum uint64) {
	if p.now == nil {
		p.now = map[key]uint64{}
	}
	p.now[k] = sum
}

// removed notes that it was taken back.
func (p *page) removed(k key) {
	if p.away == nil {
		p.away = map[key]bool{}
	}
	p.away[k] = true
}

// missing returns what was recorded and is not among those that are here.
func (p *page) missing(here map[key]string) (out []key) {
	for _, r := range p.before {
		if _, ok := here[r.key]; !ok {
			out = append(out, r.key)
		}
	}
	return out
}

// close adds what was noted to what is remembered.
func (p *page) close() {
	if len(p.now) == 0 && len(p.away) == 0 {
		return
	}
	t := p.told
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.of(p.target)
	next := make([]record, 0, len(p.before)+len(p.now))
	for _, r := range s.packages { // they are those of before, unless they became stale
		if _, again := p.now[r.key]; !again && !p.away[r.key] {
			next = append(next, r)
		}
	}
	kept := len(next)
	for k, sum := range p.now {
		next = append(next, record{k, sum})
	}
	if room := limits().packages - (t.packages - len(s.packages)); len(next) > room {
		most := max(room, kept)
		t.forgotten += uint64(len(next) - most)
		next = next[:most]
	}
	slices.SortFunc(next, record.compare)
	t.packages += len(next) - len(s.packages)
	s.packages, s.dirty = slices.Clip(next), true
}
