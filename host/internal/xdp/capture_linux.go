//go:build amd64 || arm64

package xdp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/perf"

	"github.com/ironpost/ironpost/bpf"
)

// captureBuffer is the room for captured packets of each processor, in bytes:
// about 900 of the longest.
const captureBuffer = 256 << 10

// captureInterval is how long a captured packet may wait.
const captureInterval = 100 * time.Millisecond

// Capture shows packets that the filter drops, or would drop were it not for
// simulate or dry run, until ctx is done, limit packets were shown, the filter is
// closed or emit fails, whose error it returns. At most MaxCaptured bytes of each
// are shown. Packets that come faster than emit takes them are lost once the
// buffers are full; it returns how many. A Captured is valid until emit returns.
//
// One capture may run at a time; another returns ErrCapturing.
func (f *Filter) Capture(ctx context.Context, limit int, emit func(Captured) error) (lost uint64, err error) {
	if !f.capturing.CompareAndSwap(false, true) {
		return 0, fmt.Errorf("capture on %s: %w", f.config.Interface, ErrCapturing)
	}
	defer f.capturing.Store(false)
	if err := f.enter(); err != nil {
		return 0, fmt.Errorf("capture: %w", err)
	}
	reader, err := perf.NewReaderWithOptions(f.maps.Captures, captureBuffer, perf.ReaderOptions{Watermark: captureBuffer / 4})
	f.leave()
	if err != nil {
		return 0, fmt.Errorf("capture on %s: %w", f.config.Interface, err)
	}
	defer func() { _ = reader.Close() }()
	defer func() {
		if stopErr := f.setCapture(false); stopErr != nil && !errors.Is(stopErr, ErrClosed) {
			err = errors.Join(err, stopErr)
		}
	}()
	if err := f.setCapture(true); err != nil {
		return 0, err
	}
	lost, err = f.captureFrom(ctx, reader, limit, emit)
	if err != nil {
		err = fmt.Errorf("capture on %s: %w", f.config.Interface, err)
	}
	return lost, err
}

// captureFrom is the loop of Capture.
func (f *Filter) captureFrom(ctx context.Context, reader *perf.Reader, limit int, emit func(Captured) error) (lost uint64, err error) {
	var record perf.Record
	reader.SetDeadline(time.Now().Add(captureInterval))
	for shown := 0; shown < limit; {
		select {
		case <-ctx.Done():
			return lost, nil
		case <-f.done:
			return lost, nil
		default:
		}
		err := reader.ReadInto(&record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			reader.SetDeadline(time.Now().Add(captureInterval))
			continue
		}
		if err != nil {
			return lost, fmt.Errorf("read captured packets: %w", err)
		}
		lost += record.LostSamples
		packet, ok := captured(record.RawSample)
		if !ok {
			continue
		}
		if err := emit(packet); err != nil {
			return lost, err
		}
		shown++
	}
	return lost, nil
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
