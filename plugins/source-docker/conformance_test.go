package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/plugins/source-docker/dockertest"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestConformance gives the plugin a Docker of the test's own.
func TestConformance(t *testing.T) {
	d := dockertest.New(t)
	c := d.Add(&dockertest.Container{ID: strings.Repeat("0123", 16), Name: "web", Image: "nginx:1"})
	target := sdktest.Value(func() sdk.Plugin {
		p := plugin()
		setup := p.Setup
		p.Setup = func(ctx context.Context, env sdk.Env) error {
			env.Docker = d.Socket
			return setup(ctx, env)
		}
		return p
	})
	sdktest.TestSource(t, target, sdktest.SourceConfig{
		Host:       sdktest.HostConfig{Section: map[string]any{"start": "beginning", "events": false}},
		Replayable: true,
		Feed: func(_ testing.TB, lines ...string) {
			for _, line := range lines {
				c.Print(time.Now().UnixNano(), false, line)
			}
		},
		Line: func(record string) string {
			var l struct {
				Log string `json:"log"`
			}
			if err := json.Unmarshal([]byte(record), &l); err != nil {
				return record
			}
			return l.Log
		},
	})
}
