// Command source-syslog receives syslog over UDP, TCP and TLS.
package main

import (
	"os"

	"github.com/ironpost/ironpost/plugins/source-syslog/receiver"
	"github.com/ironpost/ironpost/sdk"
)

func main() { os.Exit(sdk.Main(plugin())) }

func plugin() sdk.Plugin {
	cfg := receiver.Defaults()
	src := receiver.New(&cfg)
	return sdk.Plugin{
		Name:        "source-syslog",
		Summary:     "Syslog received over UDP, TCP and TLS",
		Section:     "source_syslog",
		Config:      &cfg,
		Permissions: sdk.Permissions{Listen: []string{"config:listen"}},
		Bundles:     receiver.Bundles(),
		Loader:      src,
		Setup:       src.Setup,
		Health:      src.Health,
		Source:      src,
	}
}
