package slack

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

var at = time.Unix(1767323045, 0)

func TestAlert(t *testing.T) {
	a := &event.AlertEvent{
		ID: "a1", Time: at, RuleID: "ssh_brute_force", Title: "SSH Brute Force", Severity: event.SeverityHigh, Count: 5,
		Description: "Many failed logins", Evidence: event.EvidenceConfirmed,
		Entities: []event.Field{{Key: "src_ip", Value: "203.0.113.9"}, {Key: "user", Value: "root"}},
	}
	a.CiteLog(&event.LogEvent{Message: "Failed password for root from 203.0.113.9 port 4711 ssh2"})
	b, err := Alert("web1", a)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"text":"high: SSH Brute Force on web1","parse":"none","unfurl_links":false,"unfurl_media":false,"attachments":[` +
		`{"color":"danger","fallback":"high: SSH Brute Force on web1","text":"Many failed logins\n` + "`Failed password for root from 203.0.113.9 port 4711 ssh2`" + `",` +
		`"fields":[{"title":"src_ip","value":"` + "`203.0.113.9`" + `","short":true},{"title":"user","value":"` + "`root`" + `","short":true},` +
		`{"title":"events","value":"` + "`5`" + `","short":true}],"footer":"rule ssh_brute_force, alert a1","ts":1767323045,"mrkdwn_in":["text","fields"]}]}` + "\n"
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAction(t *testing.T) {
	b, err := Action("web1", &event.ActionEvent{
		ID: "x", Time: at, AlertID: "a1", Enforcer: "enforcer-docker", Action: "net-isolate", Target: "0123456789ab", Outcome: event.OutcomeApplied,
		Mode: "enforce", Reason: "a miner", Expires: at.Add(time.Hour), Details: []event.Field{{Key: "networks", Value: "bridge"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"text":"net-isolate ` + "`0123456789ab`" + `: applied on web1","parse":"none","unfurl_links":false,"unfurl_media":false,"attachments":[` +
		`{"color":"danger","fallback":"net-isolate ` + "`0123456789ab`" + `: applied on web1","text":"a miner",` +
		`"fields":[{"title":"expires","value":"` + "`2026-01-02T04:04:05Z`" + `","short":true},{"title":"networks","value":"` + "`bridge`" + `","short":true}],` +
		`"footer":"enforcer-docker, mode enforce, alert a1","ts":1767323045,"mrkdwn_in":["text","fields"]}]}` + "\n"
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPlain(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"plain", "plain"},
		{"<!channel> & <https://evil.example|click>", "&lt;!channel&gt; &amp; &lt;https:\u200b//evil.example|click&gt;"},
		{"@channel @here", "@\u200bchannel @\u200bhere"},
		{"[click](https://evil.example)", "[click]\u200b(https:\u200b//evil.example)"},
		{"[click][1]", "[click]\u200b[1]"},
		{"`code`", "'code'"},
		{"a\nb\r\n\tc\x1b[2J\x00", "a b   c [2J"},
		{"\u202emoc.elpmaxe\u2066\u200f", "moc.elpmaxe"},
		{"\ufffe\U000e0041x", "x"},
		{"\xff", "\ufffd"},
		{"123456789012345678901234567890", "12345678901234567890…"},
	} {
		most := 100
		if len(tt.text) == 30 && tt.text[0] == '1' {
			most = 20
		}
		if got := plain(tt.text, most); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		}
	}
}

// forged finds what hostile text must not become.
var forged = regexp.MustCompile("<|>|@[^\u200b]|://|\\]\\(|\\]\\[|[\\x00-\\x09\\x0b-\\x1f\\x7f]|&[^algt]")

func FuzzNothingIsForged(f *testing.F) {
	for _, s := range []string{"<!channel>", "@all", "[x](http://e)", "`<@U123>`", "a\nb", "\u202e", "&lt;!here&gt;", strings.Repeat("<", 5000), "\xff\xfe", "]\u202e("} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := &event.LogEvent{Message: s}
		a := &event.AlertEvent{ID: s, RuleID: s, Title: s, Description: s, Logs: []*event.LogEvent{e, e, e, e}}
		x := &event.ActionEvent{Action: s, Target: s, Reason: s, Enforcer: s, Mode: s, AlertID: s}
		for range 20 {
			a.Entities = append(a.Entities, event.Field{Key: s, Value: s})
			x.Details = a.Entities
		}
		first, err := Alert(s, a)
		if err != nil {
			t.Fatal(err)
		}
		second, err := Action(s, x)
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range [][]byte{first, second} {
			var m message
			if err := json.Unmarshal(body, &m); err != nil || len(body) > 32<<10 || !utf8.Valid(body) {
				t.Fatalf("%d bytes, %v: %q", len(body), err, body)
			}
			texts := []string{m.Text}
			for _, at := range m.Attachments {
				texts = append(texts, at.Fallback, at.Text, at.Footer)
				for _, field := range at.Fields {
					texts = append(texts, field.Title, field.Value)
					if n := strings.Count(field.Value, "`"); n != 2 && field.Value != "-" {
						t.Errorf("%d delimiters of code in %q", n, field.Value)
					}
				}
			}
			for _, text := range texts {
				if found := forged.FindString(text); found != "" {
					t.Errorf("%q is in %q", found, text)
				}
			}
		}
	})
}
