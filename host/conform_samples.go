package host

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/sdktest/suite"
)

// Bounds of what a plugin is driven with: it is sent many times.
const (
	maxSamples     = 10_000
	sampledBatches = 6 // a detector is killed in each
)

// samples reads the files that the plugin is driven with.
func (c *ConformConfig) samples() (suite.Config, error) {
	var out suite.Config
	out.Detector.Stateless = c.Stateless
	out.Scanner.Targets = c.Targets
	err := eachLine(c.Lines, func(line string) error {
		out.Parser.Lines = append(out.Parser.Lines, line)
		return nil
	})
	if err != nil {
		return out, err
	}
	if out.Detector.Batches, err = sampleEvents(c.Events); err != nil {
		return out, err
	}
	err = eachLine(c.Alerts, func(line string) error {
		var a sampleAlert
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			return err
		}
		out.Enforcer.Alerts = append(out.Enforcer.Alerts, a.event())
		return nil
	})
	if err != nil {
		return out, err
	}
	if c.Feed != "" {
		out.Source.Replayable = true
		out.Source.Feed = func(tb suite.TB, lines ...string) {
			tb.Helper()
			if err := appendLines(c.Feed, lines); err != nil {
				tb.Fatalf("feed the source: %v", err)
			}
		}
	}
	return out, nil
}

// eachLine calls visit with each line of a file that is not empty; "" is no file.
func eachLine(path string, visit func(line string) error) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 4<<20)
	n := 0
	for s.Scan() {
		if strings.TrimSpace(s.Text()) == "" {
			continue
		}
		if n++; n > maxSamples {
			return fmt.Errorf("%w: %s has more than %d lines", ErrInvalid, path, maxSamples)
		}
		if err := visit(s.Text()); err != nil {
			return fmt.Errorf("%w: %s, line %d: %w", ErrInvalid, path, n, err)
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("%w: read %s: %w", ErrInvalid, path, err)
	}
	if n == 0 {
		return fmt.Errorf("%w: %s has no lines", ErrInvalid, path)
	}
	return nil
}

func appendLines(path string, lines []string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644) //nolint:gosec // another user reads it
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(lines, "\n") + "\n")
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// sampleEvents reads log events and packet summaries into a few batches, each of
// one kind and one stream.
func sampleEvents(path string) ([]suite.Batch, error) {
	var events []sampleEvent
	err := eachLine(path, func(line string) error {
		var e sampleEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return err
		}
		if e.Kind != "log" && e.Kind != "packet" {
			return fmt.Errorf("kind %q: want log or packet", e.Kind)
		}
		events = append(events, e)
		return nil
	})
	most := max(1, (len(events)+sampledBatches-1)/sampledBatches)
	next := map[string]uint64{}
	var out []suite.Batch
	for len(events) > 0 {
		first, n := events[0], 1
		for n < len(events) && n < most && events[n].Kind == first.Kind && events[n].Stream == first.Stream {
			n++
		}
		s := &event.Stream{ID: event.StreamID("sdktest", first.Stream), Name: first.Stream, Plugin: "sdktest", TimeZone: "UTC", Provenance: event.ProvenanceHost}
		at := next[first.Stream] + 1
		next[first.Stream] += uint64(n)
		if first.Kind == "log" {
			var logs []*event.LogEvent
			for _, e := range events[:n] {
				logs = append(logs, e.log())
			}
			out = append(out, suite.Logs(s, at, logs...))
		} else {
			var packets []*event.PacketEvent
			for _, e := range events[:n] {
				packets = append(packets, e.packet())
			}
			out = append(out, suite.Packets(s, at, packets...))
		}
		events = events[n:]
	}
	return out, err
}

// sampleEvent is a log event or a packet summary as "ironpost parse" and "events
// tail" write it.
type sampleEvent struct {
	Kind         string            `json:"kind"`
	Stream       string            `json:"stream"`
	Time         *time.Time        `json:"time"`
	ObservedTime *time.Time        `json:"observed_time"`
	Severity     string            `json:"severity"`
	Host         string            `json:"host"`
	Process      string            `json:"process"`
	PID          uint32            `json:"pid"`
	Message      string            `json:"message"`
	Fields       map[string]string `json:"fields"`
	Reason       string            `json:"reason"`

	Interval     float64    `json:"interval_seconds"`
	Interface    string     `json:"interface"`
	Scope        string     `json:"scope"`
	Source       netip.Addr `json:"src_ip"`
	Destination  netip.Addr `json:"dst_ip"`
	Port         uint16     `json:"dst_port"`
	Packets      uint64     `json:"packets"`
	Bytes        uint64     `json:"bytes"`
	SYN          uint64     `json:"syn"`
	SYNACK       uint64     `json:"syn_ack"`
	ACK          uint64     `json:"ack"`
	FIN          uint64     `json:"fin"`
	RST          uint64     `json:"rst"`
	Odd          uint64     `json:"odd"`
	UDP          uint64     `json:"udp"`
	ICMP         uint64     `json:"icmp"`
	Echo         uint64     `json:"echo"`
	Reflected    uint64     `json:"reflected"`
	Service      uint16     `json:"service"`
	OddKinds     uint8      `json:"odd_kinds"`
	Other        uint64     `json:"other"`
	Ports, Peers uint32
	PortSample   []uint16 `json:"port_sample"`
}

// moment is a time that may be absent.
func moment(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func (s *sampleEvent) log() *event.LogEvent {
	severity, _ := event.ParseSeverity(s.Severity)
	e := &event.LogEvent{
		Time: moment(s.Time), ObservedTime: moment(s.ObservedTime), Severity: severity, Host: s.Host, Process: s.Process, PID: s.PID,
		Message: s.Message, Reason: s.Reason, Fields: sorted(s.Fields),
	}
	if s.Reason != "" {
		e.Flags = event.FlagUnparsed
	}
	return e
}

func (s *sampleEvent) packet() *event.PacketEvent {
	p := &event.PacketEvent{
		Time: moment(s.Time), Interval: time.Duration(min(s.Interval, math.MaxInt32) * float64(time.Second)), Interface: s.Interface, Scope: event.ScopeSource,
		Source: s.Source, Destination: s.Destination, DestinationPort: s.Port, Packets: s.Packets, Bytes: s.Bytes, SYN: s.SYN, SYNACK: s.SYNACK,
		ACK: s.ACK, FIN: s.FIN, RST: s.RST, Odd: s.Odd, UDP: s.UDP, ICMP: s.ICMP, Other: s.Other, Ports: s.Ports, Peers: s.Peers, PortSample: s.PortSample,
		Echo: s.Echo, Reflected: s.Reflected, Service: s.Service, OddKinds: event.OddKinds(s.OddKinds),
	}
	if s.Scope == event.ScopeDestination.String() {
		p.Scope = event.ScopeDestination
	}
	return p
}

// sampleAlert is an alert as "events tail" and "alerts show -o json" write it.
type sampleAlert struct {
	ID          string            `json:"id"`
	Time        *time.Time        `json:"time"`
	Severity    string            `json:"severity"`
	RuleID      string            `json:"rule_id"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Detector    string            `json:"detector"`
	Group       string            `json:"group"`
	Entities    map[string]string `json:"entities"`
	Details     map[string]string `json:"details"`
	Tags        []string          `json:"tags"`
	Count       uint64            `json:"count"`
	Evidence    string            `json:"evidence"`
	Provenance  string            `json:"provenance"`
}

func (s *sampleAlert) event() *event.AlertEvent {
	severity, _ := event.ParseSeverity(s.Severity)
	a := &event.AlertEvent{
		ID: s.ID, Time: moment(s.Time), ObservedTime: moment(s.Time), Severity: severity, RuleID: s.RuleID, Title: s.Title, Description: s.Description,
		Detector: s.Detector, Group: s.Group, Entities: sorted(s.Entities), Details: sorted(s.Details), Tags: s.Tags, Count: s.Count,
		Provenance: event.ProvenanceNetwork,
	}
	for _, p := range []event.Provenance{event.ProvenanceHost, event.ProvenanceContainer} {
		if p.String() == s.Provenance {
			a.Provenance = p
		}
	}
	if s.Evidence == event.EvidenceConfirmed.String() {
		a.Evidence = event.EvidenceConfirmed
	}
	cause := event.ID{Stream: event.StreamID("sdktest", "samples"), Sequence: 1}
	if a.ID == "" {
		a.ID = event.AlertID(a.RuleID, a.Group, cause)
	}
	a.Causes, a.TraceID = []event.ID{cause}, event.Trace("host", cause)
	return a
}

// sorted returns named values in the order of their names.
func sorted(m map[string]string) []event.Field {
	var out []event.Field
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, event.Field{Key: k, Value: m[k]})
	}
	return out
}
