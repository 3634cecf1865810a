package slack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// Bounds, in characters but for maxFields and maxLines.
const (
	maxTitle  = 150
	maxText   = 500
	maxName   = 40
	maxValue  = 150
	maxLine   = 300
	maxFields = 12
	maxLines  = 3
)

// message is the body. Its members are those of Slack's incoming webhooks.
type message struct {
	Text        string       `json:"text"`
	Parse       string       `json:"parse"`
	UnfurlLinks bool         `json:"unfurl_links"`
	UnfurlMedia bool         `json:"unfurl_media"`
	Attachments []attachment `json:"attachments"`
}

type attachment struct {
	Color    string   `json:"color"`
	Fallback string   `json:"fallback"`
	Text     string   `json:"text,omitempty"`
	Fields   []field  `json:"fields,omitempty"`
	Footer   string   `json:"footer,omitempty"`
	Stamp    int64    `json:"ts,omitempty"`
	Markdown []string `json:"mrkdwn_in"`
}

type field struct {
	Title string `json:"title"`
	Value string `json:"value"`
	Short bool   `json:"short"`
}

// Alert returns the body of an alert that a host of this name raised.
func Alert(host string, a *event.AlertEvent) ([]byte, error) {
	head := fmt.Sprintf("%s: %s on %s", a.Severity, plain(a.Title, maxTitle), plain(host, maxName))
	at := attachment{
		Color: color(a.Severity), Fallback: head, Text: plain(a.Description, maxText), Stamp: stamp(a.Time), Markdown: []string{"text", "fields"},
		Footer: fmt.Sprintf("rule %s, alert %s", plain(a.RuleID, maxName), plain(a.ID, maxName)),
	}
	for _, f := range a.Entities {
		at.add(f.Key, f.Value)
	}
	if a.Count > 1 {
		at.add("events", strconv.FormatUint(a.Count, 10))
	}
	if a.Evidence == event.EvidenceForgeable {
		at.add("evidence", "may be forged")
	}
	for i, e := range a.Logs {
		if i == maxLines {
			break
		}
		at.Text += "\n" + code(e.Message, maxLine)
	}
	return encode(message{Text: head, Parse: "none", Attachments: []attachment{at}})
}

// Action returns the body of an action on a host of this name.
func Action(host string, a *event.ActionEvent) ([]byte, error) {
	head := fmt.Sprintf("%s %s: %s on %s", plain(a.Action, maxName), code(a.Target, maxValue), a.Outcome, plain(host, maxName))
	at := attachment{
		Color: actionColor(a.Outcome), Fallback: head, Text: plain(a.Reason, maxText), Stamp: stamp(a.Time), Markdown: []string{"text", "fields"},
		Footer: fmt.Sprintf("%s, mode %s, alert %s", plain(a.Enforcer, maxName), plain(a.Mode, maxName), plain(a.AlertID, maxName)),
	}
	if !a.Expires.IsZero() {
		at.add("expires", a.Expires.UTC().Format(time.RFC3339))
	}
	for _, f := range a.Details {
		at.add(f.Key, f.Value)
	}
	return encode(message{Text: head, Parse: "none", Attachments: []attachment{at}})
}

// add shows a field, unless there are enough.
func (a *attachment) add(name, value string) {
	if len(a.Fields) < maxFields && value != "" {
		a.Fields = append(a.Fields, field{Title: plain(name, maxName), Value: code(value, maxValue), Short: len(value) <= maxName})
	}
}

func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func color(s event.Severity) string {
	switch s {
	case event.SeverityCritical:
		return "#8b0000"
	case event.SeverityHigh:
		return "danger"
	case event.SeverityMedium:
		return "warning"
	}
	return "#439fe0"
}

func actionColor(o event.Outcome) string {
	switch o {
	case event.OutcomeApplied:
		return "danger"
	case event.OutcomeFailed, event.OutcomePartial, event.OutcomeRefused:
		return "warning"
	case event.OutcomeReleased, event.OutcomeExpired:
		return "good"
	}
	return "#439fe0"
}

func encode(m message) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		return nil, fmt.Errorf("encode a Slack message: %w", err)
	}
	return b.Bytes(), nil
}
