package coverage_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/coverage"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk"
)

const rules = `
title: Login of root
id: login
logsource: {product: linux, service: sshd}
detection: {s: {user: root}, condition: s}
---
title: A field that nobody gives
id: field
logsource: {product: linux, service: sshd}
detection: {s: {user: root, cookie: x}, condition: s}
---
title: One of two fields will do
id: either
logsource: {product: linux, service: sshd}
detection: {s: [{user: root}, {cookie: x}], condition: s}
---
title: Not with a field that nobody gives
id: negated
logsource: {product: linux, service: sshd}
detection: {s: {user: root}, f: {cookie: x}, condition: s and not f}
---
title: A field that must be there and is not
id: absent
logsource: {product: linux, service: sshd}
detection: {s: {user: root}, f: {cookie: null}, condition: s and not f}
---
title: Windows
id: windows
logsource: {product: windows, service: security}
detection: {s: {EventID: 1}, condition: s}
---
title: Nothing is known of it
id: exotic
logsource: {product: vax, service: vms}
detection: {s: [x], condition: s}
---
title: Off
id: off
logsource: {product: linux, service: sshd}
detection: {s: {user: root}, condition: s}
ironpost: {disabled: true}
---
title: Both
id: both
correlation: {type: temporal, rules: [login, field], timespan: 1m}
---
title: Some
id: some
correlation: {type: event_count, rules: [login, field], timespan: 1m, condition: {gte: 2}}
---
id: packets
title: Packets
events: packet
detection: {conditions: [{field: syn, operator: gt, value: 10}]}
---
id: either_kind
title: Logs or packets
detection: {conditions: [{field: syn, operator: gt, value: 10}]}
`

func TestRules(t *testing.T) {
	res := rule.Parse("r.yaml", []byte(rules))
	if len(res.Problems) > 0 {
		t.Fatal(res.Problems)
	}
	syslog := sdk.LogStream{Format: "syslog", Fields: []string{"user", "src_ip"}}
	json := sdk.LogStream{Format: "json", Fields: []string{"*"}}
	for _, tt := range []struct {
		name    string
		streams []sdk.LogStream
		packets bool
		want    map[string]string
	}{
		{"syslog", []sdk.LogStream{syslog}, false, map[string]string{
			"login": "", "field": "no_field cookie", "either": "", "negated": "", "absent": "no_field cookie", "windows": "not_fed", "exotic": "no_log_source",
			"off": "disabled", "both": "rules_cannot_fire field", "some": "", "packets": "no_packets", "either_kind": "no_field syn",
		}},
		{"any field, and packets", []sdk.LogStream{json}, true, map[string]string{
			"login": "", "field": "", "either": "", "negated": "", "absent": "", "windows": "", "exotic": "no_log_source",
			"off": "disabled", "both": "", "some": "", "packets": "", "either_kind": "",
		}},
		{"nothing", nil, false, map[string]string{
			"login": "not_fed", "field": "not_fed", "either": "not_fed", "negated": "not_fed", "absent": "not_fed", "windows": "not_fed", "exotic": "no_log_source",
			"off": "disabled", "both": "rules_cannot_fire login field", "some": "rules_cannot_fire login field", "packets": "no_packets", "either_kind": "not_fed",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := map[string]string{}
			for _, c := range coverage.New(nil, tt.streams, tt.packets).Rules(res.Rules) {
				if c.CanFire != (c.Code == "") || c.CanFire != (len(c.Formats) > 0) {
					t.Errorf("%s contradicts itself: %+v", c.ID, c)
				}
				got[c.ID] = c.Code
				for _, m := range c.Missing {
					got[c.ID] += " " + m
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("coverage differs (-want +got):\n%s", d)
			}
		})
	}
}
