package pipeline

import (
	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// tape is a journal as consumers follow it: a stream whose sequence is the journal's
// index.
type tape struct {
	journal *state.Journal
	name    string
	stream  uint64
	origin  []byte // encoded
}

// Names of the tapes. Inventory has a journal of its own, so that all packages of a
// machine do not push its alerts out of theirs.
const (
	journalName   = "journal"
	inventoryName = "inventory"
)

// JournalStream is the id of the stream of alerts and actions; the sequence is
// the journal's index.
func JournalStream() uint64 { return event.StreamID(HostPlugin, journalName) }

// InventoryStream is the id of the stream of inventory; the sequence is the index in
// its journal.
func InventoryStream() uint64 { return event.StreamID(HostPlugin, inventoryName) }

func newTape(j *state.Journal, name string) tape {
	origin, err := proto.Marshal(&pb.Origin{Name: name, Plugin: HostPlugin})
	if err != nil {
		origin = nil // a constant message
	}
	return tape{journal: j, name: name, stream: event.StreamID(HostPlugin, name), origin: origin}
}

// tapes are the journals that there are.
func (c *Config) tapes() []tape {
	var out []tape
	if c.Journal != nil {
		out = append(out, newTape(c.Journal, journalName))
	}
	if c.Inventory != nil {
		out = append(out, newTape(c.Inventory, inventoryName))
	}
	return out
}
