package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/ndjson"
	"github.com/ironpost/ironpost/plugins/sink-webhook/slack"
	"github.com/ironpost/ironpost/sdk/event"
)

// maxBody bounds a message, in bytes. An alert that is larger goes without the
// events that it cites.
const maxBody = 256 << 10

var errTooLarge = errors.New("it is larger than 256 KiB")

// encoder makes messages.
type encoder struct {
	host, hostID string
	slack        bool
}

// alertID names the message of an alert, for ever and everywhere.
func (e *encoder) alertID(a *event.AlertEvent) string {
	return e.id("alert", a.ID, "", time.Time{})
}

// actionID names the message of an action: there are several about one intent,
// which differ in outcome and time.
func (e *encoder) actionID(a *event.ActionEvent) string {
	return e.id("action", a.ID+"\x00"+a.Enforcer, a.Outcome.String(), a.Time)
}

func (e *encoder) id(kind, id, outcome string, at time.Time) string {
	h := sha256.New()
	for _, part := range []string{"ironpost delivery", e.hostID, kind, id, outcome} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	if !at.IsZero() {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(at.UnixNano())))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// alert returns the body of an alert.
func (e *encoder) alert(a *event.AlertEvent) ([]byte, error) {
	if e.slack {
		return slack.Alert(e.host, a)
	}
	body, err := e.wrap("alert", e.alertID(a), ndjson.AppendAlert(nil, a))
	if !errors.Is(err, errTooLarge) {
		return body, err
	}
	small := *a
	small.Logs, small.Packets = nil, nil
	return e.wrap("alert", e.alertID(a), ndjson.AppendAlert(nil, &small))
}

// action returns the body of an action.
func (e *encoder) action(a *event.ActionEvent) ([]byte, error) {
	if e.slack {
		return slack.Action(e.host, a)
	}
	return e.wrap("action", e.actionID(a), ndjson.AppendAction(nil, a))
}

// envelope is the body of a message.
type envelope struct {
	Type   string          `json:"type"`
	ID     string          `json:"id"`
	Host   string          `json:"host"`
	HostID string          `json:"host_id"`
	Data   json.RawMessage `json:"data"`
}

// wrap puts one line of JSON into an envelope.
func (e *encoder) wrap(kind, id string, line []byte) ([]byte, error) {
	if len(line) > maxBody {
		return nil, errTooLarge
	}
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	if err := out.Encode(envelope{kind, id, e.host, e.hostID, line}); err != nil {
		return nil, fmt.Errorf("encode a message: %w", err)
	}
	return b.Bytes(), nil
}
