package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// CaptureDropped sends packets that a filter drops, or would drop, and how many
// they were.
func (d *daemon) CaptureDropped(ctx context.Context, r *pb.CaptureRequest, send func(*pb.CaptureResponse) error) error {
	filter := d.network.filter(r.GetInterface())
	if filter == nil {
		return unwatched(r.GetInterface())
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.GetSeconds()*float64(time.Second)))
	defer cancel()
	sent := uint64(0)
	err := filter.Capture(ctx, int(r.GetPackets()), func(packets []xdp.Captured, lost uint64) error {
		sent += uint64(len(packets))
		out := &pb.CaptureResponse{Captured: sent, Lost: lost}
		for _, p := range packets {
			out.Packets = append(out.Packets, &pb.CapturedPacket{
				Time: timestamppb.New(p.Time), Length: uint32(p.Length), Data: p.Data, Verdict: p.Verdict, Reason: p.Reason,
			})
		}
		return send(out)
	})
	if errors.Is(err, xdp.ErrCapturing) {
		return fmt.Errorf("%w: %w", control.ErrBusy, err)
	}
	return err
}
