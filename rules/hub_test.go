package rules_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/parser-auditd/audit"
	"github.com/ironpost/ironpost/plugins/parser-syslog/syslog"
	"github.com/ironpost/ironpost/plugins/parser-text/text"
	"github.com/ironpost/ironpost/plugins/parser-web/web"
	"github.com/ironpost/ironpost/sdk/event"
)

// hubCases are the attack logs of the hub and what reads each. The two cases of
// impossible travel need a database of places.
var hubCases = []struct{ name, log, format string }{
	{"apache2-http-sensitive-files", "apache2-http-sensitive-files.log", "web"},
	{"apache2-malformed", "apache2-logs.log", "web"},
	{"auditd-base64-exec", "auditd-base64-exec.log", "auditd"},
	{"auditd-logs", "auditd-logs.log", "auditd"},
	{"auditd-postexploit-exec-from-net", "auditd-postexploit-exec-from-net.log", "auditd"},
	{"auditd-postexploit-rm", "auditd-postexploit-rm.log", "auditd"},
	{"auditd-suid-crash", "auditd-suid-crash.log", "auditd"},
	{"dovecot-logs", "dovecot-logs.log", "syslog"},
	{"dovecot-time-based-bf-user-enum", "dovecot-time-based-bf-user-enum.log", "syslog"},
	{"http-cve-probing", "http-cve-probing.log", "web"},
	{"http-magento-bf", "http-magento-bf.log", "text"},
	{"http-technology-probing", "http-technology-probing.log", "web"},
	{"http-wordpress_wpconfig", "http-wordpress_wpconfig.log", "syslog"},
	{"iptables-scan-multi-port", "iptables-scan-multi-port.log", "syslog"},
	{"mysql-logs", "mysql-logs.log", "text"},
	{"nginx-bad-user-agent", "nginx-bad-user-agent.log", "web"},
	{"nginx-http-backdoor", "nginx-http-backdoor.log", "web"},
	{"nginx-http-malformed", "nginx_http-logs.log", "web"},
	{"nginx-http-path-traversal", "nginx-http-path-traversal.log", "web"},
	{"nginx-http-xss-probing", "nginx-http-xss-probing.log", "web"},
	{"nginx-proxy-manager-logs", "nginx-proxy-manager-logs.log", "web"},
	{"nginx-proxy-manager-malformed", "nginx_http-logs.log", "web"},
	{"pgsql-user-enum", "pgsql-user-enum.log", "text"},
	{"postfix-non-smtp", "postfix-non-smtp.log", "syslog"},
	{"postfix-relay", "postfix-spam.log", "syslog"},
	{"postfix-sasl-bf", "postfix-sasl-bf.log", "syslog"},
	{"postfix-spam", "postfix-spam.log", "syslog"},
	{"proftpd-user-enum", "proftpd-user-enum.log", "syslog"},
	{"ssh-bf", "ssh-bf.log", "syslog"},
	{"ssh-generic-test", "ssh-generic-test.log", "syslog"},
	{"ssh-slow-bf", "ssh-slow-bf.log", "syslog"},
	{"ssh-time-based-bf", "ssh-time-based-bf.log", "syslog"},
	{"ssh-timeout", "ssh-timeout.log", "syslog"},
	{"sshd-invalid-bf", "sshd-invalid-bf.log", "syslog"},
	{"sshd-logs", "sshd-logs.log", "syslog"},
}

// TestHubFields counts how many of the addresses and times that the hub asserts
// of its logs the parsers find. The address and the time that it asserts of one
// event must be those of one event, and no event stands for two of a list.
func TestHubFields(t *testing.T) {
	total, found := 0, 0
	for _, c := range hubCases {
		events := hubEvents(t, c.name, c.log, c.format)
		used := map[string]map[int]bool{}
		for _, want := range hubAsserts(t, c.name) {
			total += len(want.values)
			if used[want.list] == nil {
				used[want.list] = map[int]bool{}
			}
			if want.take(events, used[want.list]) {
				found += len(want.values)
			} else {
				t.Logf("%s: no event for %s: %v", c.name, want.list, want.values)
			}
		}
	}
	t.Logf("%d of %d asserted addresses and times, %.1f %%", found, total, 100*float64(found)/float64(total))
	if found*100 < total*95 {
		t.Errorf("got %d of %d, want 95 %%", found, total)
	}
}

// hub is where the hub's logs are.
const hub = "../../shared/data/crowdsec-hub"

// hubFile reads a file of a case, and skips the test when the logs are not there.
func hubFile(t *testing.T, name, file string) []byte {
	t.Helper()
	if _, err := os.Stat(hub); err != nil {
		t.Skipf("the logs are not here: %v", err)
	}
	data, err := os.ReadFile(path.Join(hub, name, file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// hubEvents parses a log. Stamps without a year are of the year in which the hub
// read them.
func hubEvents(t *testing.T, name, log, format string) []event.LogEvent {
	t.Helper()
	data := string(hubFile(t, name, log))
	observed := time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC)
	var sys syslog.Parser
	var txt text.Parser
	var www web.Parser
	var aud audit.Parser
	parse := map[string]func(event.RawLog, *event.LogEvent) error{"syslog": sys.Parse, "text": txt.Parse, "web": www.Parse, "auditd": aud.Parse}[format]
	if parse == nil {
		t.Fatal(errors.New("no parser for the format " + format))
	}
	var events []event.LogEvent
	for i, line := range strings.Split(data, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		var ev event.LogEvent
		raw := event.RawLog{Stream: &event.Stream{TimeZone: "UTC"}, ObservedTime: observed, Line: []byte(line)}
		if err := parse(raw, &ev); err != nil {
			t.Logf("%s: line %d: %v: %.120s", name, i+1, err, line)
			continue
		}
		events = append(events, ev)
	}
	return events
}

// hubAssert is what is asserted of one event in a list: of a stage of parsing, or
// of an alert.
type hubAssert struct {
	list   string
	values map[string]string
}

// The assertions about what the parsers find, and about what alerts name.
var (
	hubParsed  = regexp.MustCompile(`^results\["([^"]*)"\]\["([^"]*)"\]\[(\d+)\]\.Evt\.Meta\["(source_ip|timestamp)"\] == "(.*)"$`)
	hubAlerted = regexp.MustCompile(`^results\[(\d+)\]\.Overflow\.Alert\.()Events\[(\d+)\]\.GetMeta\("(source_ip|timestamp)"\) == "(.*)"$`)
)

// hubAsserts reads the assertions of a case.
func hubAsserts(t *testing.T, name string) (asserts []*hubAssert) {
	t.Helper()
	byEvent := map[string]*hubAssert{}
	for _, file := range []string{"parser.assert", "scenario.assert"} {
		if !slices.Contains(hubFiles(t, name), file) {
			continue
		}
		for line := range strings.Lines(string(hubFile(t, name, file))) {
			m := hubParsed.FindStringSubmatch(strings.TrimSpace(line))
			if m == nil {
				m = hubAlerted.FindStringSubmatch(strings.TrimSpace(line))
			}
			if m == nil {
				continue
			}
			value, err := strconv.Unquote(`"` + m[5] + `"`)
			if err != nil {
				t.Fatal(err)
			}
			list := fmt.Sprint(file, " ", m[1], " ", m[2])
			a := byEvent[list+" "+m[3]]
			if a == nil {
				a = &hubAssert{list: list, values: map[string]string{}}
				byEvent[list+" "+m[3]] = a
				asserts = append(asserts, a)
			}
			if value != "" {
				a.values[m[4]] = value
			}
		}
	}
	return asserts
}

// hubFiles lists the files of a case.
func hubFiles(t *testing.T, name string) (files []string) {
	t.Helper()
	entries, err := os.ReadDir(path.Join(hub, name))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		files = append(files, e.Name())
	}
	return files
}

// take finds an event that is not used and says all of it.
func (a *hubAssert) take(events []event.LogEvent, used map[int]bool) bool {
	for i := range events {
		if used[i] || !a.isSaid(&events[i]) {
			continue
		}
		used[i] = true
		return true
	}
	return false
}

func (a *hubAssert) isSaid(ev *event.LogEvent) bool {
	if want := a.values["source_ip"]; want != "" {
		if ip, _ := ev.Get("src_ip"); ip != want {
			return false
		}
	}
	if want := a.values["timestamp"]; want != "" {
		at, err := time.Parse(time.RFC3339Nano, want)
		return err == nil && ev.Time.Truncate(time.Second).Equal(at.Truncate(time.Second))
	}
	return true
}

// TestHubClasses holds the mapping to the scenarios that the cases assert: each
// has a class.
func TestHubClasses(t *testing.T) {
	f, err := os.Open("testdata/hub-classes.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	classes := map[string]string{}
	for _, row := range rows[1:] {
		classes[row[0]] = row[1]
	}
	scenario := regexp.MustCompile(`GetScenario\(\) == "([^"]*)"`)
	if _, err := os.Stat(hub); err != nil {
		t.Skipf("the logs are not here: %v", err)
	}
	for _, c := range hubCases {
		if !slices.Contains(hubFiles(t, c.name), "scenario.assert") {
			continue
		}
		for _, m := range scenario.FindAllStringSubmatch(string(hubFile(t, c.name, "scenario.assert")), -1) {
			if classes[m[1]] == "" {
				t.Errorf("%s: scenario %s has no class", c.name, m[1])
			}
		}
	}
}
