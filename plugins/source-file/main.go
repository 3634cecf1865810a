// Command source-file tails log files.
package main

import (
	"os"

	"github.com/ironpost/ironpost/plugins/source-file/tail"
	"github.com/ironpost/ironpost/sdk"
)

func main() { os.Exit(sdk.Main(plugin())) }

func plugin() sdk.Plugin {
	cfg := tail.Defaults()
	src := tail.New(&cfg)
	return sdk.Plugin{
		Name:        "source-file",
		Summary:     "Log files, followed through rotation and truncation",
		Section:     "source_file",
		Config:      &cfg,
		Permissions: sdk.Permissions{Read: []string{"config:paths"}},
		Setup:       src.Setup,
		Health:      src.Health,
		Source:      src,
	}
}
