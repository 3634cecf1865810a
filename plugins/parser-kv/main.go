// Command parser-kv is the plugin that parses records of named values: logfmt,
// CEF and LEEF.
package main

import (
	"os"
	_ "time/tzdata" // The sandbox has no zone files.

	"github.com/ironpost/ironpost/plugins/internal/extract"
	"github.com/ironpost/ironpost/plugins/parser-kv/kv"
	"github.com/ironpost/ironpost/sdk"
)

func main() { os.Exit(sdk.Main(plugin())) }

func plugin() sdk.Plugin {
	var parser kv.Parser
	return sdk.Plugin{
		Name:    "parser-kv",
		Summary: "Named values: logfmt, ArcSight CEF and QRadar LEEF",
		Parser:  sdk.ParseFunc("kv", parser.Parse),
		Bundles: []sdk.Bundle{extract.Bundle()},
		Loader:  &parser.Patterns,
	}
}
