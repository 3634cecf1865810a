// Command parser-web is the plugin that parses the access and error logs of web
// servers.
package main

import (
	"os"
	_ "time/tzdata" // The sandbox has no zone files.

	"github.com/ironpost/ironpost/plugins/internal/extract"
	"github.com/ironpost/ironpost/plugins/parser-web/web"
	"github.com/ironpost/ironpost/sdk"
)

func main() { os.Exit(sdk.Main(plugin())) }

func plugin() sdk.Plugin {
	var parser web.Parser
	return sdk.Plugin{
		Name:    "parser-web",
		Summary: "Web servers: access and error logs of nginx and Apache, and of Nginx Proxy Manager",
		Parser:  sdk.ParseFunc("web", parser.Parse),
		Fields:  extract.Fields(),
		Bundles: []sdk.Bundle{extract.Bundle()},
		Loader:  &parser.Patterns,
	}
}
