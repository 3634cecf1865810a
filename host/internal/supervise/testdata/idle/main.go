// Command idle is a sink that wants nothing.
package main

import (
	"context"
	"os"

	"github.com/ironpost/ironpost/sdk"
)

type idle struct{}

func (idle) Write(context.Context, sdk.Batch) error { return nil }

func main() { os.Exit(sdk.Main(sdk.Plugin{Name: "idle", Version: "1", Sink: idle{}})) }
