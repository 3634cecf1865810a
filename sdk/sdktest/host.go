package sdktest

import (
	"testing"

	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/sdktest/suite"
)

// What a test of a plugin's own logic drives it with.
type (
	// Host is one life of a plugin: started, described and configured.
	Host = suite.Host
	// Link is an open link to a parser, detector, enforcer or sink.
	Link = suite.Link
	// State is what a plugin reported of its memory.
	State = suite.State
	// Batch is one batch to send.
	Batch = suite.Batch
	// Position is where a source resumes a stream.
	Position = suite.Position
)

// Start starts the target and configures it. It is stopped with the test.
func Start(t testing.TB, target Target, c HostConfig) *Host {
	t.Helper()
	return suite.Start(t, target, c)
}

// Lines makes a batch of raw records.
func Lines(s *event.Stream, first uint64, lines ...string) Batch {
	return suite.Lines(s, first, lines...)
}

// Logs makes a batch of log events; their sequences count from first.
func Logs(s *event.Stream, first uint64, events ...*event.LogEvent) Batch {
	return suite.Logs(s, first, events...)
}

// Packets makes a batch of packet summaries.
func Packets(s *event.Stream, first uint64, events ...*event.PacketEvent) Batch {
	return suite.Packets(s, first, events...)
}

// Alerts makes a batch of alerts.
func Alerts(s *event.Stream, first uint64, events ...*event.AlertEvent) Batch {
	return suite.Alerts(s, first, events...)
}

// Actions makes a batch of actions.
func Actions(s *event.Stream, first uint64, events ...*event.ActionEvent) Batch {
	return suite.Actions(s, first, events...)
}

// Garbage makes a batch of records that are no events.
func Garbage(kind event.Kind, s *event.Stream, first uint64, bodies ...[]byte) Batch {
	return suite.Garbage(kind, s, first, bodies...)
}
