// Command parser-windows is the plugin that parses Windows events in JSON, one
// event a record.
package main

import (
	"os"

	"github.com/ironpost/ironpost/plugins/parser-windows/winlog"
	"github.com/ironpost/ironpost/sdk"
)

func main() { os.Exit(sdk.Main(plugin())) }

func plugin() sdk.Plugin {
	return sdk.Plugin{
		Name:    "parser-windows",
		Summary: "Windows events in the JSON of evtx_dump, under the names that Sigma rules have for their fields",
		Parser:  sdk.ParseFunc("windows-event", winlog.Parse),
	}
}
