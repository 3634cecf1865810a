// Command sink-postgres is the plugin that keeps events of many hosts in one PostgreSQL,
// and answers queries about them.
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
		Name:        "sink-postgres",
		Summary:     "Keeps alerts, actions and events of many hosts in PostgreSQL, and finds them again",
		Section:     "sink_postgres",
		Config:      &cfg,
		Permissions: sdk.Permissions{Connect: []string{"config:url"}, Write: []string{"config:dir"}},
		Setup:       s.setup,
		Health:      s.health,
		Sink:        s,
	}
}
