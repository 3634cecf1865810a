// Command source-journald reads the systemd journal.
package main

import (
	"os"

	"github.com/ironpost/ironpost/plugins/source-journald/journal"
	"github.com/ironpost/ironpost/sdk"
)

func main() { os.Exit(sdk.Main(plugin())) }

func plugin() sdk.Plugin {
	cfg := journal.Defaults()
	src := journal.New(&cfg)
	return sdk.Plugin{
		Name:        "source-journald",
		Summary:     "The systemd journal",
		Section:     "source_journald",
		Config:      &cfg,
		Permissions: sdk.Permissions{Commands: []string{journal.Command}},
		Setup:       src.Setup,
		Health:      src.Health,
		Source:      src,
	}
}
