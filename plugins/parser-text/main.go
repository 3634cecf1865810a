// Command parser-text is the plugin that parses the lines which programs write to
// log files of their own, by forms that stand in YAML.
package main

import (
	"os"
	_ "time/tzdata" // The sandbox has no zone files.

	"github.com/ironpost/ironpost/plugins/internal/extract"
	"github.com/ironpost/ironpost/plugins/parser-text/text"
	"github.com/ironpost/ironpost/sdk"
)

func main() { os.Exit(sdk.Main(plugin())) }

func plugin() sdk.Plugin {
	var parser text.Parser
	return sdk.Plugin{
		Name:    "parser-text",
		Summary: "Programs' own log files by forms in YAML: MySQL, PostgreSQL, BIND, OpenVPN, vsftpd, ...",
		Parser:  sdk.ParseFunc("text", parser.Parse),
		Fields:  extract.Fields(),
		Bundles: []sdk.Bundle{extract.Bundle()},
		Loader:  &parser.Patterns,
	}
}
