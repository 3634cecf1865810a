package winlog_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/parser-windows/winlog"
	"github.com/ironpost/ironpost/sdk/event"
)

const created = `{"Event": {"System": {
	"Provider": {"#attributes": {"Name": "Microsoft-Windows-Sysmon"}}, "EventID": 13, "Level": 3, "Channel": "Sysmon", "Computer": "ws1",
	"TimeCreated": {"#attributes": {"SystemTime": "2025-11-27T07:40:10.165324Z"}}, "Correlation": null
}, "EventData": {"Details": "", "Data": ["a", "b"]}}}`

func TestParse(t *testing.T) {
	var got event.LogEvent
	if err := winlog.Parse(event.RawLog{Line: []byte(created)}, &got); err != nil {
		t.Fatal(err)
	}
	want := event.LogEvent{
		Time: time.Date(2025, 11, 27, 7, 40, 10, 165324000, time.UTC), Host: "ws1", Severity: event.SeverityMedium,
		Message: "Microsoft-Windows-Sysmon 13 Sysmon",
		Fields: []event.Field{
			{Key: "Channel", Value: "Sysmon"},
			{Key: "Computer", Value: "ws1"},
			{Key: "EventID", Value: "13"},
			{Key: "Level", Value: "3"},
			{Key: "Provider_Name", Value: "Microsoft-Windows-Sysmon"},
			{Key: "TimeCreated_SystemTime", Value: "2025-11-27T07:40:10.165324Z"},
			{Key: "Data", Value: "a"},
			{Key: "Data", Value: "b"},
			{Key: "Details"},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("event differs (-want +got):\n%s", d)
	}
}

func TestRefusals(t *testing.T) {
	for text, want := range map[string]error{
		"":                winlog.ErrSeveral,
		created + created: winlog.ErrSeveral,
		"{":               winlog.ErrBadJSON,
		"x":               winlog.ErrBadJSON,
		"{}":              winlog.ErrNotWindows,
		"[1]":             winlog.ErrNotWindows,
	} {
		var got event.LogEvent
		if err := winlog.Parse(event.RawLog{Line: []byte(text)}, &got); !errors.Is(err, want) {
			t.Errorf("%.20q: got %v, want %v", text, err, want)
		}
		if d := cmp.Diff(event.LogEvent{}, got); d != "" {
			t.Errorf("%.20q: the event is not empty: %s", text, d)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(created))
	f.Add([]byte(`{"System": {"EventID": {"#text": [1, {"#text": null}]}}, "UserData": {"a": {"b": [[]]}}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var out event.LogEvent
		err := winlog.Parse(event.RawLog{Line: line}, &out)
		if err != nil && (out.Message != "" || len(out.Fields) > 0) {
			t.Errorf("%v, and the event is %+v", err, out)
		}
		if len(out.Fields) > winlog.MaxFields+1 {
			t.Errorf("got %d fields", len(out.Fields))
		}
	})
}
