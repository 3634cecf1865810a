package ecs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/internal/export/exporttest"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// table is testdata/ecs-8.17.json.
type table struct {
	Version    string
	Needed     []string
	Fields     map[string]string
	Arrays     []string
	Kinds      []string
	Outcomes   []string
	OSTypes    []string `json:"os_types"`
	Categories map[string][]string
	Own        map[string]string
}

func fields(t *testing.T) table {
	t.Helper()
	raw, err := os.ReadFile("testdata/ecs-8.17.json")
	if err != nil {
		t.Fatal(err)
	}
	var out table
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	for name, kind := range out.Own {
		out.Fields["ironpost."+name] = kind
	}
	return out
}

// check returns what is wrong with a document.
func (f table) check(doc []byte) error {
	var value map[string]any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return err
	}
	flat := map[string]any{}
	f.flatten("", value, flat)
	for name, v := range flat {
		if err := f.field(name, v); err != nil {
			return err
		}
	}
	for _, name := range f.Needed {
		if flat[name] == nil {
			return fmt.Errorf("%s is missing", name)
		}
	}
	one := func(name string, allowed []string) error {
		if v, ok := flat[name]; ok && !slices.Contains(allowed, fmt.Sprint(v)) {
			return fmt.Errorf("%s is %v", name, v)
		}
		return nil
	}
	for name, allowed := range map[string][]string{"event.kind": f.Kinds, "event.outcome": f.Outcomes, "host.os.type": f.OSTypes, "ecs.version": {f.Version}} {
		if err := one(name, allowed); err != nil {
			return err
		}
	}
	for _, category := range flat["event.category"].([]any) {
		types, ok := f.Categories[category.(string)]
		if !ok {
			return fmt.Errorf("there is no category %v", category)
		}
		for _, kind := range flat["event.type"].([]any) {
			if !slices.Contains(types, kind.(string)) {
				return fmt.Errorf("%v is no type of the category %v", kind, category)
			}
		}
	}
	return nil
}

func (f table) flatten(at string, value map[string]any, into map[string]any) {
	for name, v := range value {
		path := strings.TrimPrefix(at+"."+name, ".")
		if object, ok := v.(map[string]any); ok && f.Fields[path] != "flattened" {
			f.flatten(path, object, into)
			continue
		}
		into[path] = v
	}
}

func (f table) field(name string, v any) error {
	kind, ok := f.Fields[name]
	if !ok {
		return fmt.Errorf("there is no field %s", name)
	}
	list, isList := v.([]any)
	if isList != slices.Contains(f.Arrays, name) {
		return fmt.Errorf("%s is %v", name, v)
	}
	if !isList {
		list = []any{v}
	}
	for _, one := range list {
		if err := typed(kind, one); err != nil {
			return fmt.Errorf("%s, %s: %w", name, kind, err)
		}
	}
	return nil
}

func typed(kind string, v any) error {
	text, isText := v.(string)
	switch kind {
	case "keyword", "match_only_text", "wildcard":
		if !isText || text == "" {
			return fmt.Errorf("got %v", v)
		}
	case "date":
		_, err := time.Parse(time.RFC3339Nano, text)
		return err
	case "ip":
		_, err := netip.ParseAddr(text)
		return err
	case "long":
		n, ok := v.(json.Number)
		if !ok {
			return fmt.Errorf("got %v", v)
		}
		_, err := n.Int64()
		return err
	case "flattened":
		for name, v := range v.(map[string]any) {
			if _, ok := v.(string); !ok || name == "" {
				return fmt.Errorf("%s: got %v", name, v)
			}
		}
	default:
		return fmt.Errorf("the table has an unknown type")
	}
	return nil
}

func TestEveryEventIsECS(t *testing.T) {
	f := fields(t)
	if f.Version != Version {
		t.Errorf("the table is of %s, want %s", f.Version, Version)
	}
	for _, e := range []*Encoder{NewEncoder("host-1", "1.2.3"), NewEncoder("", "")} {
		for _, a := range exporttest.Alerts(2000) {
			if doc := e.AppendAlert(nil, a); f.check(doc) != nil {
				t.Fatalf("got %v for\n%s", f.check(doc), doc)
			}
		}
		for _, a := range exporttest.Actions() {
			if doc := e.AppendAction(nil, a); f.check(doc) != nil {
				t.Fatalf("got %v for\n%s", f.check(doc), doc)
			}
		}
	}
}

// TestTheTableRefuses shows that the table would find what is wrong.
func TestTheTableRefuses(t *testing.T) {
	f := fields(t)
	doc := string(NewEncoder("host-1", "1.2.3").AppendAlert(nil, exporttest.BruteForce()))
	for _, test := range []struct{ old, new string }{
		{`"kind":"alert"`, `"kind":"alarm"`},
		{`"category":["intrusion_detection"]`, `"category":["intrusion"]`},
		{`"category":["intrusion_detection"]`, `"category":"intrusion_detection"`},
		{`"type":["info"]`, `"type":["start"]`},
		{`"ip":"192.0.2.7"`, `"ip":"192.0.2.777"`},
		{`"port":22`, `"port":"22"`},
		{`"subtechnique":`, `"sub_technique":`},
		{`"ecs":{"version":"8.17.0"},`, ``},
		{`"@timestamp":"2026`, `"@timestamp":"on 2026`},
	} {
		if !strings.Contains(doc, test.old) {
			t.Errorf("%s has no %s", doc, test.old)
		} else if f.check([]byte(strings.ReplaceAll(doc, test.old, test.new))) == nil {
			t.Errorf("%s for %s is taken", test.new, test.old)
		}
	}
}

func TestWhatAnAlertSays(t *testing.T) {
	a := exporttest.BruteForce()
	a.SilencedBy = "5a"
	var got map[string]any
	if err := json.Unmarshal(NewEncoder("host-1", "1.2.3").AppendAlert(nil, a), &got); err != nil {
		t.Fatal(err)
	}
	flat := map[string]any{}
	fields(t).flatten("", got, flat)
	want := map[string]any{
		"@timestamp": "2026-03-01T12:00:00.123456789Z", "message": "SSH brute force", "event.kind": "alert", "event.id": "00112233445566778899aabbccddeeff",
		"event.severity": 4.0, "event.start": "2026-03-01T11:59:00.123456789Z", "event.end": "2026-03-01T12:00:01.123456789Z",
		"event.created": "2026-03-01T12:00:01.123456789Z", "rule.id": "ssh_brute_force", "rule.name": "SSH brute force", "rule.ruleset": "detector-rules",
		"threat.framework": "MITRE ATT&CK", "threat.technique.id": []any{"T1110", "T1078"}, "threat.technique.subtechnique.id": []any{"T1110.001"},
		"threat.tactic.id": []any{"TA0006", "TA0001"}, "threat.tactic.name": []any{"Credential Access", "Initial Access"},
		"source.ip": "192.0.2.7", "destination.ip": "2001:db8::1", "destination.port": 22.0, "user.name": "root", "process.name": "sshd", "process.pid": 24200.0,
		"process.command_line": "sshd -D", "container.id": "f00d", "file.path": "/usr/sbin/sshd", "host.name": "web1", "host.id": "host-1", "host.os.type": "linux",
		"related.ip": []any{"192.0.2.7", "2001:db8::1"}, "related.user": []any{"root"}, "related.hosts": []any{"web1"},
		"ironpost.state": "open", "ironpost.silenced_by": "5a", "ironpost.count": 5.0, "ironpost.evidence": "confirmed",
	}
	for name := range flat {
		if _, ok := want[name]; !ok {
			delete(flat, name)
		}
	}
	if diff := cmp.Diff(want, flat); diff != "" {
		t.Errorf("the document differs (-want +got):\n%s", diff)
	}
}

func TestWhatAnActionSays(t *testing.T) {
	for _, test := range []struct {
		verb, target string
		outcome      pb.Outcome
		want         string
	}{
		{"block", "192.0.2.7/32", pb.Outcome_OUTCOME_APPLIED, "[network] [denied] success 192.0.2.7 <nil>"},
		{"block", "192.0.2.7", pb.Outcome_OUTCOME_EXPIRED, "[network] [allowed] success 192.0.2.7 <nil>"},
		{"limit", "198.51.100.0/24", pb.Outcome_OUTCOME_SIMULATED, "[network] [denied] unknown <nil> <nil>"},
		{"kill", "f00d", pb.Outcome_OUTCOME_FAILED, "[process] [end] failure <nil> f00d"},
		{"pause", "f00d", pb.Outcome_OUTCOME_APPLIED, "[process] [change] success <nil> f00d"},
		{"notify", "x", pb.Outcome_OUTCOME_APPLIED, "[intrusion_detection] [info] success <nil> <nil>"},
	} {
		var got map[string]any
		doc := NewEncoder("host-1", "1").AppendAction(nil, &pb.ActionEvent{Action: test.verb, Target: test.target, Outcome: test.outcome})
		if err := json.Unmarshal(doc, &got); err != nil {
			t.Fatal(err)
		}
		flat := map[string]any{}
		fields(t).flatten("", got, flat)
		if text := fmt.Sprint(flat["event.category"], flat["event.type"], " ", flat["event.outcome"], " ", flat["source.ip"], " ", flat["container.id"]); text != strings.Replace(test.want, "] [", "] [", 1) {
			t.Errorf("%s %v: got %s, want %s", test.verb, test.outcome, text, test.want)
		}
	}
}
