package priority

import (
	"testing"

	"github.com/ironpost/ironpost/sdk/event"
)

func TestFacility(t *testing.T) {
	for number, want := range map[int]string{0: "kern", 4: "auth", 9: "cron", 10: "authpriv", 23: "local7"} {
		if got, ok := Facility(number); got != want || !ok {
			t.Errorf("Facility(%d): got %q, %v, want %q", number, got, ok, want)
		}
	}
	for _, number := range []int{-1, 24} {
		if got, ok := Facility(number); ok {
			t.Errorf("Facility(%d): got %q, want none", number, got)
		}
	}
}

func TestSeverity(t *testing.T) {
	want := []event.Severity{
		event.SeverityCritical, event.SeverityCritical, event.SeverityCritical, event.SeverityHigh,
		event.SeverityMedium, event.SeverityLow, event.SeverityInfo, event.SeverityInfo,
	}
	for number, w := range want {
		if got := Severity(number); got != w {
			t.Errorf("Severity(%d): got %v, want %v", number, got, w)
		}
	}
	for _, number := range []int{-1, 8} {
		if got := Severity(number); got != event.SeverityUnknown {
			t.Errorf("Severity(%d): got %v, want unknown", number, got)
		}
	}
}

func TestLevels(t *testing.T) {
	for name, want := range map[string]event.Severity{
		"FATAL": event.SeverityCritical, "Error": event.SeverityHigh, "warning": event.SeverityMedium,
		"Notice": event.SeverityLow, "DEBUG": event.SeverityInfo, "W": event.SeverityMedium,
		"": event.SeverityUnknown, "a name that is far too long": event.SeverityUnknown, "blue": event.SeverityUnknown,
	} {
		if got := FromName(name); got != want {
			t.Errorf("FromName(%q): got %v, want %v", name, got, want)
		}
	}
	for level, want := range map[int]event.Severity{
		3: event.SeverityHigh, 10: event.SeverityInfo, 30: event.SeverityInfo, 40: event.SeverityMedium,
		50: event.SeverityHigh, 60: event.SeverityCritical, 9: event.SeverityUnknown, 61: event.SeverityUnknown, -1: event.SeverityUnknown,
	} {
		if got := FromNumber(level); got != want {
			t.Errorf("FromNumber(%d): got %v, want %v", level, got, want)
		}
	}
}
