// Command enforcer-xdp is the plugin that asks the host to block the source
// addresses of grave alerts.
package main

import (
	"os"

	"github.com/ironpost/ironpost/plugins/enforcer-xdp/answer"
	"github.com/ironpost/ironpost/sdk"
)

func main() { os.Exit(sdk.Main(plugin())) }

func plugin() sdk.Plugin {
	cfg := answer.Default()
	e := &enforcer{cfg: &cfg}
	return sdk.Plugin{
		Name:     "enforcer-xdp",
		Summary:  "Blocks the source addresses of grave alerts in the packet filter",
		Section:  "enforcer_xdp",
		Config:   &cfg,
		Setup:    e.setup,
		Enforcer: e,
	}
}
