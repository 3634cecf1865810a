package main

import (
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
)

func TestConfig(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*config)
		want   string // in the error, "" for none
	}{
		{"the defaults", func(*config) {}, ""},
		{"an export", func(c *config) { c.DockerCalls = []string{engine.ExportCall} }, ""},
		{"a call that the plugin does not make", func(c *config) { c.DockerCalls = []string{"POST /containers/*/exec"} }, "docker_calls"},
		{"a scope", func(c *config) { c.DockerCalls = []string{"files"} }, "docker_calls"},
		{"an export of more than is kept", func(c *config) { c.ExportBytes = c.EvidenceBytes + 1 }, "evidence_export_bytes"},
		{"a time too short", func(c *config) { c.DefaultTTL = time.Millisecond }, "default_ttl"},
		{"a folder that depends", func(c *config) { c.EvidenceDir = "evidence" }, "evidence_dir"},
		{"a pattern of nothing", func(c *config) { c.Critical = []string{""} }, "critical"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := defaults()
			c.EvidenceDir = t.TempDir()
			test.change(&c)
			if err := c.validate(); (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error of %q", err, test.want)
			}
		})
	}
}
