// Command fragile is a parser or a detector for tests, which ends its process at
// once when it sees the record that is poison to it. Which of the two it is is the
// rest of its own name: parser or detector.
//
// The parser reads "TIME HOST APP[PID]: MESSAGE" and knows the address of a failed
// password.
package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func main() {
	name := filepath.Base(os.Args[0])
	p := sdk.Plugin{Name: name, Version: "1.0.0", Summary: "Ends at poison, for tests"}
	if strings.HasSuffix(name, "-parser") {
		p.Parser = sdk.ParseFunc("fragile", parse)
	} else {
		p.Detector = detector{}
	}
	os.Exit(sdk.Main(p))
}

var errForm = errors.New("no TIME HOST APP[PID]: MESSAGE")

func parse(raw event.RawLog, out *event.LogEvent) error {
	line := string(raw.Line)
	if strings.Contains(line, "poison for parsers") {
		os.Exit(7)
	}
	parts := strings.SplitN(line, " ", 4)
	if len(parts) < 4 {
		return errForm
	}
	at, err := time.Parse(time.RFC3339Nano, parts[0])
	if err != nil {
		return err
	}
	out.Time, out.Host, out.Message = at, parts[1], parts[3]
	out.Process, _, _ = strings.Cut(parts[2], "[")
	if _, rest, ok := strings.Cut(parts[3], "Failed password for root from "); ok {
		address, _, _ := strings.Cut(rest, " ")
		out.Set("src_ip", address)
	}
	return nil
}

type detector struct{}

// Detect raises an alert about every line that says so.
func (detector) Detect(_ context.Context, batch sdk.Batch, raise func(*event.AlertEvent)) error {
	for e := range batch.Logs() {
		if strings.Contains(e.Message, "poison for detectors") {
			os.Exit(9)
		}
		if strings.HasPrefix(e.Message, "alert ") {
			raise(&event.AlertEvent{RuleID: "fragile", Title: "A line asks for it", Severity: event.SeverityLow, Group: strings.Clone(e.Message), Logs: []*event.LogEvent{e}})
		}
	}
	return nil
}
