package main

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/plugins/internal/redistest"
	"github.com/ironpost/ironpost/plugins/state-redis/engine"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestMain(m *testing.M) {
	engine.Mute()
	goleak.VerifyTestMain(m)
}

// target is the plugin, whose connections end with the test as they do with the process.
func target(t *testing.T) sdktest.Target {
	return sdktest.Value(func() sdk.Plugin {
		p := plugin()
		t.Cleanup(func() {
			if e := p.State.(*state).engine; e != nil {
				_ = e.Close()
			}
		})
		return p
	})
}

func TestConformance(t *testing.T) {
	server := redistest.Start(t, redistest.Config{})
	sdktest.TestSharedState(t, target(t), sdktest.StateConfig{Host: sdktest.HostConfig{Section: map[string]any{"address": server.Address}}})
	everyKeyEnds(t, server)
}

// everyKeyEnds looks at all keys of a server.
func everyKeyEnds(t *testing.T, server *redistest.Server, args ...string) {
	t.Helper()
	keys := strings.Fields(server.CLI(t, append(args, "--scan")...))
	if len(keys) == 0 {
		t.Error("the server holds nothing")
	}
	script := `local n = {} for _, k in ipairs(redis.call('KEYS', '*')) do if redis.call('PTTL', k) <= 0 then n[#n + 1] = k end end return n`
	if endless := server.CLI(t, append(args, "EVAL", script, "0")...); endless != "" {
		t.Errorf("these keys have no end:\n%s", endless)
	}
	for _, k := range keys {
		if !strings.HasPrefix(k, "ironpost:{") {
			t.Errorf("got key %q, want all to begin with ironpost:{", k)
		}
	}
}

func TestWithoutAddress(t *testing.T) {
	h := sdktest.Start(t, target(t), sdktest.HostConfig{})
	if got := h.Health(); got != "" {
		t.Errorf("got health %q, want well: nothing was to be reached", got)
	}
	if got := fmt.Sprint(h.Kinds); got != "[state]" {
		t.Errorf("got kinds %s, want [state]", got)
	}
}
