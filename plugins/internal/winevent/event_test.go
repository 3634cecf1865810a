package winevent_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/internal/winevent"
)

const created = `{"Event": {
	"#attributes": {"xmlns": "http://schemas.microsoft.com/win/2004/08/events/event"},
	"System": {
		"Provider": {"#attributes": {"Name": "Microsoft-Windows-Sysmon"}},
		"EventID": 13, "Channel": "Microsoft-Windows-Sysmon/Operational", "Correlation": null,
		"Execution": {"#attributes": {"ProcessID": 788}}
	},
	"EventData": {"TargetObject": "HKLM\\x", "Details": "", "Signed": true, "Ratio": 1.50, "User": null}
}}`

func TestParse(t *testing.T) {
	got, err := winevent.Parse([]byte(created))
	if err != nil {
		t.Fatal(err)
	}
	want := []winevent.Field{
		{Name: "Channel", Text: "Microsoft-Windows-Sysmon/Operational"},
		{Name: "Correlation", Null: true},
		{Name: "EventID", Text: "13"},
		{Name: "Execution_ProcessID", Text: "788"},
		{Name: "Provider_Name", Text: "Microsoft-Windows-Sysmon"},
		{Name: "Details"},
		{Name: "Ratio", Text: "1.5"},
		{Name: "Signed", Text: "true"},
		{Name: "TargetObject", Text: `HKLM\x`},
		{Name: "User", Null: true},
	}
	if diff := cmp.Diff(want, got.Fields()); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

func field(e *winevent.Event, name string) []string {
	var out []string
	for _, f := range e.Fields() {
		if f.Name == name {
			out = append(out, f.Text)
		}
	}
	return out
}

// Data without names, elements with attributes, and what is below UserData.
func TestShapes(t *testing.T) {
	const head = `{"Event": {"System": {"EventID": {"#attributes": {"Qualifiers": 16384}, "#text": 7036}, "Channel": "System"}, `
	for _, c := range []struct {
		body, name string
		want       []string
	}{
		{`"EventData": {"Data": {"#text": ["one", "two"]}}`, "Data", []string{"one", "two"}},
		{`"EventData": {"Data": ["one", "two"]}`, "Data", []string{"one", "two"}},
		{`"EventData": {"#attributes": {"Name": "x"}, "A": "b"}`, "A", []string{"b"}},
		{`"UserData": {"EventXML": {"#attributes": {"xmlns": "x"}, "Param": "p", "Inner": {"Deep": 1}}}`, "Param", []string{"p"}},
		{`"UserData": {"EventXML": {"Inner": {"Deep": 1}}}`, "Inner.Deep", []string{"1"}},
		{`"EventData": null`, "EventID", []string{"7036"}},
		{`"EventData": {"A": "x"}`, "EventID_Qualifiers", []string{"16384"}},
	} {
		e, err := winevent.Parse([]byte(head + c.body + "}}"))
		if err != nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		if diff := cmp.Diff(c.want, field(e, c.name)); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", c.body, c.name, diff)
		}
	}
}

// A new process in the Security log has its fields under the names of Sigma too.
func TestSecurityProcess(t *testing.T) {
	e, err := winevent.Parse([]byte(`{"Event": {"System": {"EventID": 4688, "Channel": "Security"}, "EventData": {
		"NewProcessName": "C:\\cmd.exe", "ParentProcessName": "C:\\explorer.exe", "NewProcessId": "0x5", "ProcessId": "0x4",
		"CommandLine": "cmd", "SubjectUserName": "bob", "MandatoryLabel": "S-1-16-12288"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Image": `C:\cmd.exe`, "NewProcessName": `C:\cmd.exe`, "ParentImage": `C:\explorer.exe`, "ProcessId": "0x5", "CommandLine": "cmd", "User": "bob", "IntegrityLevel": "High",
	} {
		if got := field(e, name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestParseAll(t *testing.T) {
	for _, text := range []string{created + created, "\ufeff" + created + "\r\n" + created, "[" + created + "," + created + "]"} {
		got, err := winevent.ParseAll([]byte(text))
		if err != nil || len(got) != 2 {
			t.Errorf("got %d events, %v; want 2", len(got), err)
		}
	}
	if _, err := winevent.ParseAll([]byte(`{"a": 1}`)); !errors.Is(err, winevent.ErrNotWindows) {
		t.Errorf("got %v, want ErrNotWindows", err)
	}
	if _, err := winevent.ParseAll([]byte(created + "{")); err == nil {
		t.Error("half an event was read")
	}
	if _, err := winevent.Parse([]byte(created + created)); err == nil {
		t.Error("two events were read as one")
	}
}

func FuzzParseAll(f *testing.F) {
	f.Add([]byte(created))
	f.Add([]byte(`[{"System": {"Channel": ["a", {"#text": {"#text": [[]]}}]}, "UserData": {"x": {"y": {"z": 1e999}}}}]`))
	f.Add([]byte(strings.Repeat(`{"System":`, 100)))
	f.Fuzz(func(t *testing.T, data []byte) {
		events, _ := winevent.ParseAll(data)
		for _, e := range events {
			for _, f := range e.Fields() {
				if f.Null && f.Text != "" {
					t.Errorf("got %+v", f)
				}
			}
		}
	})
}
