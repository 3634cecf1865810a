package winevent_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/winevent"
)

// The log sources are those of the mapping that is shipped.
func TestLogSources(t *testing.T) {
	windows := func(category, service string) sigma.LogSource {
		return sigma.LogSource{Category: category, Product: "windows", Service: service}
	}
	for _, c := range []struct {
		system string
		want   []sigma.LogSource
	}{
		{`"EventID": 13, "Channel": "Microsoft-Windows-Sysmon/Operational"`, []sigma.LogSource{windows("", "sysmon"), windows("registry_event", "sysmon"), windows("registry_set", "sysmon"), windows("", "")}},
		{`"EventID": "4688", "Channel": "Security"`, []sigma.LogSource{windows("", "security"), windows("process_creation", "security"), windows("", "")}},
		{`"EventID": 4104, "Channel": "PowerShellCore/Operational"`, []sigma.LogSource{windows("", "powershell"), windows("ps_script", "powershell"), windows("", "")}},
		{`"EventID": 1, "Channel": "Elsewhere"`, []sigma.LogSource{windows("", "")}},
		{`"EventID": 1`, nil},
	} {
		e, err := winevent.Parse([]byte(`{"Event": {"System": {` + c.system + `}}}`))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, e.LogSources()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.system, diff)
		}
	}
}
