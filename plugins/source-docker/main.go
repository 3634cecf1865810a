// Command source-docker reads the output of containers and the events of Docker.
package main

import (
	"os"

	"github.com/ironpost/ironpost/plugins/source-docker/containers"
	"github.com/ironpost/ironpost/sdk"
)

func main() { os.Exit(sdk.Main(plugin())) }

func plugin() sdk.Plugin {
	cfg := containers.Defaults()
	src := containers.New(&cfg)
	return sdk.Plugin{
		Name:        "source-docker",
		Summary:     "Output of Docker containers, and the engine's events",
		Section:     "source_docker",
		Config:      &cfg,
		Permissions: sdk.Permissions{Docker: containers.Calls()},
		Setup:       src.Setup,
		Health:      src.Health,
		Source:      src,
	}
}
