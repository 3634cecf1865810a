package host

import (
	"fmt"
	"testing"
	"time"

	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// openBook opens the journal of inventory in dir.
func openBook(t *testing.T, dir string) *inventoryBook {
	t.Helper()
	b := newInventoryBook()
	var err error
	if b.journal, err = state.OpenJournal(dir, inventoryBytes, b.visit); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.journal.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func aPackage(target, name string, at time.Duration) *pb.InventoryEvent {
	purl := "pkg:generic/" + name
	return &pb.InventoryEvent{Id: event.InventoryID(target, purl), Target: target, Purl: purl, Name: name, Time: uint64(time.Hour + at)}
}

func TestInventoryIsWrittenWhenItSaysSomethingNew(t *testing.T) {
	inUse := func(e *pb.InventoryEvent) *pb.InventoryEvent { e.InUse = true; return e }
	removed := func(e *pb.InventoryEvent) *pb.InventoryEvent { e.Removed = true; return e }
	gone := func(target string) *pb.InventoryEvent {
		return &pb.InventoryEvent{Id: event.InventoryID(target, ""), Target: target, Removed: true}
	}
	dir := t.TempDir()
	b := openBook(t, dir)
	index := uint64(0)
	for i, step := range []struct {
		what    string
		e       *pb.InventoryEvent
		written bool
	}{
		{"a package", aPackage("host", "a", 0), true},
		{"the same", aPackage("host", "a", 0), false},
		{"the same, seen later", aPackage("host", "a", 23*time.Hour), false},
		{"another target", aPackage("container:1", "a", 0), true},
		{"another package there", aPackage("container:1", "b", 0), true},
		{"it is in use", inUse(aPackage("host", "a", 0)), true},
		{"still", inUse(aPackage("host", "a", 1)), false},
		{"no more", aPackage("host", "a", 0), true},
		{"it is gone", removed(aPackage("host", "a", 0)), true},
		{"still gone", removed(aPackage("host", "a", 0)), false},
		{"it is back", aPackage("host", "a", 0), true},
		{"the container is gone", gone("container:1"), true},
		{"still gone", gone("container:1"), false},
		{"what was in it is back", aPackage("container:1", "b", 0), true},
		{"and gone again", gone("container:1"), true},
		{"the host is not", aPackage("host", "a", 0), false},
		{"the same, a day later", aPackage("host", "a", 24*time.Hour), true},
	} {
		if i == 10 { // the host starts anew: it knows what it knew
			if err := b.journal.Close(); err != nil {
				t.Fatal(err)
			}
			b = openBook(t, dir)
		}
		got, err := b.Record(step.e)
		if err != nil {
			t.Fatal(err)
		}
		if written := got > index; written != step.written {
			t.Errorf("%d, %s: written %v, want %v", i, step.what, written, step.written)
		}
		index = max(index, got)
	}
	if next := b.journal.Next(); next != index+1 {
		t.Errorf("the journal goes on at %d, want %d", next, index+1)
	}
}

// TestInventoryThatIsNotKeptIsWrittenAgain is for sinks that come later.
func TestInventoryThatIsNotKeptIsWrittenAgain(t *testing.T) {
	b := openBook(t, t.TempDir())
	first, err := b.Record(aPackage("host", "first", 0))
	if err != nil {
		t.Fatal(err)
	}
	last := first
	for i := 0; b.journal.First() <= first; i++ {
		e := aPackage("host", fmt.Sprintf("p%d", i), 0)
		e.Locations = []string{string(make([]byte, 256<<10))}
		if last, err = b.Record(e); err != nil {
			t.Fatal(err)
		}
		if err := b.journal.Wait(t.Context(), last); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := b.Record(aPackage("host", "first", 0)); err != nil || again <= last {
		t.Errorf("got index %d and %v, want one behind %d", again, err, last)
	}
}

func FuzzInventoryBook(f *testing.F) {
	b := newInventoryBook()
	f.Add([]byte{})
	f.Add([]byte{0x12, 0x01, 'x', 0x22, 0x04, 'h', 'o', 's', 't', 0x80, 0x01, 0x01})
	f.Add([]byte{0x12, 0xff})
	f.Fuzz(func(_ *testing.T, data []byte) { b.visit(state.Entry{Index: 1, Data: data}) })
}
