// Command detector-rules is the plugin that raises alerts by YAML rules.
package main

import (
	"os"

	"github.com/ironpost/ironpost/sdk"
)

func main() { os.Exit(sdk.Main(plugin())) }

func plugin() sdk.Plugin {
	cfg := defaults()
	d := newDetector(&cfg)
	return sdk.Plugin{
		Name:    "detector-rules",
		Summary: "Alerts by YAML rules over logs, packet summaries and alerts",
		Section: "rules",
		Config:  &cfg,
		Bundles: []sdk.Bundle{{Name: bundleName, ConfigKey: "paths", Suffixes: []string{".yaml", ".yml"}}},
		Loader:  d,
		Permissions: sdk.Permissions{
			Read: []string{
				"config:geo_databases", "config:ip_lists", "config:domain_lists", "config:lookup_tables", "config:placeholders",
			},
			Services: []string{"shared"},
		},
		Setup:    d.setup,
		Health:   d.health,
		Detector: d,
	}
}
