// Command detector-network is the plugin that finds scans, floods, brute-force
// rates and new listeners in the packet engine's summaries.
package main

import (
	"os"

	"github.com/ironpost/ironpost/plugins/detector-network/network"
	"github.com/ironpost/ironpost/sdk"
)

func main() { os.Exit(sdk.Main(plugin())) }

func plugin() sdk.Plugin {
	cfg := network.Default()
	d := &detector{cfg: &cfg}
	return sdk.Plugin{
		Name:     "detector-network",
		Summary:  "Scans, floods and brute-force rates, from packet summaries",
		Section:  "detector_network",
		Config:   &cfg,
		Setup:    d.setup,
		Detector: d,
	}
}
