package engine

import (
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk/event"
)

// TestExpiry: a filter with ironpost.expires suppresses until then, to the second,
// rules of both forms.
func TestExpiry(t *testing.T) {
	const text = `
id: simple
title: Simple
detection:
  conditions: [{field: message, operator: contains, value: Failed}]
---
id: sigma
title: Sigma
logsource: {product: linux, service: syslog}
detection: {s: {message|contains: Failed}, condition: s}
---
{"title": "x", "id": "x1", "logsource": {"product": "ironpost"}, "filter": {"rules": ["simple"], "selection": {"user": "bob"}, "condition": "not selection"},
 "ironpost": {"expires": "2025-03-01T12:00:10Z", "from_alert": "a", "created": "2025-03-01T12:00:00Z"}}
---
title: y
id: y1
logsource: {product: linux}
filter: {rules: [sigma], selection: {user: bob}, condition: not selection}
ironpost: {expires: 2025-03-01T14:00:10+02:00}
`
	res := rule.Parse("r.yaml", []byte(text))
	if len(res.Problems) > 0 {
		t.Fatal(res.Problems)
	}
	e := New(Compile(res.Rules), Options{})
	at := func(seconds int) time.Time { return time.Date(2025, 3, 1, 12, 0, seconds, 0, time.UTC) }
	for _, tt := range []struct {
		user    string
		seconds int
		want    int
	}{{"bob", 0, 0}, {"ann", 1, 2}, {"bob", 9, 0}, {"bob", 10, 2}, {"bob", 11, 2}} {
		ev := &event.LogEvent{Time: at(tt.seconds), ObservedTime: at(tt.seconds), Process: "p", Message: "Failed"}
		ev.Set("user", tt.user)
		got := 0
		e.Log(ev, func(*event.AlertEvent) { got++ })
		if got != tt.want {
			t.Errorf("%s after %d s: got %d alerts, want %d", tt.user, tt.seconds, got, tt.want)
		}
	}
	broken := rule.Parse("r.yaml", []byte("title: y\nid: y1\nlogsource: {product: linux}\nfilter: {rules: any, s: {user: bob}, condition: not s}\nironpost: {expires: tomorrow}\n"))
	if len(broken.Problems) != 1 || broken.Problems[0].Code != rule.CodeInvalidValue {
		t.Errorf("got %v, want the time refused", broken.Problems)
	}
}
