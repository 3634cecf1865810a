package main

import (
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	r := &receiver{t: t}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	target := sdktest.Value(func() sdk.Plugin {
		p := plugin()
		t.Cleanup(func() { // as the end of the process does
			if client := p.Sink.(*sink).client.Load(); client != nil {
				client.Close()
			}
		})
		return p
	})
	sdktest.TestSink(t, target, sdktest.SinkConfig{
		Host: sdktest.HostConfig{Section: map[string]any{
			"url": server.URL + "/hook", "secret": testSecret, "max_age": (0 * time.Second).String(), "retry_min": "10ms",
		}},
		Contents: func(testing.TB) []string { return r.once() },
	})
}
