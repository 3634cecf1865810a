package serve

import (
	"errors"
	"fmt"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// limits say when a batch leaves: at once when the last one left flushInterval
// ago or longer, else when it is that old, or full. The host sets them.
type limits struct {
	batchRecords  int
	batchBytes    int
	flushInterval time.Duration
}

// newLimits takes the limits from the host's control data. What is 0 there is
// the default; a batch never exceeds what the wire allows.
func newLimits(c *pb.LinkControl) limits {
	l := limits{batchRecords: 1024, batchBytes: 128 << 10, flushInterval: 2 * time.Millisecond}
	if n := int(c.BatchRecords); n > 0 {
		l.batchRecords = min(n, 65536)
	}
	if n := int(c.BatchBytes); n > 0 {
		l.batchBytes = min(n, pb.MaxBatchBytes-event.MaxRecord-recordOverhead)
	}
	if d := time.Duration(c.FlushIntervalNs); d > 0 {
		l.flushInterval = d
	}
	return l
}

// window is the end of a link on which batches leave ahead of their acknowledgements: as many
// as there are credits. Who sends one puts a token into credits first.
type window struct {
	link    Stream
	limits  limits
	credits chan struct{}
}

// open waits until the host is ready, and hands all that it says meanwhile to control, which
// may be nil.
func (w *window) open(control func(*pb.LinkControl)) error {
	for {
		var f pb.Frame
		if err := w.link.RecvMsg(&f); err != nil {
			return err
		}
		c := f.Control
		f.Free()
		if c == nil {
			return errors.New("the host sent no control data first")
		}
		if control != nil {
			control(c)
		}
		if c.Ready {
			w.limits = newLimits(c)
			n := int(c.Credits)
			if n == 0 {
				n = defaultCredits
			}
			w.credits = make(chan struct{}, min(n, pb.MaxCredits))
			return nil
		}
	}
}

// acknowledged takes credits back and hands what each acknowledgement calls durable to durable,
// until the link ends or that fails.
func (w *window) acknowledged(durable func(number uint64) error) error {
	var accepted uint64
	for {
		var f pb.Frame
		if err := w.link.RecvMsg(&f); err != nil {
			return err
		}
		ack := f.Ack
		f.Free()
		if ack == nil {
			continue
		}
		for ; accepted < ack.Accepted; accepted++ {
			select {
			case <-w.credits:
			default:
				return fmt.Errorf("the host accepted batch %d, which was not sent", ack.Accepted)
			}
		}
		if err := durable(ack.Durable); err != nil {
			return err
		}
	}
}
