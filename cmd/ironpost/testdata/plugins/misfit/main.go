// Command misfit is a plugin that does what a plugin must not. How is set with
// -ldflags "-X main.how=...".
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

var how string

func main() {
	switch how {
	case "crash":
		fmt.Fprintln(os.Stderr, "no such luck")
		panic("crash at start")
	case "chatty":
		fmt.Println("Welcome to this plugin!")
	case "alien":
		fmt.Println("1|99|unix|/nowhere|grpc|")
		time.Sleep(time.Hour)
	case "mute":
		time.Sleep(time.Hour)
	}
	os.Exit(sdk.Main(sdk.Plugin{
		Name: "misfit-" + how, Version: "1.0.0", Summary: "Misbehaves", Setup: setup, Detector: detector{},
	}))
}

// setup says more than any pipe holds.
func setup(context.Context, sdk.Env) error {
	for range 10_000 {
		fmt.Println("I have to tell you something, and it is rather long.")
		fmt.Fprintln(os.Stderr, "And something else, which is as long as that.")
	}
	return nil
}

type detector struct{}

func (detector) Detect(context.Context, sdk.Batch, func(*event.AlertEvent)) error { return nil }

// Consumes is part of the description.
func (detector) Consumes() []event.Kind {
	if how == "hang" {
		time.Sleep(time.Hour)
	}
	return nil
}
