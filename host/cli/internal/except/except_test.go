package except

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

var began = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

func TestWriteAndRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), Folder)
	x := &Exception{
		Rules: []string{"r1"}, LogSource: "*/linux/sshd", Fields: map[string]string{"command": `C:\*? "<x>` + "\u2028\n", "user": "bob"},
		Reason: "the backup", FromAlert: "a1", Created: began, Expires: began.Add(time.Hour),
	}
	x.Name()
	if err := x.Write(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "by-hand.yml"), []byte("title: mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, foreign, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]*Exception{x}, got); d != "" {
		t.Errorf("exceptions differ (-want +got):\n%s", d)
	}
	if len(foreign) != 1 || !errors.Is(foreign[0], ErrForeign) {
		t.Errorf("got %v, want one foreign file", foreign)
	}
	if x.Expired(began) || !x.Expired(began.Add(time.Hour)) {
		t.Error("it must hold until it expires, and no longer")
	}
}

func TestNothing(t *testing.T) {
	all, foreign, err := Read(filepath.Join(t.TempDir(), "none"))
	if len(all)+len(foreign) > 0 || err != nil {
		t.Errorf("got %v, %v, %v, want nothing", all, foreign, err)
	}
}

func TestMatch(t *testing.T) {
	x := &Exception{Fields: map[string]string{"user": "Bob", "process": "sshd"}}
	line := func(user string) *ironpostv1.LogEvent {
		return &ironpostv1.LogEvent{Process: "sshd", Fields: []*ironpostv1.Field{{Key: "user", Value: user}}}
	}
	for _, tt := range []struct {
		name     string
		alert    *ironpostv1.AlertEvent
		out, all int
	}{
		{"all events", &ironpostv1.AlertEvent{Logs: []*ironpostv1.LogEvent{line("bob"), line("BOB")}}, 2, 2},
		{"some events", &ironpostv1.AlertEvent{Logs: []*ironpostv1.LogEvent{line("bob"), line("ann")}}, 1, 2},
		{"none", &ironpostv1.AlertEvent{Logs: []*ironpostv1.LogEvent{line("")}}, 0, 1},
		{"by its entities", &ironpostv1.AlertEvent{Entities: []*ironpostv1.Field{{Key: "user", Value: "bob"}, {Key: "process", Value: "sshd"}}}, 1, 1},
	} {
		if out, all := x.Match(tt.alert); out != tt.out || all != tt.all {
			t.Errorf("%s: got %d of %d, want %d of %d", tt.name, out, all, tt.out, tt.all)
		}
	}
	if out, _ := new(Exception).Match(&ironpostv1.AlertEvent{}); out != 0 {
		t.Error("an exception without fields must leave nothing out")
	}
}
