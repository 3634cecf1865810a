//go:build linux

package control_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// logFrame is a frame with one log event, which a tail shows.
func logFrame(t *testing.T, sequence uint64, message string) *ironpostv1.Frame {
	t.Helper()
	payload, err := proto.Marshal(&ironpostv1.Batch{Logs: []*ironpostv1.LogEvent{{Message: message}}})
	if err != nil {
		t.Error(err)
	}
	return ironpostv1.NewFrame(ironpostv1.Header{
		Stream: 7, FirstSequence: sequence, Kind: ironpostv1.Kind_KIND_LOG, Count: 1,
	}, &payload, nil)
}

func TestTailShowsWhatPasses(t *testing.T) {
	f := &fake{tail: func(_ context.Context, emit func(*ironpostv1.Frame)) error {
		for i := range uint64(100) {
			emit(logFrame(t, i, fmt.Sprint("line ", i)))
		}
		return nil
	}}
	_, client := serve(t, control.Config{Backend: f.backend()})
	stream, err := client.TailEvents(t.Context(), &ironpostv1.TailRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(100) {
		b, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Unpack(); err != nil {
			t.Fatal(err)
		}
		if b.GetFirstSequence() != i || b.GetStream() != 7 || b.GetLogs()[0].GetMessage() != fmt.Sprint("line ", i) {
			t.Errorf("got %v, want line %d", b, i)
		}
	}
}

// TestSlowReader checks that a reader who does not read neither stops the
// producer nor makes the host hold more than its bound, and learns its loss.
func TestSlowReader(t *testing.T) {
	const records = 5000
	message := string(make([]byte, 10_000)) // 50 MB in all
	produced := make(chan struct{})
	f := &fake{tail: func(_ context.Context, emit func(*ironpostv1.Frame)) error {
		defer close(produced)
		for i := range uint64(records) {
			emit(logFrame(t, i, message))
		}
		return nil
	}}
	server, client := serve(t, control.Config{Backend: f.backend(), TailBytes: 1 << 20})
	stream, err := client.TailEvents(t.Context(), &ironpostv1.TailRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil {
		t.Fatal(err)
	}
	<-produced // without a single Recv
	var seen, dropped uint64
	for {
		b, err := stream.Recv()
		if err != nil {
			break
		}
		if err := b.Unpack(); err != nil {
			t.Fatal(err)
		}
		seen += uint64(len(b.GetLogs()))
		for _, c := range b.GetControl().GetCounts() {
			if c.GetName() != "slow_reader" {
				t.Errorf("got count %q", c.GetName())
			}
			dropped += c.GetValue()
		}
	}
	if seen+dropped != records || dropped == 0 {
		t.Errorf("got %d seen and %d dropped, want %d together and some dropped", seen, dropped, records)
	}
	if got := server.TailDropped(); got != dropped {
		t.Errorf("got %d counted, want %d", got, dropped)
	}
	resp, err := client.Status(t.Context(), nil)
	if err != nil || len(resp.GetDropped()) != 1 || resp.GetDropped()[0].GetCount() != dropped {
		t.Errorf("got status %v, %v, want the drops in it", resp, err)
	}
}

// TestSlowReaderOfAlerts checks that alerts, which lie in the journal, wait for a
// reader who takes his time: none is lost, and no more than the bound is held.
func TestSlowReaderOfAlerts(t *testing.T) {
	const alerts = 5000
	title := string(make([]byte, 10_000)) // 50 MB in all
	var emitted atomic.Uint64
	f := &fake{tail: func(_ context.Context, emit func(*ironpostv1.Frame)) error {
		for i := range uint64(alerts) {
			payload, err := proto.Marshal(&ironpostv1.Batch{Alerts: []*ironpostv1.AlertEvent{{Id: fmt.Sprint(i), Title: title}}})
			if err != nil {
				return err
			}
			emit(ironpostv1.NewFrame(ironpostv1.Header{Kind: ironpostv1.Kind_KIND_ALERT, FirstSequence: i, Count: 1}, &payload, nil))
			emitted.Add(1)
		}
		return nil
	}}
	server, client := serve(t, control.Config{Backend: f.backend(), TailBytes: 1 << 20})
	stream, err := client.TailEvents(t.Context(), &ironpostv1.TailRequest{Kinds: []ironpostv1.Kind{ironpostv1.Kind_KIND_ALERT}})
	if err != nil {
		t.Fatal(err)
	}
	for seen := range uint64(alerts) {
		b, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if b.GetFirstSequence() != seen || len(b.GetControl().GetCounts()) > 0 {
			t.Fatalf("got alert %d and counts %v, want alert %d", b.GetFirstSequence(), b.GetControl().GetCounts(), seen)
		}
		if seen == 0 && emitted.Load() == alerts {
			t.Error("all alerts were taken before the first was read")
		}
	}
	if got := server.TailDropped(); got != 0 {
		t.Errorf("got %d dropped, want none", got)
	}
}

func TestTailsAreBounded(t *testing.T) {
	f := &fake{tail: func(ctx context.Context, _ func(*ironpostv1.Frame)) error {
		<-ctx.Done()
		return nil
	}}
	_, client := serve(t, control.Config{Backend: f.backend()})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range control.MaxTails {
		stream, err := client.TailEvents(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Header(); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := client.TailEvents(ctx, nil)
	if err == nil {
		_, err = stream.Recv()
	}
	if !errors.Is(err, control.ErrBusy) {
		t.Errorf("got %v, want %v", err, control.ErrBusy)
	}
}
