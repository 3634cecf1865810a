package main

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/ironpost/ironpost/plugins/sink-sqlite/store"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

// target makes plugins whose stores are closed with the test, as the end of a process does.
func target(t *testing.T) sdktest.Target {
	return sdktest.Value(func() sdk.Plugin {
		p := plugin()
		t.Cleanup(func() {
			if opened := p.Sink.(*sink).store.Load(); opened != nil {
				if err := opened.Close(); err != nil {
					t.Error(err)
				}
			}
		})
		return p
	})
}

func keeping(dir string) sdktest.HostConfig {
	return sdktest.HostConfig{Section: map[string]any{"dir": dir, "keep_events": true, "retention": "0s", "alert_retention": "0s", "max_bytes": 0}}
}

func TestStoreConformance(t *testing.T) {
	sdktest.TestStore(t, target(t), sdktest.StoreConfig{Host: keeping(t.TempDir())})
}

func TestConformance(t *testing.T) {
	dir := t.TempDir()
	sdktest.TestSink(t, target(t), sdktest.SinkConfig{
		Host: keeping(dir),
		Contents: func(t testing.TB) (lines []string) {
			s, err := store.Open(t.Context(), store.Config{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			for _, kind := range []event.Kind{event.KindLog, event.KindPacket, event.KindAlert, event.KindAction} {
				n := len(lines)
				queryErr := s.Query(t.Context(), sdk.Query{Kind: kind, Limit: 1000}, func(r sdk.Record) bool {
					line, jsonErr := json.Marshal(r)
					lines, err = append(lines, string(line)), errors.Join(err, jsonErr)
					return true
				})
				err = errors.Join(err, queryErr)
				if len(lines) == n {
					t.Errorf("the store holds nothing of the kind %v", kind)
				}
			}
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
			return lines
		},
	})
}
