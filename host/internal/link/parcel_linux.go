package link

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Parcels are batches that wait in pipes of the kernel: splice(2) moves the pages
// of a socket's buffers into a pipe and from there into another socket, tee(2)
// lets several pipes share them. The host never copies the records of a batch nor
// maps them, and what a plugin has written, it can no longer change.
const (
	// minParcel is the smallest payload that is worth the calls.
	minParcel = 32 << 10
	// maxParcels bounds the pipes that batches wait in; what is beyond is read into
	// memory. Each has two descriptors, of which these pipes take an eighth of what
	// the process may have at most, and holds at most pipeBytes of the kernel's
	// memory. Not among them are the empty ones that are kept, a quarter of that at
	// most, and the copy that each link has while it sends.
	maxParcels     = 256
	shareOfFiles   = 8
	filesPerParcel = 2
	// pipeBytes is the size of a pipe. It counts in pages, however little is in
	// one: the 36 KiB of a socket's buffer (net/unix/af_unix.c) take ten.
	pipeBytes = 1 << 20
	// sparePart is the part of the bound that empty pipes may be.
	sparePart = 4
)

// Pipes are where the links of a host keep batches, as long as the process lives.
// They are safe for concurrent use; the zero value is ready.
type Pipes struct {
	mu    sync.Mutex
	spare []*pipe
	used  int // by batches
	begun bool
	limit int // of used
	null  int // descriptor of /dev/null

	missed atomic.Uint64
}

// Missed returns how many large batches were read into memory for want of a pipe.
func (p *Pipes) Missed() uint64 { return p.missed.Load() }

// pipe is a pipe and how much is in it.
type pipe struct {
	in, out int // descriptors: what is written to in is read from out
	bytes   int
}

// get returns an empty pipe; nil when there is none to be had.
func (p *Pipes) get() *pipe {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.spare); n > 0 {
		last := p.spare[n-1]
		p.spare = p.spare[:n-1]
		return last
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil
	}
	made := &pipe{out: fds[0], in: fds[1]}
	if _, err := unix.FcntlInt(uintptr(made.in), unix.F_SETPIPE_SZ, pipeBytes); err != nil {
		// More than /proc/sys/fs/pipe-max-size, or pipe-user-pages-soft of a user
		// without privileges.
		made.close()
		return nil
	}
	return made
}

// put takes a pipe back and empties it. It came from get.
func (p *Pipes) put(used *pipe) {
	if used.bytes > 0 {
		n, err := unix.Splice(used.out, nil, p.null, nil, used.bytes, unix.SPLICE_F_NONBLOCK)
		if err == nil {
			used.bytes -= int(n)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if used.bytes > 0 || len(p.spare) >= p.limit/sparePart {
		used.close()
		return
	}
	p.spare = append(p.spare, used)
}

func (p *pipe) close() {
	_ = unix.Close(p.in)
	_ = unix.Close(p.out)
}

// parcel is the bytes in a pipe and, behind them, some in memory.
type parcel struct {
	pipes *Pipes
	pipe  *pipe
	rest  []byte
	kept  bool // counts as used
}

var _ pb.Parcel = (*parcel)(nil)

// take returns an empty parcel; nil when too many are in use.
func (p *Pipes) take() *parcel {
	if !p.reserve() {
		return nil
	}
	k := &parcel{pipes: p, pipe: p.get(), kept: true}
	if k.pipe == nil {
		k.Free()
		return nil
	}
	return k
}

// reserve counts one more pipe as used, if it may be.
func (p *Pipes) reserve() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.begun && !p.begin() {
		return false
	}
	if p.used >= p.limit {
		return false
	}
	p.used++
	return true
}

// begin finds out how many pipes there may be; p.mu is held.
func (p *Pipes) begin() bool {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return false
	}
	null, err := unix.Open(os.DevNull, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	p.null, p.begun = null, true
	p.limit = int(min(maxParcels, files.Cur/(shareOfFiles*filesPerParcel)))
	return true
}

// errNoPipe: the process has no descriptors left, or the user no pages in pipes.
var errNoPipe = errors.New("no pipe to be had")

// Copy implements pb.Parcel.
func (k *parcel) Copy() (pb.Parcel, error) {
	to := k.pipes.get()
	if to == nil {
		return nil, errNoPipe
	}
	c := &parcel{pipes: k.pipes, pipe: to, rest: k.rest}
	n, err := unix.Tee(k.pipe.out, to.in, k.pipe.bytes, unix.SPLICE_F_NONBLOCK)
	to.bytes = int(max(n, 0))
	if err == nil && to.bytes < k.pipe.bytes {
		err = io.ErrShortWrite // the sizes of both are the same
	}
	if err != nil {
		c.Free()
		return nil, fmt.Errorf("share a batch: %w", err)
	}
	return c, nil
}

// Read implements pb.Parcel.
func (k *parcel) Read(b []byte) error {
	for k.pipe.bytes > 0 {
		n, err := unix.Read(k.pipe.out, b[:k.pipe.bytes])
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("read a batch: %w", err)
		}
		b = b[max(n, 0):]
		k.pipe.bytes -= max(n, 0)
	}
	copy(b, k.rest)
	return nil
}

// Free implements pb.Parcel.
func (k *parcel) Free() {
	if k.pipe != nil {
		k.pipes.put(k.pipe)
		k.pipe = nil
	}
	if k.kept {
		k.pipes.mu.Lock()
		k.pipes.used--
		k.pipes.mu.Unlock()
		k.kept = false
	}
}
