package main

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	logs := &event.Stream{ID: event.StreamID("source-file", "/var/log/auth.log"), Name: "/var/log/auth.log", Plugin: "source-file", Provenance: event.ProvenanceHost}
	var batches []sdktest.Batch
	for i := range uint64(5) {
		batches = append(batches, sdktest.Logs(logs, 1+i, line(1+i)))
	}
	sdktest.TestDetector(t, sdktest.Value(plugin), sdktest.DetectorConfig{
		Host:    sdktest.HostConfig{Bundles: map[string]fs.FS{bundleName: fstest.MapFS{"two.yaml": {Data: []byte(twoFailures)}}}},
		Batches: batches,
	})
}
