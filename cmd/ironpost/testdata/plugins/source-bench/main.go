// Command source-bench is a source for benchmarks: it emits a generated log as
// fast as the host takes it, once for each order that it finds in its folder.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/testdata/bench/lines"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// config is the section [source_bench].
type config struct {
	Orders string `config:"orders" help:"folder of the orders: files 1, 2, ..., each with a number of lines and, for the log of an attack, the word attack"`
}

func main() {
	cfg := &config{}
	os.Exit(sdk.Main(sdk.Plugin{
		Name:        "source-bench",
		Summary:     "A generated log for benchmarks",
		Section:     "source_bench",
		Config:      cfg,
		Permissions: sdk.Permissions{Read: []string{"config:orders"}},
		Source:      source{cfg},
	}))
}

type source struct{ cfg *config }

// Run carries the orders out, in order.
func (s source) Run(ctx context.Context, out sdk.Emitter) error {
	stream, err := out.Open(sdk.StreamConfig{Name: "bench", Format: "syslog", Provenance: event.ProvenanceHost})
	if err != nil {
		return err
	}
	ordinary, attack := lines.New(false), lines.New(true)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for order := 1; ; {
		text, err := os.ReadFile(filepath.Join(s.cfg.Orders, strconv.Itoa(order)))
		if errors.Is(err, fs.ErrNotExist) {
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if err != nil {
			return err
		}
		number, isAttack := strings.CutSuffix(string(text), " attack")
		n, err := strconv.Atoi(number)
		if err != nil {
			return err
		}
		log := ordinary
		if isAttack {
			log = attack
		}
		if err := emit(ctx, stream, log, order, n); err != nil {
			return err
		}
		order++
	}
}

// emit emits n lines between two markers, with a checkpoint each, as a tail
// does.
func emit(ctx context.Context, stream sdk.Stream, log *lines.Log, order, n int) error {
	var checkpoint [16]byte
	if err := stream.Emit(ctx, log.Marker(fmt.Sprintf("begin %d", order)), checkpoint[:]); err != nil {
		return err
	}
	for i := range n {
		checkpoint[0], checkpoint[1], checkpoint[2] = byte(i), byte(i>>8), byte(i>>16)
		if err := stream.Emit(ctx, log.Next(), checkpoint[:]); err != nil {
			return err
		}
	}
	if err := stream.Emit(ctx, log.Marker(fmt.Sprintf("end %d", order)), checkpoint[:]); err != nil {
		return err
	}
	return stream.Flush(ctx)
}
