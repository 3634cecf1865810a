// Command sink-record is a sink for tests: it appends what it receives to a
// file, one line an event, and calls a batch durable when the file is.
//
//	log STREAM SEQUENCE REASON MESSAGE
//	alert ID RULE GROUP COUNT TIME
//
// TIME is in nanoseconds since 1970; texts are quoted as in Go.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func main() {
	s := &sink{cfg: config{Dir: "data:sink-record"}}
	os.Exit(sdk.Main(sdk.Plugin{
		Name:        "sink-record",
		Version:     "1.0.0",
		Summary:     "Appends events to a file, for tests",
		Section:     "sink_record",
		Config:      &s.cfg,
		Permissions: sdk.Permissions{Write: []string{"config:dir"}},
		Setup:       s.setup,
		Sink:        s,
	}))
}

type config struct {
	Dir string `config:"dir" help:"directory of the file record"`
}

type sink struct {
	cfg  config
	file *os.File
	buf  []byte
}

var (
	_ sdk.Syncer   = (*sink)(nil)
	_ sdk.Consumer = (*sink)(nil)
)

func (s *sink) setup(context.Context, sdk.Env) (err error) {
	s.file, err = os.OpenFile(filepath.Join(s.cfg.Dir, "record"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	return err
}

// Consumes asks for log events and alerts.
func (s *sink) Consumes() []event.Kind { return []event.Kind{event.KindLog, event.KindAlert} }

// Write appends a batch.
func (s *sink) Write(_ context.Context, batch sdk.Batch) error {
	s.buf = s.buf[:0]
	for e := range batch.Logs() {
		s.buf = fmt.Appendf(s.buf, "log %q %d %q %q\n", e.Stream.Name, e.Sequence, e.Reason, e.Message)
	}
	for a := range batch.Alerts() {
		s.buf = fmt.Appendf(s.buf, "alert %q %q %q %d %d\n", a.ID, a.RuleID, a.Group, a.Count, a.Time.UnixNano())
	}
	_, err := s.file.Write(s.buf)
	return err
}

// Sync makes the file durable.
func (s *sink) Sync(context.Context) error { return s.file.Sync() }
