package sdk_test

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// A parser is one function over one record. Lines here look like
// "2025-11-01T12:00:00Z WARN web1: disk is nearly full".
func ExampleParseFunc() {
	parser := sdk.ParseFunc("acme", func(raw event.RawLog, out *event.LogEvent) error {
		stamp, rest, _ := strings.Cut(string(raw.Line), " ")
		level, rest, _ := strings.Cut(rest, " ")
		host, text, ok := strings.Cut(rest, ": ")
		if !ok {
			return errors.New("want TIME LEVEL HOST: text")
		}
		t, err := time.Parse(time.RFC3339, stamp)
		if err != nil {
			return fmt.Errorf("time: %w", err)
		}
		out.Time, out.Host, out.Message = t, host, text
		out.Set("acme.level", level)
		return nil
	})

	var e event.LogEvent
	err := parser.Parse(event.RawLog{Line: []byte("2025-11-01T12:00:00Z WARN web1: disk is nearly full")}, &e)
	level, _ := e.Get("acme.level")
	fmt.Println(e.Host, level, e.Message, err)

	err = parser.Parse(event.RawLog{Line: []byte("garbage")}, &e)
	fmt.Println(err)
	// Output:
	// web1 WARN disk is nearly full <nil>
	// want TIME LEVEL HOST: text
}
