package sdk

import (
	"context"
	"errors"

	"github.com/ironpost/ironpost/sdk/event"
)

// LogSource reads records from somewhere and emits them.
type LogSource interface {
	// Run opens streams on out and emits records until ctx is done; then it
	// stops reading and returns nil, and the SDK sends what is still buffered.
	// An error ends the plugin, which the host restarts.
	Run(ctx context.Context, out Emitter) error
}

// ErrNoRoom is returned by Stream.TryEmit when the host does not take records
// as fast as they come.
var ErrNoRoom = errors.New("no room: the host is behind")

// Emitter opens streams. It is safe for concurrent use.
type Emitter interface {
	// Open opens a stream, or opens it again under the same name. The result
	// carries the position at which the host wants it resumed. At most 16,384
	// streams are open at a time; Close those that have ended.
	Open(StreamConfig) (Stream, error)
	// Drop counts records that the source had to discard, by reason.
	Drop(reason string, n uint64)
	// Positions returns the names of the streams that have a stored position,
	// so that a source can pick up streams that it would not open by itself.
	Positions() []string
}

// StreamConfig describes a stream.
type StreamConfig struct {
	// Name is unique in the plugin and stable across restarts: a path, a
	// listener and its peer.
	Name string
	// Format names the parser's format, "" when it is not known.
	Format     string
	Provenance event.Provenance
	// Peer is who speaks in a stream that is not the host's own, about whom alone
	// it is believed: the address of a sender, "container:" and the id of a container.
	Peer string
	// TimeZone is an IANA name for stamps without a zone; "" is the host's.
	TimeZone string
}

// Stream takes the records of one origin. One goroutine may use it at a time.
type Stream interface {
	// Resume returns the checkpoint behind the last record that the host took
	// over, nil for a new stream.
	Resume() []byte
	// Emit hands over one record; line and checkpoint are copied. checkpoint
	// says where to resume after this record, at most 4 KiB; nil for a source
	// that cannot go back, whose streams are not remembered over a restart of
	// the host. A line longer than event.MaxRecord is cut, marked
	// and counted. Emit waits while the host does not take more: a source that
	// can hold back its origin needs nothing else. It returns the error of ctx
	// when that ends first.
	Emit(ctx context.Context, line, checkpoint []byte) error
	// Mark notes a position that is not behind a record: where reading begins,
	// or what was read and holds none. Like a record's, the checkpoint is what
	// Resume returns after a restart.
	Mark(ctx context.Context, checkpoint []byte) error
	// TryEmit is Emit for an origin that cannot wait (datagrams): it returns
	// ErrNoRoom at once, and counts a drop, instead of waiting.
	TryEmit(line []byte) error
	// Flush sends what is buffered without waiting for the 2 ms timer. It is
	// worth a call when the origin has nothing more at the moment.
	Flush(ctx context.Context) error
	// Durable returns the checkpoint up to which everything is safe; nil when
	// nothing is yet.
	Durable() []byte
	// Close ends the stream after flushing it. The position stays stored.
	Close() error
}

// Renumberer is a Stream that can leave numbers out; those of the host can. A
// record that is emitted again after a restart gets the number that it had, since
// the source resumes at the checkpoint and reads the same records in the same
// order. Where they are not there any more, what is read instead would get their
// numbers, and be taken for them: Renumber, called before the first of it, gives it
// others.
type Renumberer interface {
	Renumber(ctx context.Context) error
}
