package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	windowsRule = `title: Shell of an editor
id: 3c1f9a2e-6a0e-4a42-9d0c-111111111111
level: high
logsource: {category: process_creation, product: windows}
detection:
  parent: {'ParentImage|endswith': '\notepad.exe'}
  child: {'Image|endswith': ['\cmd.exe', '\powershell.exe']}
  condition: parent and child
`
	// windowsEvents are two documents over several lines, one behind the other, and
	// one that is broken off.
	windowsEvents = `{
  "Event": {
    "System": {
      "Provider": {"#attributes": {"Name": "Microsoft-Windows-Sysmon"}},
      "EventID": 1, "Channel": "Microsoft-Windows-Sysmon/Operational", "Computer": "ws1",
      "TimeCreated": {"#attributes": {"SystemTime": "2025-11-27T07:40:10.165324Z"}}
    },
    "EventData": {"Image": "C:\\Windows\\System32\\CMD.EXE", "ParentImage": "C:\\Windows\\notepad.exe", "CommandLine": "cmd"}
  }
}{"Event": {"System": {"EventID": 3, "Channel": "Microsoft-Windows-Sysmon/Operational"},
  "EventData": {"Image": "C:\\Windows\\System32\\cmd.exe", "ParentImage": "C:\\Windows\\notepad.exe"}}}
{"Event": {"System": {
`
)

func TestReplayReadsWindowsEvents(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"rules/shell.yml": windowsRule, "events.json": windowsEvents})
	got := run(t, ironpost(t, "replay", "--format", "windows-event", "--rules", filepath.Join(dir, "rules"), filepath.Join(dir, "events.json")))
	alerts := parseAlerts(t, got.stdout)
	if len(alerts) != 1 {
		t.Fatalf("got %d alerts, want 1\n%s%s", len(alerts), got.stdout, got.stderr)
	}
	a := alerts[0]
	if a.RuleID != "3c1f9a2e-6a0e-4a42-9d0c-111111111111" || a.Severity != "high" || a.Entities["host"] != "ws1" {
		t.Errorf("got %+v", a)
	}
	if d := cmp.Diff("2025-11-27T07:40:10.165324Z", a.Time.Format("2006-01-02T15:04:05.999999999Z07:00")); d != "" {
		t.Errorf("time (-want +got):\n%s", d)
	}
	if want := "3 records, 2 parsed, 1 unparsed (bad_json 1)"; !strings.Contains(got.stderr, want) {
		t.Errorf("got %q, want %q in it", got.stderr, want)
	}
}
