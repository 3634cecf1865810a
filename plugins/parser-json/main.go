// Command parser-json is the plugin that parses records of one JSON object
// each, those of the systemd journal included.
package main

import (
	"os"
	_ "time/tzdata" // The sandbox has no zone files.

	"github.com/ironpost/ironpost/plugins/internal/extract"
	"github.com/ironpost/ironpost/plugins/parser-json/jsonlog"
	"github.com/ironpost/ironpost/sdk"
)

func main() { os.Exit(sdk.Main(plugin())) }

func plugin() sdk.Plugin {
	var parser jsonlog.Parser
	return sdk.Plugin{
		Name:    "parser-json",
		Summary: "JSON: one object a record, flattened; the fields of journald; sshd, sudo and other messages",
		Parser:  sdk.ParseFunc("json", parser.Parse),
		Bundles: []sdk.Bundle{extract.Bundle()},
		Loader:  &parser.Patterns,
	}
}
