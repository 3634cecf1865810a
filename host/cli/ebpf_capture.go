package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// captureSnap is how much of a packet the kernel shows.
const captureSnap = 256

func (c *cli) ebpfCaptureCmd() *cobra.Command {
	var (
		file, span string
		dropped    bool
		req        = &ironpostv1.CaptureRequest{}
	)
	cmd := &cobra.Command{
		Use:   "capture INTERFACE --dropped -w FILE",
		Short: "Write packets that are dropped, or would be, into a pcapng file",
		Long: `Writes the first 256 bytes of packets that the filter drops, or would drop in the
mode simulate, for Wireshark or tcpdump. A comment on each says why. It ends after
the time, the number of packets, or Ctrl-C. Packets that come faster than they
can be written are lost and counted. It needs the right to change things.`,
		Example: `  ironpost ebpf capture eth0 --dropped -w dropped.pcapng
  ironpost ebpf capture eth0 --dropped --for 1m --packets 100 -w - | tcpdump -nr -`,
		Args: between(1, 1, "INTERFACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !dropped || file == "" {
				return usage(cmd, "say what and where to: --dropped -w FILE")
			}
			d, err := parseSpan(span)
			if err != nil {
				return fmt.Errorf("--for: %w", err)
			}
			req.Interface, req.Seconds = args[0], d.Seconds()
			return c.capture(cmd.Context(), req, file)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&dropped, "dropped", false, "packets that are dropped, or would be")
	flags.StringVarP(&file, "write", "w", "", "the file to write, - for standard output")
	flags.StringVar(&span, "for", "10s", "how long to capture, at most 10m")
	flags.Uint32Var(&req.Packets, "packets", 1000, "how many packets to capture, at most 1048576")
	return cmd
}

// capture writes what is captured to a file.
func (c *cli) capture(ctx context.Context, req *ironpostv1.CaptureRequest, file string) (err error) {
	return c.host(ctx, 0, func(ctx context.Context, h *control.Client) (err error) {
		stream, err := h.CaptureDropped(ctx, req)
		if err != nil {
			return fmt.Errorf("ebpf capture: %w", err)
		}
		out := c.stdout
		if file != "-" {
			f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
			if err != nil {
				return invalid("ebpf capture: %v", err)
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			out = f
		}
		captured, lost, err := writeCapture(out, req.GetInterface(), stream.Recv)
		if ctx.Err() != nil {
			err = nil // the caller had enough
		}
		if err != nil {
			return fmt.Errorf("ebpf capture: %w", err)
		}
		fmt.Fprintf(c.stderr, "%d packets captured, %d lost\n", captured, lost)
		return nil
	})
}

// writeCapture writes packets as pcapng until they end, and returns how many
// were written and lost.
func writeCapture(out io.Writer, name string, next func() (*ironpostv1.CaptureResponse, error)) (captured, lost uint64, err error) {
	w, err := pcapgo.NewNgWriterInterface(out, pcapgo.NgInterface{
		Name: name, LinkType: layers.LinkTypeEthernet, SnapLength: captureSnap, TimestampResolution: 9,
	}, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "ironpost"}})
	if err != nil {
		return 0, 0, fmt.Errorf("write the capture: %w", err)
	}
	defer func() {
		if flushErr := w.Flush(); err == nil && flushErr != nil {
			err = fmt.Errorf("write the capture: %w", flushErr)
		}
	}()
	for {
		r, err := next()
		if errors.Is(err, io.EOF) {
			return captured, lost, nil
		}
		if err != nil {
			return captured, lost, err
		}
		lost = r.GetLost()
		for _, p := range r.GetPackets() {
			info := gopacket.CaptureInfo{Timestamp: p.GetTime().AsTime(), CaptureLength: len(p.GetData()), Length: int(p.GetLength())}
			options := pcapgo.NgPacketOptions{Comments: []string{p.GetVerdict() + ": " + p.GetReason()}}
			if err := w.WritePacketWithOptions(info, p.GetData(), options); err != nil {
				return captured, lost, fmt.Errorf("write the capture: %w", err)
			}
			captured++
		}
		// Whoever reads along sees packets as they come.
		if err := w.Flush(); err != nil {
			return captured, lost, fmt.Errorf("write the capture: %w", err)
		}
	}
}
