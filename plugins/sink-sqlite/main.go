// Command sink-sqlite is the plugin that keeps alerts, actions and, when asked
// to, all other events in SQLite, and answers queries about them.
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
		Name:        "sink-sqlite",
		Summary:     "Keeps alerts, actions and events in SQLite, and finds them again",
		Section:     "sink_sqlite",
		Config:      &cfg,
		Permissions: sdk.Permissions{Write: []string{"config:dir"}},
		Setup:       s.setup,
		Health:      s.health,
		Sink:        s,
	}
}
