// Command parser-auditd is the plugin that parses records of the Linux audit
// system.
package main

import (
	"os"

	"github.com/ironpost/ironpost/plugins/parser-auditd/audit"
	"github.com/ironpost/ironpost/sdk"
)

func main() { os.Exit(sdk.Main(plugin())) }

func plugin() sdk.Plugin {
	var parser audit.Parser
	return sdk.Plugin{
		Name:    "parser-auditd",
		Summary: "The Linux audit system: the records of one event put together",
		Parser:  sdk.ParseFunc("auditd", parser.Parse),
		Fields:  audit.Fields(),
	}
}
