// Command state-redis is the plugin through which hosts count and decide together in a
// Redis server.
package main

import (
	"os"

	"github.com/ironpost/ironpost/plugins/state-redis/engine"
	"github.com/ironpost/ironpost/sdk"
)

func main() {
	engine.Mute()
	os.Exit(sdk.Main(plugin()))
}

func plugin() sdk.Plugin {
	cfg := defaults()
	s := &state{cfg: &cfg}
	return sdk.Plugin{
		Name:        "state-redis",
		Summary:     "What several hosts count and decide together, in a Redis server",
		Section:     "state_redis",
		Config:      &cfg,
		Permissions: sdk.Permissions{Connect: []string{"config:address"}},
		Bundles:     []sdk.Bundle{{Name: authorities, ConfigKey: "ca_file"}},
		Loader:      s,
		Setup:       s.setup,
		Health:      s.health,
		State:       s,
	}
}
