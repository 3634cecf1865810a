// Command sink-file is the plugin that writes events into a file, one line of
// JSON an event.
package main

import (
	"os"

	"github.com/ironpost/ironpost/sdk"
)

func main() { os.Exit(sdk.Main(plugin())) }

func plugin() sdk.Plugin {
	cfg := defaults()
	s := &sink{cfg: &cfg}
	return sdk.Plugin{
		Name:        "sink-file",
		Summary:     "Events as lines of JSON in a file, with rotation",
		Section:     "sink_file",
		Config:      &cfg,
		Permissions: sdk.Permissions{Write: []string{"config:path"}},
		Setup:       s.setup,
		Health:      s.health,
		Sink:        s,
	}
}
