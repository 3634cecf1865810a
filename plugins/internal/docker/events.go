package docker

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"time"
)

// Event is one event of Docker's.
type Event struct {
	Type   string
	Action string
	Actor  struct {
		ID         string
		Attributes map[string]string
	}
	Time     int64 `json:"time"`
	TimeNano int64 `json:"timeNano"`
}

// At is when it happened, in nanoseconds since 1970.
func (e *Event) At() int64 {
	if e.TimeNano != 0 {
		return e.TimeNano
	}
	return e.Time * int64(time.Second)
}

// Stamp writes nanoseconds since 1970 as Docker wants them: seconds, with nine digits
// behind the point.
func Stamp(ns int64) string {
	return fmt.Sprintf("%d.%09d", ns/int64(time.Second), ns%int64(time.Second))
}

// Events calls each with every event since a time, in nanoseconds since 1970, and with
// what follows, until ctx is done or the connection ends; 0 is that of the call. begun is
// called once it stands. Docker keeps the last 256 events, in memory. text is valid until
// each returns. The error is never nil.
func (c *Client) Events(ctx context.Context, since int64, begun func(), each func(text []byte, e *Event) error) error {
	query := url.Values{}
	if since > 0 {
		query.Set("since", Stamp(since))
	}
	body, err := c.Get(ctx, "/events", query)
	if err != nil {
		return fmt.Errorf("follow the events: %w", err)
	}
	defer func() { _ = body.Close() }() // it was read only
	begun()
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 16<<10), maxEvent)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		if err := each(lines.Bytes(), &e); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("follow the events: %w", err)
	}
	return fmt.Errorf("follow the events: %w", io.EOF)
}
