package ocsf

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ironpost/ironpost/host/internal/export/exporttest"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// schema compiles one of the classes of the schema.
func schema(t *testing.T, class string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile("testdata/ocsf-1.8.0.json#/$defs/" + class)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, doc []byte) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err == nil {
		err = s.Validate(value)
	}
	if err != nil {
		t.Fatalf("got %v for\n%s", err, doc)
	}
	if i := bytes.IndexFunc(doc, func(r rune) bool { return r < ' ' || r == '\u202e' || r == '\u2028' }); i >= 0 {
		t.Fatalf("got the raw character %q in\n%s", doc[i], doc)
	}
}

func TestEveryAlertIsADetectionFinding(t *testing.T) {
	s := schema(t, "detection_finding")
	e := NewEncoder("host-1", "1.2.3")
	for _, a := range exporttest.Alerts(300) {
		validate(t, s, e.AppendAlert(nil, a))
		validate(t, s, NewEncoder("", "").AppendAlert(nil, a))
	}
}

func TestEveryActionIsARemediation(t *testing.T) {
	s := schema(t, "remediation_activity")
	e := NewEncoder("host-1", "1.2.3")
	n := 0
	for _, a := range exporttest.Actions() {
		if Remediates(a) {
			validate(t, s, e.AppendAction(nil, a))
			validate(t, s, NewEncoder("", "").AppendAction(nil, a))
			n++
		}
	}
	if want := 7*11*7 + 1; n != want {
		t.Errorf("got %d remediations, want %d: block, limit, rule, net-isolate, pause, stop, kill", n, want)
	}
}

// TestTheSchemaRefuses shows that the schema would find what is wrong.
func TestTheSchemaRefuses(t *testing.T) {
	e := NewEncoder("host-1", "1.2.3")
	for _, test := range []struct{ class, old, new string }{
		{"detection_finding", `"class_uid":2004`, `"class_uid":2005`},
		{"detection_finding", `"type_uid":200401`, `"type_uid":200402`},
		{"detection_finding", `"severity_id":4`, `"severity_id":7`},
		{"detection_finding", `"severity_id":4`, `"severity_id":3`},
		{"detection_finding", `"status":"New"`, `"status":"Open"`},
		{"detection_finding", `"finding_info":`, `"finding":`},
		{"detection_finding", `"version":"1.8.0"`, `"version":"1.9.0"`},
		{"detection_finding", `"ip":"192.0.2.7"`, `"ip":"192.0.2.777"`},
		{"detection_finding", `"port":22`, `"port":"22"`},
		{"detection_finding", `"sub_technique":`, `"subtechnique":`},
		{"detection_finding", `"message":`, `"src_endpoint":`},
		{"detection_finding", `"hostname":"web1","type_id":0`, `"hostname":"web1"`},
		{"remediation_activity", `"command_uid":"a1",`, ``},
		{"remediation_activity", `"profiles":["host"]`, `"profiles":["cloud"]`},
		{"remediation_activity", `"d3f_tactic":`, `"tactic":`},
		{"remediation_activity", `"activity_id":1`, `"activity_id":5`},
	} {
		var doc string
		if test.class == "detection_finding" {
			doc = string(e.AppendAlert(nil, exporttest.BruteForce()))
		} else {
			doc = string(e.AppendAction(nil, &pb.ActionEvent{Id: "a1", Action: "block", Target: "192.0.2.7"}))
		}
		if !strings.Contains(doc, test.old) {
			t.Errorf("%s has no %s", doc, test.old)
			continue
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(strings.ReplaceAll(doc, test.old, test.new)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema(t, test.class).Validate(value); err == nil {
			t.Errorf("%s for %s is taken", test.new, test.old)
		}
	}
}

// picked reads members by their path.
func picked(t *testing.T, doc []byte, paths ...string) map[string]any {
	t.Helper()
	var value map[string]any
	if err := json.Unmarshal(doc, &value); err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	for _, path := range paths {
		at := any(value)
		for name := range strings.SplitSeq(path, ".") {
			switch v := at.(type) {
			case map[string]any:
				at = v[name]
			case []any:
				at = v[int(name[0]-'0')]
			}
		}
		out[path] = at
	}
	return out
}

func TestWhatAFindingSays(t *testing.T) {
	doc := NewEncoder("host-1", "1.2.3").AppendAlert(nil, exporttest.BruteForce())
	ms := float64(exporttest.Time.UnixMilli())
	want := map[string]any{
		"time": ms, "start_time": ms - 60000, "end_time": ms + 1000, "count": 5.0, "severity": "High", "status": "New", "is_alert": true,
		"type_name": "Detection Finding: Create", "metadata.uid": "00112233445566778899aabbccddeeff", "metadata.product.version": "1.2.3",
		"metadata.correlation_uid": "00000000000000000000000000000000", "metadata.logged_time": ms + 1000, "metadata.reporter.uid": "host-1",
		"metadata.event_code":               "ssh_brute_force",
		"finding_info.title":                "SSH brute force",
		"finding_info.analytic.uid":         "ssh_brute_force",
		"finding_info.first_seen_time":      ms - 60000,
		"finding_info.last_seen_time":       ms + 1000,
		"finding_info.types":                []any{"log", "network"},
		"finding_info.data_sources":         []any{"sshd", "eth0"},
		"finding_info.attacks.0":            map[string]any{"technique": map[string]any{"uid": "T1110"}, "sub_technique": map[string]any{"uid": "T1110.001"}},
		"finding_info.attacks.1":            map[string]any{"technique": map[string]any{"uid": "T1078"}},
		"finding_info.attacks.2":            map[string]any{"tactic": map[string]any{"uid": "TA0006", "name": "Credential Access"}},
		"finding_info.attacks.3":            map[string]any{"tactic": map[string]any{"uid": "TA0001", "name": "Initial Access"}},
		"evidences.0.src_endpoint":          map[string]any{"ip": "192.0.2.7"},
		"evidences.0.dst_endpoint":          map[string]any{"ip": "2001:db8::1", "port": 22.0},
		"evidences.0.process":               map[string]any{"pid": 24200.0, "name": "sshd", "cmd_line": "sshd -D"},
		"evidences.1.data.message":          "Failed password for root from 192.0.2.7 port 22 ssh2",
		"evidences.1.uid":                   "0000000000000007-29",
		"evidences.3.dst_endpoint":          map[string]any{"ip": "198.51.100.1", "port": 22.0},
		"device.hostname":                   "web1",
		"device.uid":                        "host-1",
		"resources.0":                       map[string]any{"type": "container", "uid": "f00d"},
		"observables.0":                     map[string]any{"name": "evidences.src_endpoint.ip", "type_id": 2.0, "type": "IP Address", "value": "192.0.2.7"},
		"enrichments.0.value":               "192.0.2.7",
		"enrichments.0.data":                map[string]any{"src_container_id": "cafe", "src_via": "address"},
		"enrichments.1.data":                map[string]any{"dst_process": "sshd"},
		"raw_data":                          "Failed password for root from 192.0.2.7 port 22 ssh2\nFailed password for root from 192.0.2.7 port 22 ssh2",
		"raw_data_size":                     105.0,
		"unmapped.details":                  map[string]any{"bound": "5"},
		"unmapped.evidence":                 "confirmed",
		"finding_info.related_events.1.uid": "0000000000000007-2a",
	}
	var paths []string
	for path := range want {
		paths = append(paths, path)
	}
	if diff := cmp.Diff(want, picked(t, doc, paths...)); diff != "" {
		t.Errorf("the finding differs (-want +got):\n%s", diff)
	}
}

func TestTheStatesOfAFinding(t *testing.T) {
	for _, test := range []struct {
		state, silence string
		want           []any
	}{
		{"", "", []any{"Create", "New", true, nil}},
		{"open", "", []any{"Create", "New", true, nil}},
		{"open", "5a", []any{"Create", "Suppressed", true, "Held back by the silence 5a."}},
		{"acknowledged", "", []any{"Update", "In Progress", true, nil}},
		{"acknowledged", "5a", []any{"Update", "In Progress", true, "Held back by the silence 5a."}},
		{"closed", "", []any{"Close", "Resolved", false, nil}},
	} {
		a := exporttest.BruteForce()
		a.State, a.SilencedBy = test.state, test.silence
		paths := []string{"activity_name", "status", "is_alert", "status_detail"}
		got := picked(t, NewEncoder("h", "1").AppendAlert(nil, a), paths...)
		for i, path := range paths {
			if got[path] != test.want[i] {
				t.Errorf("state %q, silence %q: %s: got %v, want %v", test.state, test.silence, path, got[path], test.want[i])
			}
		}
	}
}

func TestWhatARemediationSays(t *testing.T) {
	for _, test := range []struct {
		verb    string
		outcome pb.Outcome
		want    []any
	}{
		{"block", pb.Outcome_OUTCOME_APPLIED, []any{"Isolate", "Success", 700101.0}},
		{"block", pb.Outcome_OUTCOME_SIMULATED, []any{"Isolate", "simulated", 700101.0}},
		{"limit", pb.Outcome_OUTCOME_REFUSED, []any{"Isolate", "Failure", 700101.0}},
		{"net-isolate", pb.Outcome_OUTCOME_PARTIAL, []any{"Isolate", "Partial", 700101.0}},
		{"net-isolate", pb.Outcome_OUTCOME_RELEASED, []any{"Restore", "Success", 700103.0}},
		{"block", pb.Outcome_OUTCOME_EXPIRED, []any{"Restore", "Success", 700103.0}},
		{"kill", pb.Outcome_OUTCOME_APPLIED, []any{"Evict", "Success", 700102.0}},
		{"stop", pb.Outcome_OUTCOME_FAILED, []any{"Evict", "Error", 700102.0}},
	} {
		a := &pb.ActionEvent{Id: "i", Action: test.verb, Outcome: test.outcome, Target: "192.0.2.7/32", AlertId: "a", Reason: "why"}
		doc := NewEncoder("h", "1").AppendAction(nil, a)
		paths := []string{"activity_name", "status", "type_uid"}
		got := picked(t, doc, append(slices.Clone(paths), "observables.0.value", "unmapped.alert_id", "status_detail", "command_uid")...)
		for i, path := range paths {
			if got[path] != test.want[i] {
				t.Errorf("%s %v: %s: got %v, want %v", test.verb, test.outcome, path, got[path], test.want[i])
			}
		}
		if got["observables.0.value"] != "192.0.2.7" || got["unmapped.alert_id"] != "a" || got["status_detail"] != "why" || got["command_uid"] != "i" {
			t.Errorf("got %v", got)
		}
	}
}

// TestVulnerabilitiesAreNamed tells advisories from CVEs.
func TestVulnerabilitiesAreNamed(t *testing.T) {
	for id, member := range map[string]string{"CVE-2021-44228": "cve", "GHSA-jfh8-c2jp-5v3q": "advisory"} {
		doc := NewEncoder("h", "1").AppendAlert(nil, exporttest.Vulnerable(id))
		got := picked(t, doc, "vulnerabilities.0."+member+".uid", "vulnerabilities.0.affected_packages.0.fixed_in_version", "finding_info.types")
		if got["vulnerabilities.0."+member+".uid"] != id || got["vulnerabilities.0.affected_packages.0.fixed_in_version"] != "2.15.0" {
			t.Errorf("%s: got %v", id, got)
		}
	}
}

func BenchmarkAlert(b *testing.B) {
	e, a := NewEncoder("host-1", "1"), exporttest.BruteForce()
	buf := make([]byte, 0, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		buf = e.AppendAlert(buf[:0], a)
	}
}
