package pipeline

import (
	"context"
	"fmt"

	"github.com/ironpost/ironpost/host/internal/bus"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Bounds of what a detector's link leaves to settle.
const (
	maxOwed      = 64                   // acknowledgements
	maxOwedBytes = pb.MaxStateBytes / 4 // of their changes; a single larger one is taken alone
	maxUnflushed = 1 << 20              // bytes of alerts that are not on disk yet
)

// owed is an acknowledgement of a detector that counts once its alerts are safe.
type owed struct {
	alert uint64 // journal index of the last alert before it, 0 for none
	ack   *pb.Ack
	size  int64 // of its changes, as far as owedBytes counts it
}

// changesSize is what the changes of an acknowledgement take in memory.
func changesSize(ack *pb.Ack) int {
	n := 0
	for _, c := range ack.Changes {
		n += changeSize(c)
	}
	return n
}

// owe gives credit back at once and leaves the rest of an acknowledgement to
// settle, so that neither the detector nor its next answer waits for the disk. It
// waits itself when too many are left already.
func (l *consumerLink) owe(ctx context.Context, ack *pb.Ack) error {
	if ack.Accepted > 0 {
		if err := l.queue.Accepted(ack.Accepted); err != nil {
			return err
		}
	}
	size := changesSize(ack)
	if size > pb.MaxStateBytes {
		return fmt.Errorf("%w: %d bytes of state changes at once, at most %d are allowed", bus.ErrProtocol, size, pb.MaxStateBytes)
	}
	o := owed{l.alert, ack, int64(min(size, maxOwedBytes))}
	if err := l.owedBytes.Acquire(ctx, o.size); err != nil {
		return context.Cause(ctx)
	}
	l.member.handling.Add(1)
	select {
	case l.owed <- o:
		return nil
	case <-ctx.Done():
		l.member.handling.Add(-1)
		return context.Cause(ctx)
	}
}

// settle applies the acknowledgements in their order, each when the alerts before
// it are on disk; those that wait share a flush. It returns when the link has
// ended and nothing is owed any more, or with the first error.
func (l *consumerLink) settle() error {
	for o := range l.owed {
		err := l.safe(o.alert)
		if err == nil {
			err = l.acknowledged(o.ack)
		}
		l.owedBytes.Release(o.size)
		l.member.handling.Add(-1)
		if err != nil {
			return err
		}
	}
	return nil
}

// safe returns when the alerts up to a journal index are on disk. Those that the
// plugin raised are kept whatever becomes of the link.
func (l *consumerLink) safe(alert uint64) error {
	p := l.member.pipeline
	if alert == 0 || p.config.Journal == nil {
		return nil
	}
	if err := p.config.Journal.Wait(p.ctx, alert); err != nil {
		return keepError(err)
	}
	return nil
}

func keepError(err error) error { return hostError{fmt.Errorf("keep an alert: %w", err)} }
