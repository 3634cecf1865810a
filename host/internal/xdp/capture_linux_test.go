//go:build amd64 || arm64

package xdp

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/host/nettest"
)

// TestCapture shows what is dropped, up to its limit, and nothing when nobody
// captures.
func TestCapture(t *testing.T) {
	s := newStage(t)
	f := s.open(Config{PinDir: s.pins})
	src := netip.MustParseAddr("192.0.2.7")
	if err := f.Block(netip.PrefixFrom(src, 32), 0, 1); err != nil {
		t.Fatal(err)
	}
	capturing := func() bool {
		return bpf.XDPSetting(f.memory.settings[0].Flags)&bpf.XDPSettingSETTING_CAPTURE != 0
	}
	flood := func(ctx context.Context) {
		for ctx.Err() == nil {
			if _, err := s.Attacker.Send(ctx, nettest.Flood{To: s.Victim, Port: 22, From: src, Packets: 100}); err != nil {
				t.Error(err)
				return
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	flooded := make(chan struct{})
	go func() {
		defer close(flooded)
		flood(ctx)
	}()
	defer func() {
		cancel()
		<-flooded
	}()

	var got []Captured
	err := f.Capture(t.Context(), 10, func(packets []Captured, _ uint64) error {
		if len(got) == 0 {
			if err := f.Capture(t.Context(), 1, nil); !errors.Is(err, ErrCapturing) {
				t.Errorf("got %v from another capture, want %v", err, ErrCapturing)
			}
		}
		got = append(got, packets...)
		return nil
	})
	if err != nil || len(got) != 10 || capturing() {
		t.Fatalf("got %d packets, %v, capturing %v, want 10, and an end", len(got), err, capturing())
	}
	want := Captured{Length: 54, Verdict: "dropped", Reason: "block_host4"}
	if diff := cmp.Diff(want, got[9], cmpopts.IgnoreFields(Captured{}, "Time", "Data")); diff != "" || len(got[9].Data) != 54 {
		t.Errorf("got %d bytes, -want +got:\n%s", len(got[9].Data), diff)
	}
	if from := netip.AddrFrom4([4]byte(got[9].Data[26:30])); from != src {
		t.Errorf("got a packet from %v, want %v", from, src)
	}

	// The error of emit ends it; so does the end of the context, and Close.
	stop := errors.New("enough")
	if err := f.Capture(t.Context(), 10, func([]Captured, uint64) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the error of emit", err)
	}
	once, end := context.WithCancel(t.Context())
	if err := f.Capture(once, 1<<30, func([]Captured, uint64) error { end(); return nil }); err != nil {
		t.Errorf("got %v when the context is done, want nil", err)
	}
	done := make(chan error, 1)
	started := make(chan struct{}, 1)
	go func() {
		done <- f.Capture(context.Background(), 1<<30, func([]Captured, uint64) error {
			select {
			case started <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	<-started
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil && !errors.Is(err, ErrClosed) {
		t.Errorf("got %v when the filter is closed", err)
	}
	if err := f.Capture(t.Context(), 1, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v of a closed filter, want %v", err, ErrClosed)
	}
	// A host that was killed while it captured leaves the flag; it does not hold.
	f = s.open(Config{})
	if capturing() {
		t.Error("the program shows packets to nobody")
	}
}

// FuzzCaptured reads samples of any bytes.
func FuzzCaptured(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 15))
	f.Add(append([]byte{1, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0, 4, 1, 0, 0}, make([]byte, 60)...))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, ok := captured(b); ok && (len(c.Data) > MaxCaptured || len(c.Data) > c.Length || len(c.Data) > len(b)) {
			t.Errorf("got %d bytes of a packet of %d, from %d", len(c.Data), c.Length, len(b))
		}
	})
}
