package silence

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/expiry"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// The bounds of silences.
const (
	// MaxActive is how many hold at a time.
	MaxActive = 1000
	// MinTTL and MaxTTL are how long one can hold.
	MinTTL = time.Minute
	MaxTTL = 30 * 24 * time.Hour
	// MaxReason bounds the reason, in bytes.
	MaxReason = 1024

	// keepEnded and maxEnded bound what is kept of those that ended.
	keepEnded = 90 * 24 * time.Hour
	maxEnded  = 1000
	// minID is how much of an id has to be given.
	minID = 4
	// countInterval is how long counts may be in memory alone.
	countInterval = 10 * time.Second
	// idle is how long Run sleeps when no silence holds.
	idle    = time.Hour
	tickKey = "tick"
)

// Config is what a Book needs.
type Config struct {
	Logger hclog.Logger // nil logs nothing
	Store  *state.Store
	// Clock is expiry.SystemClock's when its functions are nil.
	Clock expiry.Clock
}

// entry is a silence as it is stored.
type entry struct {
	conditions
	Reason    string       `json:"reason"`
	By        string       `json:"by"`
	Created   time.Time    `json:"created"`
	Stamp     expiry.Stamp `json:"stamp"`
	Ended     time.Time    `json:"ended"`
	RemovedBy string       `json:"removed_by,omitempty"`
	Removed   bool         `json:"removed,omitempty"`
	Held      uint64       `json:"held"`
	LastHeld  time.Time    `json:"last_held"`

	id    string
	dirty bool // its counts are not on the disk
}

// Book holds the silences.
type Book struct {
	log   hclog.Logger
	clock expiry.Clock
	table *state.Table[entry]
	notes *expiry.Notes
	wake  chan struct{}

	mu     sync.Mutex
	active []*entry // in the order in which they were made
	ended  map[string]*entry
	held   uint64 // since the start
	// written is when counts were written last, by the time since boot.
	written time.Duration
}

// New loads the silences of an earlier life of the host. It begins nothing.
func New(c Config) (*Book, error) {
	b := &Book{log: c.Logger, clock: c.Clock, wake: make(chan struct{}, 1), ended: make(map[string]*entry)}
	if b.log == nil {
		b.log = hclog.NewNullLogger()
	}
	var err error
	if b.clock.Wall == nil || b.clock.Boot == nil {
		if b.clock, err = expiry.SystemClock(); err != nil {
			return nil, err
		}
	}
	if b.table, err = state.NewTable[entry](c.Store, "silences"); err != nil {
		return nil, fmt.Errorf("open the silences: %w", err)
	}
	ticks, err := state.NewTable[expiry.Tick](c.Store, "silences-clock")
	if err != nil {
		return nil, fmt.Errorf("open the silences: %w", err)
	}
	b.notes = expiry.NewNotes(b.clock, func(t expiry.Tick) error { return ticks.Put(tickKey, t) })
	last, _, err := ticks.Get(tickKey)
	if err != nil {
		b.log.Warn("the clocks of the last life are not known", "error", err)
	}
	return b, b.load(last)
}

// load reads what was kept and carries it into this boot. A silence that cannot be read
// holds nothing back.
func (b *Book) load(last expiry.Tick) error {
	all, err := b.table.All()
	if err != nil {
		b.log.Error("some silences cannot be read and hold nothing back", "error", err)
	}
	moved := make(map[string]entry)
	for id, e := range all {
		e.id = id
		if !e.Ended.IsZero() {
			b.ended[id] = &e
			continue
		}
		if err := e.check(); err != nil || e.Stamp.TTL <= 0 {
			b.log.Error("a silence cannot be read and holds nothing back", "silence", id, "error", err)
			continue
		}
		if s := b.clock.Rebase(e.Stamp, last); s != e.Stamp {
			e.Stamp = s
			moved[id] = e
		}
		b.active = append(b.active, &e)
	}
	slices.SortFunc(b.active, func(x, y *entry) int {
		return cmp.Or(x.Created.Compare(y.Created), strings.Compare(x.id, y.id))
	})
	if len(moved) > 0 {
		if err := b.table.PutAll(moved); err != nil {
			return fmt.Errorf("carry silences into this boot: %w", err)
		}
	}
	return b.notes.Note(false)
}

// Run ends silences and writes counts until ctx is done, and once more then. It sleeps
// while there is nothing.
func (b *Book) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		timer := time.NewTimer(b.tend(false))
		select {
		case <-timer.C:
		case <-b.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	b.tend(true)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.notes.Note(true); err != nil {
		b.log.Error("cannot note the clocks", "error", err)
	}
	return nil
}

// tend does what is due, all of it when it is the last time, and returns how long
// nothing else will be.
func (b *Book) tend(last bool) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire()
	wait := idle
	if since := b.clock.Boot() - b.written; last || b.written == 0 || since >= countInterval {
		b.write()
	} else if b.dirty() {
		wait = countInterval - since
	}
	b.forget()
	if len(b.active) == 0 {
		return wait
	}
	if err := b.notes.Fresh(); err != nil {
		b.log.Error("cannot note the clocks", "error", err)
	}
	wait = min(wait, b.notes.Due())
	for _, e := range b.active {
		wait = min(wait, b.clock.Remaining(e.Stamp))
	}
	return max(wait, time.Millisecond)
}

// dirty reports whether something is not on the disk; b.mu is held.
func (b *Book) dirty() bool {
	return slices.ContainsFunc(b.all(), func(e *entry) bool { return e.dirty })
}

func (b *Book) nudge() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// expire ends what is over; b.mu is held.
func (b *Book) expire() {
	b.active = slices.DeleteFunc(b.active, func(e *entry) bool {
		if b.clock.Remaining(e.Stamp) > 0 {
			return false
		}
		e.Ended, e.dirty = b.now(), true
		b.ended[e.id] = e
		b.log.Info("a silence has ended", "silence", e.id, "held", e.Held)
		return true
	})
}

// write stores what changed; b.mu is held. What cannot be written is tried again.
func (b *Book) write() {
	docs := make(map[string]entry)
	for _, e := range b.all() {
		if e.dirty {
			docs[e.id] = *e
		}
	}
	if len(docs) == 0 {
		return
	}
	b.written = b.clock.Boot()
	if err := b.table.PutAll(docs); err != nil {
		b.log.Error("what silences held back is not saved, trying again", "error", err)
		return
	}
	for id := range docs {
		b.find(id).dirty = false
	}
}

// forget deletes those that ended long ago; b.mu is held.
func (b *Book) forget() {
	old := slices.SortedFunc(maps.Values(b.ended), func(x, y *entry) int { return y.Ended.Compare(x.Ended) })
	var keys []string
	for i, e := range old {
		if i >= maxEnded || b.clock.Wall().Sub(e.Ended) > keepEnded {
			keys = append(keys, e.id)
		}
	}
	if len(keys) == 0 {
		return
	}
	if err := b.table.Delete(keys...); err != nil {
		b.log.Error("old silences are not forgotten, trying again", "error", err)
		return
	}
	for _, id := range keys {
		delete(b.ended, id)
	}
}

// all returns every silence; b.mu is held.
func (b *Book) all() []*entry { return slices.AppendSeq(slices.Clone(b.active), maps.Values(b.ended)) }

// find returns a silence by its id; b.mu is held.
func (b *Book) find(id string) *entry {
	if e := b.ended[id]; e != nil {
		return e
	}
	if i := slices.IndexFunc(b.active, func(e *entry) bool { return e.id == id }); i >= 0 {
		return b.active[i]
	}
	return nil
}

// now is the time by the wall clock, without its monotonic reading.
func (b *Book) now() time.Time { return b.clock.Wall().Round(0).UTC() }

// Hold returns the id of the silence that holds an alert back, the oldest of several, and
// counts it; "" when none does. Call it once for each alert.
func (b *Book) Hold(a *pb.AlertEvent) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.active {
		if !e.match(a) || b.clock.Remaining(e.Stamp) <= 0 {
			continue
		}
		e.Held++
		e.LastHeld = b.now()
		b.held++
		if !e.dirty {
			e.dirty = true
			b.nudge()
		}
		return e.id
	}
	return ""
}

// Counts returns how many silences hold, and how many alerts were held back since the
// host started.
func (b *Book) Counts() (active int, held uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire()
	return len(b.active), b.held
}

// Add makes a silence in the name of by. Its errors wrap control.ErrInvalid, or
// control.ErrConflict when there are too many.
func (b *Book) Add(_ context.Context, r *pb.SilenceRequest, by string) (*pb.Silence, error) {
	c, err := conditionsOf(r)
	if err != nil {
		return nil, err
	}
	ttl := time.Duration(r.GetTtlSeconds() * float64(time.Second))
	switch {
	case !(r.GetTtlSeconds() >= MinTTL.Seconds() && r.GetTtlSeconds() <= MaxTTL.Seconds()): // also what is no number
		return nil, fmt.Errorf("%w: a silence for %.0f seconds; allowed are 60 (1m) to 2592000 (30d)", control.ErrInvalid, r.GetTtlSeconds())
	case strings.TrimSpace(r.GetReason()) == "":
		return nil, fmt.Errorf("%w: the reason is missing; those who find the silence need it", control.ErrInvalid)
	case len(r.GetReason()) > MaxReason:
		return nil, fmt.Errorf("%w: the reason has %d bytes, at most %d are allowed", control.ErrInvalid, len(r.GetReason()), MaxReason)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire()
	if len(b.active) >= MaxActive {
		return nil, fmt.Errorf("%w: %d silences hold, and no more can; see: ironpost alerts silence list", control.ErrConflict, len(b.active))
	}
	if err := b.notes.Fresh(); err != nil {
		return nil, err
	}
	var raw [6]byte
	_, _ = rand.Read(raw[:]) // it does not err
	e := &entry{conditions: c, Reason: r.GetReason(), By: by, Created: b.now(), Stamp: b.clock.Stamp(ttl), id: hex.EncodeToString(raw[:])}
	if err := b.table.Put(e.id, *e); err != nil {
		return nil, err
	}
	b.active = append(b.active, e)
	b.nudge()
	return e.message(), nil
}

// Remove ends a silence in the name of by. Its id may be the beginning of one.
func (b *Book) Remove(_ context.Context, id, by string) (*pb.Silence, error) {
	if len(id) < minID {
		return nil, fmt.Errorf("%w: the id %q is shorter than %d characters", control.ErrInvalid, id, minID)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire()
	var found *entry
	for _, e := range b.active {
		if !strings.HasPrefix(e.id, id) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("silence %s: %w: more than one id begins like this; give more characters", id, control.ErrConflict)
		}
		found = e
	}
	if found == nil {
		if slices.ContainsFunc(slices.Collect(maps.Keys(b.ended)), func(other string) bool { return strings.HasPrefix(other, id) }) {
			return nil, fmt.Errorf("silence %s: %w: it has ended; see: ironpost alerts silence list --all", id, control.ErrNotFound)
		}
		return nil, fmt.Errorf("silence %s: %w; see: ironpost alerts silence list", id, control.ErrNotFound)
	}
	gone := *found
	gone.Ended, gone.Removed, gone.RemovedBy, gone.dirty = b.now(), true, by, false
	if err := b.table.Put(gone.id, gone); err != nil {
		return nil, err
	}
	*found = gone
	b.active = slices.DeleteFunc(b.active, func(e *entry) bool { return e == found })
	b.ended[found.id] = found
	return found.message(), nil
}
