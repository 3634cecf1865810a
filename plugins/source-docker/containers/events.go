package containers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/docker"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// eventsStream is the name of the stream of events.
	eventsStream = "events"
	// maxEvents is how many events the engine keeps.
	maxEvents     = 256
	eventsVersion = 1
)

// events follows the engine's events. One goroutine uses it.
type events struct {
	source  *Source
	api     *api
	out     sdk.Emitter
	changed func(id string)

	stream sdk.Stream
	// newest is the time of the newest event that was seen, 0 before the first;
	// seen are the hashes of the last ones, the oldest first.
	newest   int64
	seen     []uint64
	settings remembered
	// record and checkpoint are reused.
	record, checkpoint []byte
}

// run follows the events until ctx is done, which it reports as nil.
func (e *events) run(ctx context.Context) error {
	if e.source.config.Events {
		if err := e.open(ctx); err != nil {
			return err
		}
	}
	pause := firstPause
	for {
		begun := false
		unknown, counted := 0, e.newest == 0
		since := e.newest
		if len(e.seen) > 0 {
			since -= int64(disorder)
		}
		err := e.api.Events(ctx, since, func() {
			begun = true
			e.changed("")
		}, func(text []byte, ev *docker.Event) error {
			h := fnv.New64a()
			_, _ = h.Write(text) // it never fails
			sum := h.Sum64()
			if slices.Contains(e.seen, sum) {
				counted = true
				return nil
			}
			// More than the engine keeps, and none of them known: there may have
			// been others before them.
			if unknown++; unknown == maxEvents-1 && !counted {
				counted = true
				e.source.counter("events_gaps", 1)
				e.source.log.Warn("more of Docker's events came while nobody listened than it keeps; some may be lost")
			}
			return e.take(ctx, sum, ev)
		})
		if ctx.Err() != nil {
			return nil
		}
		if failed, ok := errors.AsType[*emitError](err); ok {
			return fmt.Errorf("emit events of Docker: %w", failed.err)
		}
		if begun {
			pause = firstPause
		}
		e.source.log.Debug("Docker's events are followed again", "reason", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

func (e *events) open(ctx context.Context) error {
	stream, err := e.out.Open(sdk.StreamConfig{Name: eventsStream, Format: "json", Provenance: event.ProvenanceHost})
	if err != nil {
		return fmt.Errorf("open the stream of Docker's events: %w", err)
	}
	e.stream = stream
	stored := stream.Resume()
	if len(stored) > 0 {
		newest, seen, err := decodeEvents(stored)
		if err == nil {
			e.newest, e.seen = newest, seen
			return nil
		}
		e.source.counter("checkpoint_invalid", 1)
	}
	// What happens between now and the first event must not be lost either.
	e.newest = time.Now().UnixNano()
	if err := stream.Mark(ctx, e.append(nil)); err != nil {
		return fmt.Errorf("mark the beginning of Docker's events: %w", err)
	}
	return nil
}

// take emits an event and tells the watcher of it.
func (e *events) take(ctx context.Context, sum uint64, ev *docker.Event) error {
	if len(e.seen) == maxEvents {
		e.seen = slices.Delete(e.seen, 0, 1)
	}
	e.seen = append(e.seen, sum)
	e.newest = max(e.newest, ev.At())
	if e.stream != nil {
		var members []byte
		if ev.Type == "container" {
			members, _ = describe(&container{ID: ev.Actor.ID, Names: []string{ev.Actor.Attributes["name"]}, Image: ev.Actor.Attributes["image"]}, nil)
			members = append(members, e.settings.of(ctx, e, ev)...)
		}
		e.record = appendEvent(e.record[:0], ev, members)
		e.checkpoint = e.append(e.checkpoint[:0])
		if err := e.stream.Emit(ctx, e.record, e.checkpoint); err != nil {
			return &emitError{err}
		}
	}
	if ev.Type == "container" {
		switch ev.Action {
		case "start", "restart":
			e.changed(ev.Actor.ID)
		case "create", "die", "destroy", "rename", "update", "unpause":
			e.changed("")
		}
	}
	return nil
}

// append encodes the position:
//
//	version uint8; newest int64, then each hash uint64, little-endian
func (e *events) append(b []byte) []byte {
	b = append(b, eventsVersion)
	b = binary.LittleEndian.AppendUint64(b, uint64(e.newest))
	for _, h := range e.seen {
		b = binary.LittleEndian.AppendUint64(b, h)
	}
	return b
}

// decodeEvents reads the checkpoint of the events. It returns errPosition,
// wrapped, for anything that this package did not write.
func decodeEvents(b []byte) (newest int64, seen []uint64, err error) {
	if len(b) < 9 || b[0] != eventsVersion || (len(b)-9)%8 != 0 || (len(b)-9)/8 > maxEvents {
		return 0, nil, fmt.Errorf("%w: %d bytes", errPosition, len(b))
	}
	if newest = int64(binary.LittleEndian.Uint64(b[1:])); newest < 0 {
		return 0, nil, fmt.Errorf("%w: out of range", errPosition)
	}
	for rest := b[9:]; len(rest) > 0; rest = rest[8:] {
		seen = append(seen, binary.LittleEndian.Uint64(rest))
	}
	return newest, seen, nil
}
