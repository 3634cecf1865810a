package receiver

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// maxSenders bounds the streams of one UDP listener.
	maxSenders = 1024
	// evictAfter is how long a sender or a connection must have been silent to
	// make room for another one.
	evictAfter = 10 * time.Second
	// sweepInterval is how often silent senders are looked for.
	sweepInterval = 10 * time.Second
	// receiveBuffer is what is asked of the kernel for a socket; it grants what
	// net.core.rmem_max allows.
	receiveBuffer = 4 << 20
	// maxFailures is how many errors in a row end the source.
	maxFailures = 100
	// datagramSize is the longest datagram of UDP over IPv4 or IPv6.
	datagramSize = 64 << 10
)

// udp receives on one socket. One goroutine uses it.
type udp struct {
	source  *Source
	address string
	conn    net.PacketConn
	out     sdk.Emitter

	senders map[netip.Addr]*list.Element
	// recent orders the senders, the most recent first.
	recent *list.List
	// others stands for the senders beyond maxSenders.
	others *sender
}

// sender is one address that sent datagrams.
type sender struct {
	address netip.Addr
	stream  sdk.Stream
	pace    *pace
	last    time.Time
}

func (u *udp) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = u.conn.Close() })()
	defer u.conn.Close()
	u.prepare()
	if c, ok := u.conn.(interface{ SetReadBuffer(int) error }); ok {
		_ = c.SetReadBuffer(receiveBuffer) // the kernel's default does, too
	}
	in := newBatch(u.conn)
	in.overflow(u.conn) // what was lost before is not of this process
	sweep := time.Now().Add(sweepInterval)
	if err := u.conn.SetReadDeadline(sweep); err != nil {
		return u.ended(ctx, err)
	}
	for failures := 0; ; {
		n, err := in.read()
		now := time.Now()
		switch {
		case err == nil:
			failures = 0
			for i := range n {
				data, from := in.at(i)
				if err := u.take(data, from, now); err != nil {
					return u.ended(ctx, err)
				}
			}
			if lost := in.lost(); lost > 0 {
				u.out.Drop("kernel_udp", lost)
			}
		case errors.Is(err, os.ErrDeadlineExceeded):
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return u.ended(ctx, err)
		default:
			// One error says little (an ICMP message can cause it); many in a row
			// say that the socket is of no use any more.
			u.source.counter("udp_receive_errors", 1)
			if failures++; failures == maxFailures {
				return u.ended(ctx, err)
			}
		}
		if now.After(sweep) {
			if lost := in.overflow(u.conn); lost > 0 {
				u.out.Drop("kernel_udp", lost)
			}
			u.sweep(now)
			sweep = now.Add(sweepInterval)
			if err := u.conn.SetReadDeadline(sweep); err != nil {
				return u.ended(ctx, err)
			}
		}
	}
}

func (u *udp) prepare() {
	u.senders, u.recent = make(map[netip.Addr]*list.Element), list.New()
}

func (u *udp) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("receive on %s: %w", u.address, err)
}

// take emits one datagram.
func (u *udp) take(data []byte, from netip.Addr, now time.Time) error {
	data = bytes.TrimRight(data, "\r\n\x00")
	if len(data) == 0 {
		u.out.Drop("empty_datagram", 1)
		return nil
	}
	s, err := u.sender(from, now)
	if err != nil {
		return err
	}
	if !s.pace.admit(len(data), now) {
		u.out.Drop("rate_limited", 1)
		return nil
	}
	err = s.stream.TryEmit(data[:min(len(data), event.MaxRecord+1)])
	if err != nil && !errors.Is(err, sdk.ErrNoRoom) {
		return err
	}
	return nil // ErrNoRoom has been counted as a drop
}

// sender returns who sent a datagram.
func (u *udp) sender(from netip.Addr, now time.Time) (*sender, error) {
	if e, ok := u.senders[from]; ok {
		s := e.Value.(*sender)
		s.last = now
		u.recent.MoveToFront(e)
		return s, nil
	}
	if len(u.senders) >= maxSenders {
		oldest := u.recent.Back()
		if now.Sub(oldest.Value.(*sender).last) < evictAfter {
			u.source.counter("udp_senders_without_stream", 1)
			return u.shared()
		}
		u.forget(oldest)
	}
	s, err := u.meet(from, now)
	if err != nil {
		return nil, err
	}
	u.senders[from] = u.recent.PushFront(s)
	return s, nil
}

// shared returns who stands for senders beyond maxSenders.
func (u *udp) shared() (*sender, error) {
	if u.others == nil {
		s, err := u.meet(netip.Addr{}, time.Time{})
		if err != nil {
			return nil, err
		}
		// They share a stream, and are many: the bus alone bounds them.
		s.pace = newPace(&Config{})
		u.others = s
	}
	return u.others, nil
}

func (u *udp) meet(from netip.Addr, now time.Time) (*sender, error) {
	stream, err := u.source.open(u.out, u.address, from, "")
	if err != nil {
		return nil, err
	}
	return &sender{address: from, stream: stream, pace: newPace(u.source.config), last: now}, nil
}

// sweep closes the streams of senders that were silent for idle_timeout.
func (u *udp) sweep(now time.Time) {
	for e := u.recent.Back(); e != nil && now.Sub(e.Value.(*sender).last) > u.source.config.IdleTimeout; e = u.recent.Back() {
		u.forget(e)
	}
}

func (u *udp) forget(e *list.Element) {
	s := e.Value.(*sender)
	u.recent.Remove(e)
	delete(u.senders, s.address)
	if err := s.stream.Close(); err != nil {
		u.source.log.Warn("the stream of a silent sender could not be closed", "peer", s.address.String(), "error", err)
	}
}
