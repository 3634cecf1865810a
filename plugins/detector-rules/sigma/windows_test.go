package sigma_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/winevent"
)

// sample is one recorded attack: the events, and the rule that they must hit.
type sample struct {
	file, rule string
	// count is how many of the events must hit it; 0 when the sample does not
	// say.
	count    int
	events   []*winevent.Event
	document []map[string]any
}

// samples reads the recordings of SigmaHQ. An info.yml names the rule and the
// files; a recording that is not of Windows is left out.
func samples(t testing.TB) []sample {
	t.Helper()
	files := archive(t, "sigma-regression.tar.gz")
	var out []sample
	for _, name := range sortedNames(files) {
		if path.Base(name) != "info.yml" {
			continue
		}
		var info struct {
			Rules []struct {
				ID string `yaml:"id"`
			} `yaml:"rule_metadata"`
			Tests []struct {
				Path  string `yaml:"path"`
				Type  string `yaml:"type"`
				Count int    `yaml:"match_count"`
			} `yaml:"regression_tests_info"`
		}
		if err := yaml.Unmarshal(files[name].Data, &info); err != nil {
			t.Fatal(err)
		}
		for _, test := range info.Tests {
			var data []byte
			for _, ending := range []string{".json", ".jsoncls"} {
				if f := files[strings.TrimSuffix(test.Path, path.Ext(test.Path))+ending]; f != nil {
					data = f.Data
				}
			}
			if data == nil || test.Type != "evtx" {
				t.Errorf("%s: no recording for %s", name, test.Path)
				continue
			}
			events, err := winevent.ParseAll(data)
			if err != nil {
				t.Fatalf("%s: %v", test.Path, err)
			}
			out = append(out, sample{test.Path, info.Rules[0].ID, test.Count, events, decodeAll(t, data)})
		}
	}
	return out
}

func sortedNames(files fstest.MapFS) []string {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func decodeAll(t testing.TB, data []byte) []map[string]any {
	t.Helper()
	var out []map[string]any
	for decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff")))); ; {
		decoder.UseNumber()
		var document map[string]any
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, document)
	}
}

// refWindows is the reference's own view of a Windows event.
func refWindows(document map[string]any) *refEvent {
	e := &refEvent{fields: map[string][]*string{}}
	body := document["Event"].(map[string]any)
	put := func(name string, v any) {
		if v == nil {
			e.fields[name] = append(e.fields[name], nil)
			return
		}
		text := fmt.Sprint(v)
		e.fields[name] = append(e.fields[name], &text)
	}
	for section, content := range body {
		if section == "#attributes" {
			continue
		}
		for name, v := range content.(map[string]any) {
			element, nested := v.(map[string]any)
			switch {
			case name == "#attributes":
				// Attributes of EventData itself are no fields.
			case !nested:
				put(name, v)
			default:
				for attribute, v := range element["#attributes"].(map[string]any) {
					put(name+"_"+attribute, v)
				}
			}
		}
	}
	first := func(name string) string {
		if v := e.fields[name]; len(v) > 0 && v[0] != nil {
			return *v[0]
		}
		return ""
	}
	e.belongs = func(category, product, service string) bool {
		return (product == "" || product == "windows") &&
			(category == "" || refListed(refCategories, category, first("Channel"), first("EventID"))) &&
			(service == "" || refListed(refServices, service, first("Channel"), ""))
	}
	return e
}

// refListed looks a category or service up in a table of the taxonomy.
func refListed(table, name, channel, id string) bool {
	for line := range strings.Lines(table) {
		parts := strings.Split(strings.TrimSpace(line), " | ")
		if parts[0] != name || !slices.Contains(strings.Split(parts[1], ", "), channel) {
			continue
		}
		if len(parts) == 2 || slices.Contains(strings.Split(parts[2], ", "), id) {
			return true
		}
	}
	return false
}

// refCategories are the categories that have a channel in the taxonomy appendix
// of the specification, version 2.1.
const refCategories = `process_creation | Microsoft-Windows-Sysmon/Operational | 1
process_creation | Security | 4688
file_change | Microsoft-Windows-Sysmon/Operational | 2
network_connection | Microsoft-Windows-Sysmon/Operational | 3
sysmon_status | Microsoft-Windows-Sysmon/Operational | 4, 16
process_termination | Microsoft-Windows-Sysmon/Operational | 5
driver_load | Microsoft-Windows-Sysmon/Operational | 6
image_load | Microsoft-Windows-Sysmon/Operational | 7
create_remote_thread | Microsoft-Windows-Sysmon/Operational | 8
raw_access_thread | Microsoft-Windows-Sysmon/Operational | 9
process_access | Microsoft-Windows-Sysmon/Operational | 10
file_event | Microsoft-Windows-Sysmon/Operational | 11
registry_event | Microsoft-Windows-Sysmon/Operational | 12, 13, 14
registry_add | Microsoft-Windows-Sysmon/Operational | 12
registry_delete | Microsoft-Windows-Sysmon/Operational | 12
registry_set | Microsoft-Windows-Sysmon/Operational | 13
registry_rename | Microsoft-Windows-Sysmon/Operational | 14
create_stream_hash | Microsoft-Windows-Sysmon/Operational | 15
pipe_created | Microsoft-Windows-Sysmon/Operational | 17, 18
wmi_event | Microsoft-Windows-Sysmon/Operational | 19, 20, 21
dns_query | Microsoft-Windows-Sysmon/Operational | 22
file_delete | Microsoft-Windows-Sysmon/Operational | 23
clipboard_capture | Microsoft-Windows-Sysmon/Operational | 24
process_tampering | Microsoft-Windows-Sysmon/Operational | 25
file_delete_detected | Microsoft-Windows-Sysmon/Operational | 26
file_block_executable | Microsoft-Windows-Sysmon/Operational | 27
file_block_shredding | Microsoft-Windows-Sysmon/Operational | 28
file_executable_detected | Microsoft-Windows-Sysmon/Operational | 29
sysmon_error | Microsoft-Windows-Sysmon/Operational | 255
ps_classic_start | Windows PowerShell | 400
ps_classic_provider_start | Windows PowerShell | 600
ps_classic_script | Windows PowerShell | 800
ps_module | Microsoft-Windows-PowerShell/Operational, PowerShellCore/Operational | 4103
ps_script | Microsoft-Windows-PowerShell/Operational, PowerShellCore/Operational | 4104
`

// refServices are those services of the appendix whose channels the recordings
// have.
const refServices = `security | Security
sysmon | Microsoft-Windows-Sysmon/Operational
taskscheduler | Microsoft-Windows-TaskScheduler/Operational
`
