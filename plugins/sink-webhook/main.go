// Command sink-webhook is the plugin that sends alerts and actions to an HTTP
// receiver, signed, in order, until it has taken them.
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
		Name:        "sink-webhook",
		Summary:     "Alerts and actions sent to a webhook or a chat, signed and in order",
		Section:     "webhook",
		Config:      &cfg,
		Permissions: sdk.Permissions{Connect: []string{"config:url"}},
		Bundles:     []sdk.Bundle{{Name: authorities, ConfigKey: "ca_file"}},
		Loader:      s,
		Setup:       s.setup,
		Health:      s.health,
		Sink:        s,
	}
}
