// Command channels runs source -> hub -> parser -> hub -> detector inside one
// process, over Go channels: what the pipeline of processes is compared with.
// The log, the parser and the rule engine are the same; nothing is encoded,
// acknowledged, journaled or kept for a restart.
//
//	channels -mode single|recycled|batch -rules DIR -n LINES
//
// It prints one JSON object.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/testdata/bench/lines"
	"github.com/ironpost/ironpost/plugins/detector-rules/engine"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/parser-syslog/syslog"
	"github.com/ironpost/ironpost/sdk/event"
)

// capacity is that of every channel of single events.
const capacity = 1024

// batchSize is the number of events in a batch, and credits how many batches a
// channel holds.
const (
	batchSize = 1024
	credits   = 4
)

func main() {
	mode := flag.String("mode", "single", "single, recycled or batch")
	rules := flag.String("rules", "rules", "folder of rules")
	n := flag.Int("n", 1_000_000, "lines")
	flag.Parse()
	loaded := rule.Load(os.DirFS(*rules))
	if len(loaded.Rules) == 0 {
		fmt.Fprintln(os.Stderr, "no rules in", *rules)
		os.Exit(1)
	}
	b := &bench{
		log:    lines.New(false),
		stream: &event.Stream{ID: 1, Name: "bench", Format: "syslog", Provenance: event.ProvenanceHost},
		engine: engine.New(engine.Compile(loaded.Rules), engine.Options{}),
	}
	run := map[string]func(int){"single": b.single, "recycled": b.recycled, "batch": b.batch}[*mode]
	if run == nil {
		fmt.Fprintln(os.Stderr, "no such mode:", *mode)
		os.Exit(2)
	}
	run(*n / 10) // warm
	b.detected, b.alerts = 0, 0
	began, cpu := time.Now(), used()
	run(*n)
	seconds, spent := time.Since(began).Seconds(), used()-cpu
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{
		"events": b.detected, "alerts": b.alerts, "seconds": seconds, "cpu_seconds": spent.Seconds(),
	}); err != nil {
		os.Exit(1)
	}
}

// used is the processor time of this process.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type bench struct {
	log      *lines.Log
	stream   *event.Stream
	parser   syslog.Parser
	engine   *engine.Engine
	sequence uint64
	detected int
	alerts   int
}

// parse does what the SDK does for a parser, but for checking the text and
// encoding the result.
func (b *bench) parse(raw event.RawLog, ev *event.LogEvent) {
	if err := b.parser.Parse(raw, ev); err != nil {
		panic(err) // the log holds no such line
	}
	ev.Stream, ev.Sequence, ev.ObservedTime = raw.Stream, raw.Sequence, raw.ObservedTime
}

func (b *bench) detect(ev *event.LogEvent) {
	b.engine.Log(ev, func(*event.AlertEvent) { b.alerts++ })
	b.detected++
}

// source calls emit with n records whose lines belong to the log.
func (b *bench) source(n int, emit func(event.RawLog)) {
	now := time.Now()
	for i := range n {
		if i%batchSize == 0 {
			now = time.Now()
		}
		b.sequence++
		emit(event.RawLog{Stream: b.stream, Sequence: b.sequence, ObservedTime: now, Line: b.log.Next()})
	}
}

// forward moves what arrives to the next stage.
func forward[T any](running *sync.WaitGroup, in <-chan T, out chan<- T) {
	running.Go(func() {
		defer close(out)
		for v := range in {
			out <- v
		}
	})
}

// single sends one event at a time; every event has memory of its own.
func (b *bench) single(n int) {
	var running sync.WaitGroup
	raws, toParser := make(chan *event.RawLog, capacity), make(chan *event.RawLog, capacity)
	logs, toDetector := make(chan *event.LogEvent, capacity), make(chan *event.LogEvent, capacity)
	running.Go(func() {
		defer close(raws)
		b.source(n, func(raw event.RawLog) {
			raw.Line = append([]byte(nil), raw.Line...)
			raws <- &raw
		})
	})
	forward(&running, raws, toParser)
	running.Go(func() {
		defer close(logs)
		for raw := range toParser {
			ev := &event.LogEvent{Fields: make([]event.Field, 0, 8)}
			b.parse(*raw, ev)
			logs <- ev
		}
	})
	forward(&running, logs, toDetector)
	for ev := range toDetector {
		b.detect(ev)
	}
	running.Wait()
}

// carrier is an event on its way in memory that is used again.
type carrier struct {
	line []byte
	raw  event.RawLog
	log  event.LogEvent
}

// recycled sends one event at a time, in memory that is used again.
func (b *bench) recycled(n int) {
	var running sync.WaitGroup
	var channels [4]chan *carrier
	for i := range channels {
		channels[i] = make(chan *carrier, capacity)
	}
	spare := sync.Pool{New: func() any { return new(carrier) }}
	running.Go(func() {
		defer close(channels[0])
		b.source(n, func(raw event.RawLog) {
			c := spare.Get().(*carrier)
			c.line = append(c.line[:0], raw.Line...)
			c.raw = raw
			c.raw.Line = c.line
			channels[0] <- c
		})
	})
	forward(&running, channels[0], channels[1])
	running.Go(func() {
		defer close(channels[2])
		for c := range channels[1] {
			c.log.Reset()
			b.parse(c.raw, &c.log)
			channels[2] <- c
		}
	})
	forward(&running, channels[2], channels[3])
	for c := range channels[3] {
		b.detect(&c.log)
		spare.Put(c)
	}
	running.Wait()
}

// batched is a batch on its way in memory that is used again.
type batched struct {
	text []byte
	raws []event.RawLog
	logs []event.LogEvent
}

// batch sends batches, in memory that is used again.
func (b *bench) batch(n int) {
	var running sync.WaitGroup
	var channels [4]chan *batched
	for i := range channels {
		channels[i] = make(chan *batched, credits)
	}
	spare := sync.Pool{New: func() any {
		return &batched{raws: make([]event.RawLog, 0, batchSize), logs: make([]event.LogEvent, batchSize)}
	}}
	running.Go(func() {
		defer close(channels[0])
		c := spare.Get().(*batched)
		b.source(n, func(raw event.RawLog) {
			at := len(c.text)
			c.text = append(c.text, raw.Line...)
			raw.Line = c.text[at:]
			if c.raws = append(c.raws, raw); len(c.raws) == batchSize {
				channels[0] <- c
				c = spare.Get().(*batched)
			}
		})
		channels[0] <- c
	})
	forward(&running, channels[0], channels[1])
	running.Go(func() {
		defer close(channels[2])
		for c := range channels[1] {
			for i := range c.raws {
				c.logs[i].Reset()
				b.parse(c.raws[i], &c.logs[i])
			}
			channels[2] <- c
		}
	})
	forward(&running, channels[2], channels[3])
	for c := range channels[3] {
		for i := range c.raws {
			b.detect(&c.logs[i])
		}
		c.text, c.raws = c.text[:0], c.raws[:0]
		spare.Put(c)
	}
	running.Wait()
}
