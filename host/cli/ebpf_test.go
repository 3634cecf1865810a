//go:build linux

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Filters are three in the scripts: one as it should be, one that is detached,
// and one that could not be attached.
func (b *backend) Filters(_ context.Context, names []string) (*ironpostv1.FiltersResponse, error) {
	r := &ironpostv1.FiltersResponse{
		Kernel: "6.1.0-18-amd64", KernelFloor: "5.15", KernelSupported: true, HostRunning: true, PinDir: "/sys/fs/bpf/ironpost",
		Filters: []*ironpostv1.Filter{
			{
				Interface: "eth0", Index: 2, State: "attached", Mode: "native", ProgramId: 17, ProgramName: "ironpost_xdp",
				ProgramTag: "b795396d3187b69e", ProgramLoaded: timestamppb.New(began), LinkId: 3, Schema: "0123456789abcdef",
				Pins: "/sys/fs/bpf/ironpost/eth0@4026531840@5e1f0c3a/0123456789abcdef", Packets: 5, Bytes: 2048, Dropped: 1,
				Counters: []*ironpostv1.Count{{Name: "drop.block_host4", Value: 1}, {Name: "protocol.tcp", Value: 5}},
				Maps: []*ironpostv1.FilterMap{
					{Name: "hosts4", Type: "Hash", Id: 21, Counted: true, Entries: 1024, MaxEntries: 4096, Bytes: 4096},
					{Name: "settings", Type: "Array", Id: 22, MaxEntries: 1, Bytes: 4096},
				},
			},
			{Interface: "eth1", Index: 3, State: "detached", Error: "detached by an operator"},
			{Interface: "eth2", State: "failed", Error: "another XDP program is attached " + hostile},
		},
	}
	if len(names) == 0 {
		return r, nil
	}
	r.Filters = slices.DeleteFunc(r.Filters, func(f *ironpostv1.Filter) bool { return !slices.Contains(names, f.Interface) })
	if len(r.Filters) < len(names) {
		return nil, fmt.Errorf("%w: interface %s is not watched", control.ErrNotFound, names[0])
	}
	return r, nil
}

func (b *backend) AttachFilters(ctx context.Context, names []string) (*ironpostv1.FiltersResponse, error) {
	return b.Filters(ctx, names)
}

func (b *backend) DetachFilters(ctx context.Context, names []string) (*ironpostv1.FiltersResponse, error) {
	r, err := b.Filters(ctx, names)
	for _, f := range r.GetFilters() {
		f.State = "detached"
	}
	return r, err
}

func (b *backend) DumpFilter(_ context.Context, r *ironpostv1.DumpFilterRequest) (*ironpostv1.DumpFilterResponse, error) {
	return &ironpostv1.DumpFilterResponse{
		Interface: r.GetInterface(), From: timestamppb.New(began), To: timestamppb.New(began.Add(time.Duration(r.GetSeconds() * float64(time.Second)))),
		Sources: []*ironpostv1.TopSource{{Address: "192.0.2.7", Packets: 90, Bytes: 5400, Dropped: 90}},
		Ports:   []*ironpostv1.TopPort{{Port: 22, Packets: 90, Bytes: 5400}},
		Entries: []*ironpostv1.FilterEntry{
			{Prefix: "10.0.0.0/8", Action: "allow"},
			{Prefix: "192.0.2.7/32", Action: "drop", Expires: timestamppb.New(began), Hits: 90},
		},
		Total: 12,
		Rules: []*ironpostv1.BlockRule{{Protocol: "tcp-syn", Ports: []string{"22"}, Action: "limit", Limit: 20, Burst: 40, Hits: 90, Dropped: 50}},
	}, nil
}

// CaptureDropped shows one packet in the scripts.
func (b *backend) CaptureDropped(_ context.Context, r *ironpostv1.CaptureRequest, send func(*ironpostv1.CaptureResponse) error) error {
	if r.GetInterface() == "eth9" {
		return fmt.Errorf("%w: interface eth9 is not watched", control.ErrNotFound)
	}
	packet := &ironpostv1.CapturedPacket{Time: timestamppb.New(began), Length: 60, Data: make([]byte, 42), Verdict: "dropped", Reason: "block_host4"}
	if err := send(&ironpostv1.CaptureResponse{Packets: []*ironpostv1.CapturedPacket{packet}}); err != nil {
		return err
	}
	return send(&ironpostv1.CaptureResponse{Captured: 1, Lost: 7})
}

// TestWriteCapture reads what was written with the library's own reader.
func TestWriteCapture(t *testing.T) {
	var file bytes.Buffer
	packets := []*ironpostv1.CapturedPacket{
		{Time: timestamppb.New(began.Add(1)), Length: 1514, Data: bytes.Repeat([]byte{7}, 256), Verdict: "dropped", Reason: "block_net6"},
		{Time: timestamppb.New(began.Add(2)), Length: 60, Data: make([]byte, 60), Verdict: "would_drop", Reason: "block_host4"},
		{Time: timestamppb.New(began.Add(3)), Length: 0, Verdict: "dropped", Reason: "deep_vlan"},
	}
	answers := []*ironpostv1.CaptureResponse{{Packets: packets[:1]}, {Packets: packets[1:]}, {Captured: 3, Lost: 2}}
	captured, lost, err := writeCapture(&file, "eth0", func() (*ironpostv1.CaptureResponse, error) {
		if len(answers) == 0 {
			return nil, io.EOF
		}
		next := answers[0]
		answers = answers[1:]
		return next, nil
	})
	if captured != 3 || lost != 2 || err != nil {
		t.Fatalf("got %d captured, %d lost, %v, want 3 and 2", captured, lost, err)
	}
	r, err := pcapgo.NewNgReader(&file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range packets {
		data, info, options, err := r.ReadPacketDataWithOptions()
		if err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		if !bytes.Equal(data, want.GetData()) || info.Length != int(want.GetLength()) || !info.Timestamp.Equal(want.GetTime().AsTime()) ||
			!slices.Equal(options.Comments, []string{want.GetVerdict() + ": " + want.GetReason()}) {
			t.Errorf("packet %d: got %d bytes, %+v, %q, want %v", i, len(data), info, options.Comments, want)
		}
	}
	if _, _, err := r.ReadPacketData(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v after the last packet, want %v", err, io.EOF)
	}
	if i, err := r.Interface(0); err != nil || i.Name != "eth0" || i.SnapLength != captureSnap {
		t.Errorf("got interface %+v, %v, want eth0", i, err)
	}
}
