package sdk_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/sdktest"
	"github.com/ironpost/ironpost/sdk/sdktest/suite"
)

// A plugin is one value. In a program of its own, main is
//
//	func main() { os.Exit(sdk.Main(plugin())) }
func ExamplePlugin() {
	type config struct {
		Threshold int `config:"threshold" help:"lines that alert" min:"1" max:"100"`
	}
	p := sdk.Plugin{
		Name:     "detector-acme",
		Summary:  "Finds what Acme appliances complain about",
		Section:  "acme",
		Config:   &config{Threshold: 3}, // the defaults
		Detector: newTally(),
	}
	fmt.Println(p.Kinds(), p.Validate())

	p.Name = "Detector Acme"
	fmt.Println(p.Validate())
	// Output:
	// [detector] <nil>
	// plugin name "Detector Acme": want 2 to 48 lower-case letters, digits and hyphens, beginning with a letter
}

// tally counts lines by host and alerts at every third.
type tally struct {
	lines map[string]uint64
	dirty map[string]bool
}

func newTally() *tally { return &tally{map[string]uint64{}, map[string]bool{}} }

func (t *tally) Detect(_ context.Context, batch sdk.Batch, raise func(*event.AlertEvent)) error {
	for e := range batch.Logs() {
		host := strings.Clone(e.Host) // e is valid until the next step
		t.lines[host]++
		t.dirty[host] = true
		if t.lines[host]%3 == 0 {
			a := &event.AlertEvent{RuleID: "third", Title: "A third line", Severity: event.SeverityLow, Group: host, Count: 3}
			a.SetEntity("host", host)
			a.CiteLog(e)
			raise(a)
		}
	}
	return nil
}

// Restore takes back what Save reported in all lives before.
func (t *tally) Restore(entries iter.Seq2[string, []byte]) error {
	for host, value := range entries {
		if len(value) == 8 { // else it is of another version
			t.lines[strings.Clone(host)] = binary.BigEndian.Uint64(value)
		}
	}
	return nil
}

// Save reports what has changed; an entry that finds no room stays dirty.
func (t *tally) Save(changes *sdk.Changes) {
	for host := range t.dirty {
		if changes.Put(host, binary.BigEndian.AppendUint64(nil, t.lines[host])) {
			delete(t.dirty, host)
		}
	}
}

// A detector is held to its contract with events that make it raise an alert. The
// suite kills it in every batch, gives its state back, and wants the same alerts.
func ExampleDetector() {
	stream := &event.Stream{ID: event.StreamID("test", "log"), Name: "log", Provenance: event.ProvenanceHost}
	line := &event.LogEvent{Host: "web1", Message: "disk is nearly full"}
	report := suite.Run(context.Background(),
		sdktest.Value(func() sdk.Plugin {
			return sdk.Plugin{Name: "detector-acme", Version: "1.0.0", Summary: "Counts", Detector: newTally()}
		}),
		suite.Config{Detector: suite.DetectorConfig{Batches: []suite.Batch{
			suite.Logs(stream, 1, line, line), suite.Logs(stream, 3, line, line),
		}}})
	fmt.Println(report.Plugin, report.Kinds, "failed:", report.Failed)
	// Output:
	// detector-acme [detector] failed: 0
}

// Save and Restore carry a detector's memory over its death.
func ExampleStateful() {
	before := newTally()
	before.lines["web1"], before.dirty["web1"] = 2, true
	kept := map[string][]byte{}
	before.Save(sdk.NewChanges(func(key string, value []byte, _ bool) { kept[key] = bytes.Clone(value) }))

	after := newTally()
	err := after.Restore(func(yield func(string, []byte) bool) {
		for k, v := range kept {
			if !yield(k, v) {
				return
			}
		}
	})
	fmt.Println(after.lines, err)
	// Output:
	// map[web1:2] <nil>
}

// blocker answers severe alerts whose evidence cannot be forged.
type blocker struct{}

func (blocker) Decide(_ context.Context, a *event.AlertEvent, propose func(sdk.Intent)) error {
	if a.Severity >= event.SeverityHigh && a.Evidence == event.EvidenceConfirmed {
		propose(sdk.Intent{Action: "block", Target: a.Entity("src_ip"), Reason: a.Title, TTLSeconds: 600})
	}
	return nil
}

// An enforcer proposes; the host checks mode, allow list and limits, and acts.
func ExamplePolicyEnforcer() {
	a := &event.AlertEvent{Title: "Brute force", Severity: event.SeverityHigh, Evidence: event.EvidenceConfirmed}
	a.SetEntity("src_ip", "192.0.2.1")
	err := blocker{}.Decide(context.Background(), a, func(i sdk.Intent) {
		fmt.Println(i.Action, i.Target, i.TTLSeconds, i.Reason)
	})
	fmt.Println(err)
	// Output:
	// block 192.0.2.1 600 Brute force
	// <nil>
}

// ticker is a source of three lines. Their position is a number.
type ticker struct{}

func (ticker) Run(ctx context.Context, out sdk.Emitter) error {
	stream, err := out.Open(sdk.StreamConfig{Name: "ticks", Format: "text", Provenance: event.ProvenanceHost})
	if err != nil {
		return err
	}
	at := len(stream.Resume()) // nil for a new stream
	for ; at < 3; at++ {
		if err := stream.Emit(ctx, fmt.Appendf(nil, "tick %d", at), make([]byte, at+1)); err != nil {
			return nil // the host has no more use for it
		}
	}
	<-ctx.Done()
	return stream.Close()
}

// A source opens streams and emits records with the position behind each.
func ExampleLogSource() {
	report := suite.Run(context.Background(), sdktest.Value(func() sdk.Plugin {
		return sdk.Plugin{Name: "source-ticks", Version: "1.0.0", Summary: "Ticks", Source: ticker{}}
	}), suite.Config{})
	fmt.Println(report.Kinds, "failed:", report.Failed)
	// Output:
	// [source] failed: 0
}

// names keeps the titles of alerts by their ids, so that a redelivery adds nothing.
type names map[string]string

func (n names) Write(_ context.Context, batch sdk.Batch) error {
	for a := range batch.Alerts() {
		n[strings.Clone(a.ID)] = strings.Clone(a.Title)
	}
	return nil
}

// A sink recognises what it has written by its id.
func ExampleSink() {
	place := names{}
	report := suite.Run(context.Background(), sdktest.Value(func() sdk.Plugin {
		return sdk.Plugin{Name: "sink-names", Version: "1.0.0", Summary: "Keeps titles", Sink: place}
	}), suite.Config{})
	fmt.Println(report.Kinds, "failed:", report.Failed)
	// Output:
	// [sink] failed: 0
}

// lister scans by naming what it was asked about.
type lister struct{}

func (lister) Scan(_ context.Context, req sdk.ScanRequest, out io.Writer) (string, error) {
	if req.Target == "" {
		return "", errors.New("scan: no target was named")
	}
	req.Progress(req.Target)
	_, err := fmt.Fprintf(out, "{\"target\":%q}\n", req.Target)
	return "ndjson", err
}

// A scanner writes one document about a target.
func ExampleScanner() {
	var out bytes.Buffer
	format, err := lister{}.Scan(context.Background(), sdk.ScanRequest{Target: "/srv", Progress: func(string) {}}, &out)
	fmt.Print(format, " ", err, " ", out.String())
	// Output:
	// ndjson <nil> {"target":"/srv"}
}
