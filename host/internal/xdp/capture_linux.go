//go:build amd64 || arm64

package xdp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/perf"

	"github.com/ironpost/ironpost/bpf"
)

// captureBuffer is the room for captured packets of each processor, in bytes:
// about 900 of the longest.
const captureBuffer = 256 << 10

// A captured packet waits for captureInterval at most, for captureBatch-1 others.
const (
	captureInterval = 100 * time.Millisecond
	captureBatch    = 256
)

// Capture shows packets that the filter drops, or would drop were it not for
// simulate or dry run, until ctx is done, limit packets were shown, the filter is
// closed or emit fails, whose error it returns. At most MaxCaptured bytes of each
// are shown. emit is given some packets at a time, which are its own, with how
// many were lost up to then because they came faster than emit took them; it is
// called last, also when there is no packet left, before Capture returns nil.
//
// One capture may run at a time; another returns ErrCapturing.
func (f *Filter) Capture(ctx context.Context, limit int, emit func(packets []Captured, lost uint64) error) (err error) {
	if !f.capturing.CompareAndSwap(false, true) {
		return fmt.Errorf("capture on %s: %w", f.config.Interface, ErrCapturing)
	}
	defer f.capturing.Store(false)
	if err := f.enter(); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	reader, err := perf.NewReaderWithOptions(f.maps.Captures, captureBuffer, perf.ReaderOptions{Watermark: captureBuffer / 4})
	f.leave()
	if err != nil {
		return fmt.Errorf("capture on %s: %w", f.config.Interface, err)
	}
	defer func() { _ = reader.Close() }()
	defer func() {
		if stopErr := f.setCapture(false); stopErr != nil && !errors.Is(stopErr, ErrClosed) {
			err = errors.Join(err, stopErr)
		}
	}()
	if err := f.setCapture(true); err != nil {
		return err
	}
	if err := f.captureFrom(ctx, reader, limit, emit); err != nil {
		return fmt.Errorf("capture on %s: %w", f.config.Interface, err)
	}
	return nil
}

// captureFrom is the loop of Capture.
func (f *Filter) captureFrom(ctx context.Context, reader *perf.Reader, limit int, emit func([]Captured, uint64) error) error {
	var (
		record  perf.Record
		packets []Captured
		lost    uint64
	)
	reader.SetDeadline(time.Now().Add(captureInterval))
	for shown := 0; shown < limit && ctx.Err() == nil && !f.ended(); {
		err := reader.ReadInto(&record)
		late := errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && !late {
			return fmt.Errorf("read captured packets: %w", err)
		}
		if !late {
			lost += record.LostSamples
			if packet, ok := captured(record.RawSample); ok {
				packet.Data = slices.Clone(packet.Data)
				packets = append(packets, packet)
				shown++
			}
		}
		if len(packets) == captureBatch || late && len(packets) > 0 {
			if err := emit(packets, lost); err != nil {
				return err
			}
			packets = nil
		}
		if late {
			reader.SetDeadline(time.Now().Add(captureInterval))
		}
	}
	return emit(packets, lost)
}

// ended reports whether Close or Detach has begun.
func (f *Filter) ended() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// captured reads one sample; false for one that holds no packet.
func captured(sample []byte) (Captured, bool) {
	var head bpf.XDPCapture
	size := int(unsafe.Sizeof(head))
	if len(sample) < size {
		return Captured{}, false
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&head)), size), sample)
	c := Captured{
		Time:   time.Now().Add(time.Duration(head.Time) - time.Duration(now())),
		Length: int(head.Length),
		// The sample is padded to a multiple of eight bytes.
		Data: sample[size:][:min(len(sample)-size, int(head.Length), MaxCaptured)],
	}
	if int(head.Verdict) < len(verdictNames) {
		c.Verdict = verdictNames[head.Verdict]
	}
	if int(head.Reason) < len(reasonNames) {
		c.Reason = reasonNames[head.Reason]
	}
	return c, true
}

// setCapture has the program show what it drops, or not.
func (f *Filter) setCapture(on bool) error {
	if err := f.enter(); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	defer f.leave()
	f.lists.Lock()
	defer f.lists.Unlock()
	f.capture = on
	f.storeFlags()
	return nil
}
