package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/stored"
	"github.com/ironpost/ironpost/sdk/event"
)

// alertDoc is the document of an alert.
type alertDoc struct{ stored.Alert }

// fill completes an alert that has its columns.
func (d *alertDoc) fill(a *event.AlertEvent) { d.Fill(a) }

// fromNano is the time that a column holds.
func fromNano(n int64) time.Time { return stored.Time(n) }

func encode(doc any) string {
	b, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("store: encode a %T: %v", doc, err)) // no document holds what JSON cannot
	}
	return string(b)
}
