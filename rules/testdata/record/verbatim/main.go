// Command parser-verbatim keeps records as a source delivers them, so that the
// lines of examples are what a parser will be given, byte for byte.
package main

import (
	"os"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func main() {
	os.Exit(sdk.Main(sdk.Plugin{
		Name:    "parser-verbatim",
		Version: "1.0.0",
		Summary: "Keeps records as they are, for recordings",
		Parser: sdk.ParseFunc("verbatim", func(raw event.RawLog, ev *event.LogEvent) error {
			ev.Message = string(raw.Line)
			return nil
		}),
	}))
}
