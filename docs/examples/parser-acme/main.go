// Command parser-acme reads the logs of Acme appliances. It stands for what
// somebody else writes: a module of its own that knows nothing but the SDK.
package main

import (
	"bytes"
	"os"
	"time"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func main() { os.Exit(sdk.Main(plugin())) }

func plugin() sdk.Plugin {
	return sdk.Plugin{
		Name:    "parser-acme",
		Version: "1.2.3",
		Summary: "Logs of Acme appliances",
		Parser:  sdk.ParseFunc("acme", parse),
	}
}

// parse reads one line "TIME LEVEL HOST: text".
func parse(raw event.RawLog, out *event.LogEvent) error {
	head, text, ok := bytes.Cut(raw.Line, []byte(": "))
	words := bytes.Fields(head)
	if !ok || len(words) != 3 {
		return badLine{}
	}
	at, err := time.Parse(time.RFC3339, string(words[0]))
	if err != nil {
		return badLine{}
	}
	out.Time, out.Host, out.Message = at, string(words[2]), string(text)
	out.Process = "acme"
	out.Set("acme.level", string(words[1]))
	return nil
}

type badLine struct{}

func (badLine) Error() string { return "the line is not TIME LEVEL HOST: text" }
func (badLine) Code() string  { return "bad_acme" }
