package host

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// inventoryBytes is about how much of the journal of inventory is kept.
const inventoryBytes = 64 << 20

// knownPackages is of how many packages it is remembered what was said last. Past it
// all is forgotten, and written again when it is said again.
const knownPackages = 1 << 17

// saidAgain is how long the journal's word counts: what is said again later is written
// again, for a sink that lost what it had.
const saidAgain = 24 * time.Hour

// inventoryBook writes what scanners say of packages to its journal, and leaves out
// what the journal says already: a scanner tells everything anew when it starts.
type inventoryBook struct {
	journal *state.Journal
	seed    maphash.Seed

	mu    sync.Mutex
	known map[uint64]knownPackage // by the hash of the id
}

// knownPackage is what was said last of a package. Its numbers but index are hashes
// with the book's seed.
type knownPackage struct {
	index   uint64 // of the entry
	content uint64 // all that was said, but when
	target  uint64
	time    int64 // when, in nanoseconds since 1970
}

func newInventoryBook() *inventoryBook {
	return &inventoryBook{seed: maphash.MakeSeed(), known: make(map[uint64]knownPackage)}
}

// The fields of an InventoryEvent that the book looks at.
const (
	inventoryOffset  = 1
	inventoryID      = 2
	inventoryTime    = 3
	inventoryTarget  = 4
	inventoryPURL    = 10
	inventoryRemoved = 16
)

// statement is an encoded event as the book knows it.
type statement struct {
	id      uint64
	target  []byte
	removed bool
	whole   bool // it has no package: it is about the target
	content uint64
	time    int64
}

// read looks at an encoded event, which is not decoded: the journal of a large
// machine holds a hundred thousand at the start. false says that it is none.
func (b *inventoryBook) read(data []byte) (s statement, ok bool) {
	var content maphash.Hash
	content.SetSeed(b.seed)
	s.whole = true
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return s, false
		}
		m := protowire.ConsumeFieldValue(number, kind, data[n:])
		if m < 0 {
			return s, false
		}
		field, value := data[:n+m], data[n:n+m]
		data = data[n+m:]
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
		}
		switch number {
		case inventoryOffset:
			continue
		case inventoryTime:
			v, _ := protowire.ConsumeFixed64(value)
			s.time = int64(v) //nolint:gosec // as it was written
			continue
		case inventoryID:
			s.id = maphash.Bytes(b.seed, value)
		case inventoryTarget:
			s.target = value
		case inventoryPURL:
			s.whole = false
		case inventoryRemoved:
			v, _ := binary.Uvarint(value)
			s.removed = v != 0
		}
		_, _ = content.Write(field) // it never fails
	}
	s.content = content.Sum64()
	return s, s.id != 0
}

// visit learns from an entry that the journal held already.
func (b *inventoryBook) visit(e state.Entry) {
	if s, ok := b.read(e.Data); ok {
		b.note(s, e.Index)
	}
}

// note remembers what was said; b.mu is held, or nobody else is there yet.
func (b *inventoryBook) note(s statement, index uint64) {
	target := maphash.Bytes(b.seed, s.target)
	switch {
	case s.removed && s.whole && len(s.target) > 0:
		for id, k := range b.known {
			if k.target == target { // what comes of it again is new
				delete(b.known, id)
			}
		}
	case len(s.target) > 0: // so is its end
		delete(b.known, maphash.String(b.seed, event.InventoryID(string(s.target), "")))
	}
	if len(b.known) >= knownPackages {
		clear(b.known)
	}
	b.known[s.id] = knownPackage{index: index, content: s.content, target: target, time: s.time}
}

// Record puts an event into the journal, unless it says what is known of its package,
// and returns the index of the entry that says it.
func (b *inventoryBook) Record(e *pb.InventoryEvent) (uint64, error) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
	if err != nil {
		return 0, fmt.Errorf("journal the package %s: %w", e.Id, err)
	}
	s, ok := b.read(data)
	if !ok {
		return 0, fmt.Errorf("journal the package %s: it cannot be read back", e.Id)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	// What the journal does not keep any more is written again too, for consumers that
	// come later.
	k, known := b.known[s.id]
	if known && k.content == s.content && k.index >= b.journal.First() && s.time-k.time < int64(saidAgain) {
		return k.index, nil
	}
	index, err := b.journal.Append(uint8(pb.Kind_KIND_INVENTORY), data)
	if err != nil {
		return 0, fmt.Errorf("journal the package %s: %w", e.Id, err)
	}
	b.note(s, index)
	return index, nil
}
