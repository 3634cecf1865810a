// Package winlog parses records that are one Windows event each, in the JSON of
// evtx_dump and of the tools that follow it.
//
// # Fields
//
// The fields are those of package internal/winevent: what is in EventData under its
// own name, what is in System under its own, an attribute with the name of its
// element before it. A field of several values comes several times; one without a
// value does not come.
//
//	Time      TimeCreated_SystemTime
//	Host      Computer
//	Severity  Level
//	Message   Provider_Name, EventID and Channel
//
// The program that logged is a field (Provider_Name), and Process stays empty:
// which process an event is about differs from one kind to another.
package winlog

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/reject"
	"github.com/ironpost/ironpost/plugins/internal/winevent"
	"github.com/ironpost/ironpost/sdk/event"
)

// MaxFields is how many fields an event keeps; the others are counted in the field
// windows_dropped_fields.
const MaxFields = 256

// Why a record is refused.
var (
	// ErrBadJSON: not JSON, or cut off. Code bad_json.
	ErrBadJSON = reject.New("bad_json", "the record is no JSON, or is cut off")
	// ErrNotWindows: JSON, but without Event and System. Code not_windows_event.
	ErrNotWindows = reject.New("not_windows_event", "the record is JSON, but no Windows event")
	// ErrSeveral: not one event. Code several_events.
	ErrSeveral = reject.New("several_events", "the record has several Windows events, or none")
)

// Parse reads one record into out, which must be empty. It returns ErrBadJSON,
// ErrNotWindows or ErrSeveral, and leaves out empty then. Safe for concurrent use.
func Parse(raw event.RawLog, out *event.LogEvent) error {
	events, err := winevent.ParseAll(raw.Line)
	switch {
	case errors.Is(err, winevent.ErrNotWindows):
		return ErrNotWindows
	case err != nil:
		return ErrBadJSON
	case len(events) != 1:
		return ErrSeveral
	}
	e := events[0]
	dropped := 0
	for _, f := range e.Fields() {
		switch {
		case f.Null:
		case len(out.Fields) == MaxFields:
			dropped++
		default:
			out.Fields = append(out.Fields, event.Field{Key: f.Name, Value: f.Text})
		}
	}
	if dropped > 0 {
		out.Set("windows_dropped_fields", fmt.Sprint(dropped))
	}
	if at, err := time.Parse(time.RFC3339Nano, e.Get("TimeCreated_SystemTime")); err == nil {
		out.Time = at.UTC()
	}
	out.Host, out.Severity = e.Get("Computer"), severities[e.Get("Level")]
	var parts []string
	for _, name := range []string{"Provider_Name", "EventID", "Channel"} {
		if text := e.Get(name); text != "" {
			parts = append(parts, text)
		}
	}
	out.Message = strings.Join(parts, " ")
	return nil
}

// severities are those of the levels (Microsoft, winmeta.xml).
var severities = map[string]event.Severity{
	"0": event.SeverityInfo, "1": event.SeverityCritical, "2": event.SeverityHigh, "3": event.SeverityMedium,
	"4": event.SeverityInfo, "5": event.SeverityInfo,
}
