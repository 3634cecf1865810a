package cli

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestPluginListFits120Columns(t *testing.T) {
	long := strings.Repeat("x", 200)
	worst := &ironpostv1.PluginStatus{
		Name: long, Kinds: []string{"source", "parser", "detector", "enforcer", "scanner", "sink"}, Version: long,
		Api: math.MaxUint32, Enabled: true, State: long, Health: long, Restarts: math.MaxUint32, UptimeSeconds: 1e9, Trust: long,
	}
	for line := range strings.Lines(string(pluginTable([]*ironpostv1.PluginStatus{worst, {}}, false).bytes())) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 120 {
			t.Errorf("got %d columns, want at most 120: %s", n, line)
		}
	}
	wide := string(pluginTable([]*ironpostv1.PluginStatus{worst}, true).bytes())
	if !strings.Contains(wide, long) {
		t.Error("the wide form shortens names")
	}
}

func TestTableAligns(t *testing.T) {
	tab := newTable("A", "LONG", "Z")
	tab.row("Zürich", "x\ty", "1")
	tab.row("b", "", "2")
	want := "A       LONG  Z\nZürich  x\\ty  1\nb             2\n"
	if diff := cmp.Diff(want, string(tab.bytes())); diff != "" {
		t.Errorf("table differs (-want +got):\n%s", diff)
	}
}

func TestSpan(t *testing.T) {
	tests := []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"},
		{59 * time.Second, "59s"},
		{59500 * time.Millisecond, "1m0s"},
		{3723 * time.Second, "1h2m"},
		{49 * time.Hour, "2d1h"},
	}
	for _, tt := range tests {
		if got := span(tt.d); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.d, got, tt.want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[uint64]string{0: "0B", 1023: "1023B", 1024: "1.0KiB", 13 << 20: "13.0MiB", math.MaxUint64: "16384.0PiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestParseSpan(t *testing.T) {
	for in, want := range map[string]time.Duration{"30s": 30 * time.Second, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "0s": 0} {
		if got, err := parseSpan(in); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "7", "d", "-1h", "-7d", "1w", "99999999d", "1e3s"} {
		if got, err := parseSpan(in); !errors.Is(err, control.ErrInvalid) {
			t.Errorf("%q: got %v, %v, want %v", in, got, err, control.ErrInvalid)
		}
	}
}

func TestParseWhen(t *testing.T) {
	now := time.Date(2024, 12, 10, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		in   string
		want time.Time
	}{
		{"1h", now.Add(-time.Hour)},
		{"7d", now.AddDate(0, 0, -7)},
		{"2024-12-09", time.Date(2024, 12, 9, 0, 0, 0, 0, time.UTC)},
		{"2024-12-09 01:02:03", time.Date(2024, 12, 9, 1, 2, 3, 0, time.UTC)},
		{"2024-12-09T01:02:03+01:00", time.Date(2024, 12, 9, 0, 2, 3, 0, time.UTC)},
	}
	for _, tt := range tests {
		if got, err := parseWhen(tt.in, now); err != nil || !got.Equal(tt.want) {
			t.Errorf("%q: got %v, %v, want %v", tt.in, got, err, tt.want)
		}
	}
	for _, in := range []string{"", "yesterday", "2024-13-01", "12:00"} {
		if got, err := parseWhen(in, now); !errors.Is(err, control.ErrInvalid) {
			t.Errorf("%q: got %v, %v, want %v", in, got, err, control.ErrInvalid)
		}
	}
}
