package link

import (
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// splicer moves parcels between one connection and pipes.
type splicer struct {
	pipes   *Pipes
	conn    *net.UnixConn
	in, out transfer
}

// keeper returns what keeps parcels of a connection, nil when nothing does.
func (p *Pipes) keeper(conn *net.UnixConn) pb.Keeper {
	raw, err := conn.SyscallConn()
	if p == nil || err != nil {
		return nil
	}
	s := &splicer{pipes: p, conn: conn}
	s.in = transfer{wait: raw.Read}
	s.in.step = s.in.fill
	s.out = transfer{wait: raw.Write}
	s.out.step = s.out.drain
	return s
}

// Keep implements pb.Keeper.
func (s *splicer) Keep(n int) (pb.Parcel, error) {
	if n < minParcel {
		return nil, nil
	}
	k := s.pipes.take()
	if k == nil {
		s.pipes.missed.Add(1)
		return nil, nil
	}
	err := s.in.run(k.pipe, n)
	if errors.Is(err, errFull) {
		k.rest = make([]byte, n-k.pipe.bytes)
		_, err = io.ReadFull(s.conn, k.rest)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
	}
	if err != nil {
		k.Free()
		return nil, fmt.Errorf("keep a batch: %w", err)
	}
	return k, nil
}

// Pass implements pb.Keeper.
func (s *splicer) Pass(p pb.Parcel) error {
	k := p.(*parcel)
	err := s.out.run(k.pipe, k.pipe.bytes)
	if err == nil && len(k.rest) > 0 {
		_, err = s.conn.Write(k.rest)
	}
	if err != nil {
		return fmt.Errorf("pass a batch on: %w", err)
	}
	return nil
}

// errFull: the pipe is full, as by many small pieces, before all is in it.
var errFull = errors.New("the pipe is full")

// transfer is one direction of a connection. It is a value that is used again,
// since a closure would be new memory for each batch.
type transfer struct {
	wait func(func(fd uintptr) bool) error // calls its argument until it is true
	step func(fd uintptr) bool

	pipe *pipe
	left int // bytes that are still to be moved
	err  error
}

// run moves n bytes.
func (t *transfer) run(p *pipe, n int) error {
	t.pipe, t.left, t.err = p, n, nil
	err := t.wait(t.step)
	t.pipe = nil
	if err != nil {
		return err
	}
	return t.err
}

// fill moves from the socket into the pipe.
func (t *transfer) fill(fd uintptr) bool {
	for t.left > 0 {
		n, err := unix.Splice(int(fd), nil, t.pipe.in, nil, t.left, unix.SPLICE_F_NONBLOCK)
		if errors.Is(err, unix.EAGAIN) {
			// There is nothing to take, or no room. Only the first is worth waiting
			// for: what is there already does not wake anybody again.
			var waiting int
			if waiting, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ); err == nil && waiting == 0 {
				return false
			}
			if err == nil {
				err = errFull
			}
		}
		if t.moved(n, err) {
			t.pipe.bytes += int(n)
		}
	}
	return true
}

// drain moves from the pipe into the socket.
func (t *transfer) drain(fd uintptr) bool {
	for t.left > 0 {
		n, err := unix.Splice(t.pipe.out, nil, int(fd), nil, t.left, unix.SPLICE_F_NONBLOCK)
		if errors.Is(err, unix.EAGAIN) {
			return false // the pipe is not empty: the socket is full
		}
		if t.moved(n, err) {
			t.pipe.bytes -= int(n)
		}
	}
	return true
}

// moved takes the result of a call, and reports whether it moved anything.
func (t *transfer) moved(n int64, err error) bool {
	switch {
	case errors.Is(err, unix.EINTR):
		return false
	case err == nil && n == 0:
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		t.err, t.left = err, 0
		return false
	}
	t.left -= int(n)
	return true
}
