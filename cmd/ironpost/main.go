// Command ironpost is the host and its command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/ironpost/ironpost/host/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
