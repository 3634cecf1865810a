// Command parser-syslog is the plugin that parses syslog records.
package main

import (
	"os"
	_ "time/tzdata" // The sandbox has no zone files.

	"github.com/ironpost/ironpost/plugins/internal/extract"
	"github.com/ironpost/ironpost/plugins/parser-syslog/syslog"
	"github.com/ironpost/ironpost/sdk"
)

func main() { os.Exit(sdk.Main(plugin())) }

func plugin() sdk.Plugin {
	var parser syslog.Parser
	return sdk.Plugin{
		Name:    "parser-syslog",
		Summary: "Syslog: RFC 5424, RFC 3164 and their relatives; sshd, sudo and other messages",
		Parser:  sdk.ParseFunc("syslog", parser.Parse),
		Fields:  extract.Fields("facility", "msgid", "procid", "sd.*", "syslog_defect"),
		Bundles: []sdk.Bundle{extract.Bundle()},
		Loader:  &parser.Patterns,
	}
}
