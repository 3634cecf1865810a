package ironpostv1

import "time"

// API is the version of the wire that this package speaks, and OldestAPI the
// oldest that a host still serves.
const (
	API       = 1
	OldestAPI = 1
)

// The go-plugin handshake. The cookie keeps a person from starting a plugin by
// hand; it is no security.
const (
	MagicCookieKey   = "IRONPOST_PLUGIN"
	MagicCookieValue = "d3a1c1f0-7f6b-4f0e-9a55-ironpost-v1"
	// DispenseName is the one name under which go-plugin serves everything.
	DispenseName = "ironpost"
)

// ParentFDEnv is the environment variable that carries, to a plugin started by
// the host, the number of the descriptor of a pipe whose other end only the
// host holds: it reads end-of-file when the host is gone.
const ParentFDEnv = "IRONPOST_PARENT_FD"

// Limits of the wire.
const (
	// MaxBatchBytes bounds the payload of one batch.
	MaxBatchBytes = 1 << 20
	// MaxNames bounds the names of one batch, and MaxNameBytes each of them.
	MaxNames     = 4096
	MaxNameBytes = 256
	// MaxMessageBytes bounds one gRPC message: a batch, its header, and the
	// state changes that ride in its acknowledgement (at most 1 MiB).
	MaxMessageBytes = 4 << 20
	// MaxCheckpointBytes bounds a source's checkpoint.
	MaxCheckpointBytes = 4 << 10
	// MaxStateBytes bounds the state of one plugin.
	MaxStateBytes = 64 << 20
	// MaxCredits bounds the batches in flight on one stream.
	MaxCredits = 64
	// WindowBytes is the HTTP/2 flow-control window of streams and connections:
	// more than all credits of an ordinary stream need, so that credits, not
	// windows, apply back-pressure.
	WindowBytes = 8 << 20
	// WriteBufferBytes is what gRPC gathers before it writes: a batch of the usual
	// size. With its default of 32 KiB a batch takes several system calls, each of
	// which wakes the other process.
	WriteBufferBytes = 160 << 10
	// ReadBufferBytes is what gRPC reads ahead: little, so that the rest of every
	// frame is read straight to where it stays.
	ReadBufferBytes = 4 << 10
	// DescribeTimeout bounds a plugin's start and its description.
	DescribeTimeout = 5 * time.Second
)
