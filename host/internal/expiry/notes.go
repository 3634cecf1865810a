package expiry

import (
	"fmt"
	"time"
)

// Notes are readings of the clocks, for Rebase in a later boot. They are not safe for
// concurrent use.
type Notes struct {
	clock Clock
	put   func(Tick) error
	last  time.Duration
}

// NewNotes notes a clock by put, which returns when the reading is on the disk. It
// notes nothing yet.
func NewNotes(clock Clock, put func(Tick) error) *Notes { return &Notes{clock: clock, put: put} }

// Note notes the clocks; clean says that the host stops now.
func (n *Notes) Note(clean bool) error {
	now := n.clock.Boot()
	if err := n.put(Tick{BootID: n.clock.BootID, Boot: now, Clean: clean}); err != nil {
		return fmt.Errorf("note the clocks: %w", err)
	}
	n.last = now
	return nil
}

// Fresh makes sure that the clocks were noted not long ago: before something that
// expires is stored.
func (n *Notes) Fresh() error {
	if now := n.clock.Boot(); now-n.last >= TickInterval || now < n.last {
		return n.Note(false)
	}
	return nil
}

// Due returns how long it is until the next note.
func (n *Notes) Due() time.Duration {
	if wait := TickInterval - (n.clock.Boot() - n.last); wait > 0 {
		return wait
	}
	return TickInterval // the note failed; not at once again
}
