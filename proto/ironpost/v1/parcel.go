package ironpostv1

import (
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/mem"
)

// Parcel is bytes that were taken off a connection without reading them into the
// memory of this process. Its methods but Copy are for one goroutine; Copy may be
// called by several, and none of the others at the same time.
type Parcel interface {
	// Copy returns another parcel with the same bytes.
	Copy() (Parcel, error)
	// Read fills b, which is as long as the parcel, and empties the parcel.
	Read(b []byte) error
	// Free gives up what the parcel holds. It is the last call.
	Free()
}

// Keeper takes parcels off a connection and puts them on it. One goroutine may call
// Keep and another Pass.
type Keeper interface {
	// Keep takes the next n bytes; it returns nil when they had better be read.
	Keep(n int) (Parcel, error)
	// Pass writes what a parcel holds, of any Keeper of the same kind, and empties
	// the parcel.
	Pass(p Parcel) error
}

// payload is the encoded records of a batch, as they arrived: in the pieces that
// HTTP/2 cut them into, or in a piece and a parcel. Who passes them on never puts
// them together, nor looks at them: memory that another core has just written is
// slow to read. All frames with these records share it.
type payload struct {
	refs atomic.Int32
	size int
	pool mem.BufferPool // of what is put together; may be nil

	// mu guards what follows, which changes at most once: when somebody reads.
	mu     sync.RWMutex
	pieces mem.BufferSlice
	parcel Parcel // what follows the pieces, nil for nothing
	whole  []byte // the pieces, when it is one
}

// newPayload takes ownership of the pieces, and of the parcel if there is one: the
// last of size bytes.
func newPayload(pieces mem.BufferSlice, parcel Parcel, size int, pool mem.BufferPool) *payload {
	p := &payload{pieces: pieces, parcel: parcel, size: size, pool: pool}
	p.refs.Store(1)
	return p
}

func (p *payload) free() {
	if p.refs.Add(-1) > 0 {
		return
	}
	p.pieces.Free()
	if p.parcel != nil {
		p.parcel.Free()
	}
	p.pieces, p.parcel, p.whole = nil, nil, nil
}

// bytes returns all records in one slice. Any number of goroutines may call it.
func (p *payload) bytes() []byte {
	p.mu.RLock()
	whole := p.whole
	p.mu.RUnlock()
	if whole != nil {
		return whole
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.whole == nil {
		p.join()
	}
	return p.whole
}

// join makes one piece of all; p.mu is held.
func (p *payload) join() {
	if len(p.pieces) == 1 && p.parcel == nil {
		p.whole = p.pieces[0].ReadOnlyData()
		return
	}
	var own *[]byte
	if p.pool != nil {
		own = p.pool.Get(p.size)
	} else {
		b := make([]byte, p.size)
		own = &b
	}
	n := p.pieces.CopyTo(*own)
	if p.parcel != nil {
		if err := p.parcel.Read((*own)[n:]); err != nil {
			// The kernel lost bytes that it held: records that no reader takes.
			clear((*own)[n:])
		}
		p.parcel.Free()
		p.parcel = nil
	}
	p.pieces.Free()
	p.pieces = mem.BufferSlice{mem.NewBuffer(own, p.pool)}
	p.whole = p.pieces[0].ReadOnlyData()
}

// shared returns the records for somebody who passes them on: pieces, which he
// frees, and a parcel for what follows them, his as well, or nil.
func (p *payload) shared() (mem.BufferSlice, Parcel) {
	p.mu.RLock()
	var parcel Parcel
	var err error
	if p.parcel != nil {
		parcel, err = p.parcel.Copy()
	}
	pieces := p.pieces
	if err == nil {
		pieces.Ref()
	}
	p.mu.RUnlock()
	if err == nil {
		return pieces, parcel
	}
	return p.inMemory(), nil
}

// inMemory returns the records in pieces, which the caller frees.
func (p *payload) inMemory() mem.BufferSlice {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parcel != nil {
		p.join()
	}
	p.pieces.Ref()
	return p.pieces
}
