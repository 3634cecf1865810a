package main

import (
	"os"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestConformance(t *testing.T) {
	lines, err := os.ReadFile("testdata/lines.log")
	if err != nil {
		t.Fatal(err)
	}
	sdktest.TestParser(t, sdktest.Value(plugin), sdktest.ParserConfig{
		Lines: strings.Split(strings.TrimSpace(string(lines)), "\n"),
	})
}

func TestFields(t *testing.T) {
	var e event.LogEvent
	if err := parse(event.RawLog{Line: []byte("2025-11-01T12:00:00Z WARN web1: disk is nearly full")}, &e); err != nil {
		t.Fatal(err)
	}
	if level, _ := e.Get("acme.level"); e.Host != "web1" || level != "WARN" || e.Message != "disk is nearly full" {
		t.Errorf("got host %q, level %q, message %q", e.Host, level, e.Message)
	}
}

func TestABadLineHasACode(t *testing.T) {
	err := parse(event.RawLog{Line: []byte("garbage")}, new(event.LogEvent))
	if c, ok := err.(sdk.Coder); !ok || c.Code() != "bad_acme" {
		t.Errorf("got %v, want an error with the code bad_acme", err)
	}
}
