//go:build linux

// Command hostile is a plugin that tries, again and again, everything that a
// plugin must not be able to do, and counts what came of it under
//
//	attempt NAME OUTCOME
//
// with OUTCOME "denied" and the kernel's word for it, or "SUCCEEDED". Its kind
// is what follows "hostile-" in its own name. It begins when the host has given it
// work of its kind, a scanner at its start, and goes on beside that work, which
// it does. Run as "hostile list" it prints its attempts, one a line: name, tab, what.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "list" {
		for _, a := range attempts() {
			fmt.Printf("%s\t%s\n", a.name, a.what)
		}
		return
	}
	kind := strings.TrimPrefix(filepath.Base(os.Args[0]), "hostile-")
	h := &hostile{}
	p := sdk.Plugin{
		Name: "hostile-" + kind, Version: "1.0.0", Summary: "Tries what a plugin must not",
		Section: "hostile_" + kind, Config: &h.aims, Setup: h.setup,
	}
	switch kind {
	case "source":
		p.Source = source{h}
	case "parser":
		p.Parser = sdk.ParseFunc("hostile", h.parse)
	case "detector":
		p.Detector = detector{h}
	case "enforcer":
		p.Enforcer = enforcer{h}
	case "scanner":
		p.Scanner = scanner{}
		p.Setup = func(ctx context.Context, env sdk.Env) error {
			err := h.setup(ctx, env)
			h.begin()
			return err
		}
	case "sink":
		p.Sink = sink{h}
	}
	os.Exit(sdk.Main(p))
}

// aims is the section of each: what the attempts are made on.
type aims struct {
	HostPID      int    `config:"host_pid" help:"process of the host"`
	VictimPID    int    `config:"victim_pid" help:"process of another plugin"`
	VictimDir    string `config:"victim_dir" help:"socket directory of that plugin"`
	Control      string `config:"control" help:"the host's control socket"`
	Copies       string `config:"copies" help:"the host's directory of plugins' binaries"`
	TCP          string `config:"tcp" help:"a TCP listener"`
	UDP          string `config:"udp" help:"a UDP socket"`
	Stream       string `config:"stream" help:"a local stream socket that everybody may connect to"`
	Datagram     string `config:"datagram" help:"a local datagram socket that everybody may send to"`
	Abstract     string `config:"abstract" help:"an abstract local socket"`
	Outside      string `config:"outside" help:"a directory that everybody may write to"`
	WorldFile    string `config:"world_file" help:"a file that everybody may write to"`
	PauseSeconds int    `config:"pause_seconds" help:"between two rounds; 0 is 50 ms"`
}

type hostile struct {
	aims  aims
	count func(string, uint64)
	once  sync.Once
}

func (h *hostile) setup(_ context.Context, env sdk.Env) error {
	h.count = env.Counter
	return nil
}

// begin starts the rounds, which go on until the process ends.
func (h *hostile) begin() {
	h.once.Do(func() {
		signal.Ignore(syscall.SIGXFSZ) // so that a write that is too long is an error
		go func() {
			for {
				for _, a := range attempts() {
					h.count("attempt "+a.name+" "+outcome(a.try(&h.aims)), 1)
				}
				h.count("rounds", 1)
				time.Sleep(max(50*time.Millisecond, time.Duration(h.aims.PauseSeconds)*time.Second))
			}
		}()
	})
}

// outcome names what came of an attempt.
func outcome(err error) string {
	if err == nil {
		return "SUCCEEDED"
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return "denied " + unix.ErrnoName(errno)
	}
	return "denied " + err.Error()
}

func (h *hostile) parse(raw event.RawLog, out *event.LogEvent) error {
	h.begin()
	out.Message = string(raw.Line)
	return nil
}

type source struct{ *hostile }

// Run emits a line every 10 ms.
func (s source) Run(ctx context.Context, out sdk.Emitter) error {
	stream, err := out.Open(sdk.StreamConfig{Name: "hostile", Format: "hostile", Provenance: event.ProvenanceHost})
	if err != nil {
		return err
	}
	s.begin()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := stream.Emit(ctx, []byte("nothing to see here"), nil); err != nil {
			return nil //nolint:nilerr // ctx is done
		}
	}
}

type detector struct{ *hostile }

func (d detector) Detect(context.Context, sdk.Batch, func(*event.AlertEvent)) error {
	d.begin()
	return nil
}

type enforcer struct{ *hostile }

func (e enforcer) Decide(context.Context, *event.AlertEvent, func(sdk.Intent)) error {
	e.begin()
	return nil
}

type sink struct{ *hostile }

func (sink) Consumes() []event.Kind { return []event.Kind{event.KindLog, event.KindAlert} }

func (s sink) Write(context.Context, sdk.Batch) error {
	s.begin()
	return nil
}

type scanner struct{}

func (scanner) Scan(context.Context, sdk.ScanRequest, io.Writer) (string, error) {
	return "", errors.New("nothing was scanned")
}
