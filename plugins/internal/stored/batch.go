package stored

import (
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// Taker is a store that takes events one by one. It keeps nothing of what it is given.
type Taker interface {
	PutAlert(a *event.AlertEvent)
	PutAction(a *event.ActionEvent)
	PutInventory(e *event.InventoryEvent)
	PutLog(e *event.LogEvent)
	PutPacket(p *event.PacketEvent)
}

// Kinds are those of the events that a store asks for: alerts, actions and inventory, and
// with every one of them all else.
func Kinds(every bool) []event.Kind {
	kinds := []event.Kind{event.KindAlert, event.KindAction, event.KindInventory}
	if every {
		kinds = append(kinds, event.KindLog, event.KindPacket)
	}
	return kinds
}

// Put gives a batch to a store; log events and packet summaries only if every event is
// kept.
func Put(to Taker, batch sdk.Batch, every bool) {
	for e := range batch.Alerts() {
		to.PutAlert(e)
	}
	for e := range batch.Actions() {
		to.PutAction(e)
	}
	for e := range batch.Inventory() {
		to.PutInventory(e)
	}
	if !every {
		return
	}
	for e := range batch.Logs() {
		to.PutLog(e)
	}
	for e := range batch.Packets() {
		to.PutPacket(e)
	}
}
