// Command scanner-sbom is the plugin that says what software is installed, what of it
// is known to be vulnerable, and writes both down as an SBOM.
package main

import (
	"os"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/engine"
	"github.com/ironpost/ironpost/sdk"
)

func main() {
	cfg := defaults()
	os.Exit(sdk.Main(plugin(&scanner{cfg: &cfg})))
}

func plugin(s *scanner) sdk.Plugin {
	return sdk.Plugin{
		Name:    "scanner-sbom",
		Summary: "Finds installed packages and their known vulnerabilities, and writes SBOMs",
		Section: "sbom",
		Config:  s.cfg,
		Permissions: sdk.Permissions{
			Read:     []string{"config:paths", "config:host"},
			Write:    []string{"config:database_dir"},
			Docker:   engine.Calls(),
			Services: []string{"processes"},
		},
		Bundles: []sdk.Bundle{
			{Name: ignoreBundle, ConfigKey: "ignore", Suffixes: []string{".yaml", ".yml"}},
			{Name: vexBundle, ConfigKey: "vex", Suffixes: []string{".json"}},
		},
		Loader:  s,
		Setup:   s.setup,
		Health:  s.health,
		Scanner: s,
	}
}
