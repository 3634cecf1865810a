package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// How packets that are captured go out: so many in a message, after so long at
// the latest when others come.
const (
	captureBatch = 256
	captureWait  = 200 * time.Millisecond
)

// CaptureDropped sends packets that a filter drops, or would drop, and at the end
// how many they were.
func (d *daemon) CaptureDropped(ctx context.Context, r *pb.CaptureRequest, send func(*pb.CaptureResponse) error) error {
	filter := d.network.filter(r.GetInterface())
	if filter == nil {
		return unwatched(r.GetInterface())
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.GetSeconds()*float64(time.Second)))
	defer cancel()
	var (
		out  pb.CaptureResponse
		sent = time.Now()
		n    uint64
	)
	flush := func() error {
		if len(out.Packets) == 0 {
			return nil
		}
		n += uint64(len(out.Packets))
		err := send(&out)
		out.Packets, sent = nil, time.Now()
		return err
	}
	lost, err := filter.Capture(ctx, int(r.GetPackets()), func(c xdp.Captured) error {
		out.Packets = append(out.Packets, &pb.CapturedPacket{
			Time: timestamppb.New(c.Time), Length: uint32(c.Length), Data: slices.Clone(c.Data), Verdict: c.Verdict, Reason: c.Reason,
		})
		if len(out.Packets) < captureBatch && time.Since(sent) < captureWait {
			return nil
		}
		return flush()
	})
	if errors.Is(err, xdp.ErrCapturing) {
		err = fmt.Errorf("%w: %w", control.ErrBusy, err)
	}
	if err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	return send(&pb.CaptureResponse{Captured: n, Lost: lost})
}
