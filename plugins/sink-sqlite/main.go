// Command sink-sqlite is the plugin that keeps alerts, actions and, when asked
// to, all other events in SQLite, and answers queries about them.
package main

import (
	"os"

	"github.com/ironpost/ironpost/sdk"
)

func main() {
	cfg := defaults()
	s := &sink{cfg: &cfg}
	os.Exit(sdk.Main(sdk.Plugin{
		Name:        "sink-sqlite",
		Summary:     "Keeps alerts, actions and events in SQLite, and finds them again",
		Section:     "sink_sqlite",
		Config:      &cfg,
		Permissions: sdk.Permissions{Write: []string{"config:dir"}},
		Setup:       s.setup,
		Health:      s.health,
		Sink:        s,
	}))
}
