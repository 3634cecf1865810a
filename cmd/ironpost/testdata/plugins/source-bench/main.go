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
	// A stream of its own for each: their clocks are not the same, and what is late
	// in its stream counts in no window.
	ordinary, err := openLog(out, "bench", false)
	if err != nil {
		return err
	}
	attack, err := openLog(out, "bench-attack", true)
	if err != nil {
		return err
	}
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
		if err := log.emit(ctx, order, n); err != nil {
			return err
		}
		order++
	}
}

// benchLog is a generated log and its stream.
type benchLog struct {
	*lines.Log
	stream sdk.Stream
}

func openLog(out sdk.Emitter, name string, attack bool) (benchLog, error) {
	stream, err := out.Open(sdk.StreamConfig{Name: name, Format: "syslog", Provenance: event.ProvenanceHost})
	return benchLog{lines.New(attack), stream}, err
}

// emit emits n lines between two markers, with a checkpoint each, as a tail
// does.
func (l benchLog) emit(ctx context.Context, order, n int) error {
	var checkpoint [16]byte
	if err := l.stream.Emit(ctx, l.Marker(fmt.Sprintf("begin %d", order)), checkpoint[:]); err != nil {
		return err
	}
	for i := range n {
		checkpoint[0], checkpoint[1], checkpoint[2] = byte(i), byte(i>>8), byte(i>>16)
		if err := l.stream.Emit(ctx, l.Next(), checkpoint[:]); err != nil {
			return err
		}
	}
	if err := l.stream.Emit(ctx, l.Marker(fmt.Sprintf("end %d", order)), checkpoint[:]); err != nil {
		return err
	}
	return l.stream.Flush(ctx)
}
