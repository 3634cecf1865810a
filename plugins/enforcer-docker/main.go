// Command enforcer-docker is the plugin that answers alerts about Docker containers:
// it collects evidence, takes them off their networks, pauses or stops them, and
// puts back what was.
package main

import (
	"os"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/sdk"
)

func main() {
	cfg := defaults()
	os.Exit(sdk.Main(plugin(newEnforcer(&cfg))))
}

func plugin(e *enforcer) sdk.Plugin {
	return sdk.Plugin{
		Name:    "enforcer-docker",
		Summary: "Isolates, pauses and stops Docker containers by policies, for a time, and restores them",
		Section: "container",
		Config:  e.cfg,
		Permissions: sdk.Permissions{
			Docker:   append(engine.Calls(), "config:docker_calls"),
			Write:    []string{"config:evidence_dir"},
			Services: []string{"processes", "targets"},
		},
		Bundles:  []sdk.Bundle{{Name: bundleName, ConfigKey: "policies", Suffixes: []string{".yaml", ".yml", ".toml"}}},
		Loader:   e,
		Setup:    e.setup,
		Health:   e.health,
		Enforcer: e,
	}
}
