package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// watch runs Watch in a bubble, after the host is ready.
func watch(t *testing.T, control *pb.LinkControl, run func(ctx context.Context, o *Outbox) error, test func(t *testing.T, h host, d *Drainer, done chan error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := newPipe(ctx)
		d := NewDrainer()
		done := make(chan error, 1)
		go func() {
			err := Watch(p, p.pool, d, run)
			cancel()
			done <- err
		}()
		h := host{t, p}
		control.Ready = true
		h.send(pb.Header{Control: control})
		test(t, h, d, done)
		cancel()
		synctest.Wait()
	})
}

// encoded is a record of a kind, with n bytes behind its tag and length.
func encoded(kind pb.Kind, n int) []byte {
	tag := byte(pb.PayloadTag(kind))
	return append([]byte{tag<<3 | 2 | 0x80, tag >> 4, byte(n)}, bytes.Repeat([]byte{'r'}, n)...)
}

// batches tells what the plugin sent: "number kind count".
func batches(frames []*pb.Frame) []string {
	out := []string{}
	for _, f := range frames {
		out = append(out, fmt.Sprintf("%d %v %d", f.Number, f.Kind, len(lines(f))))
		if int(f.Count) != len(lines(f)) {
			out = append(out, fmt.Sprintf("and counts %d", f.Count))
		}
	}
	return out
}

const (
	alertKind     = pb.Kind_KIND_ALERT
	inventoryKind = pb.Kind_KIND_INVENTORY
)

func TestOutboxSendsAtOnceAndTogether(t *testing.T) {
	run := func(ctx context.Context, o *Outbox) error {
		for range 3 { // each while the link is idle
			if err := o.Append(ctx, alertKind, encoded(alertKind, 5)); err != nil {
				return err
			}
			<-time.After(time.Millisecond)
		}
		// Three credits are out; what comes while there is none goes together.
		for i := range 2 + 4 {
			kind := alertKind
			if i > 1 {
				kind = inventoryKind
			}
			if err := o.Append(ctx, kind, encoded(kind, 5)); err != nil {
				return err
			}
		}
		<-ctx.Done()
		return nil
	}
	watch(t, &pb.LinkControl{Credits: 3}, run, func(t *testing.T, h host, _ *Drainer, _ chan error) {
		<-time.After(time.Second)
		want := []string{"1 KIND_ALERT 1", "2 KIND_ALERT 1", "3 KIND_ALERT 1"}
		if d := cmp.Diff(want, batches(h.all())); d != "" {
			t.Errorf("with three credits (-want +got):\n%s", d)
		}
		h.send(pb.Header{Ack: &pb.Ack{Accepted: 1, Durable: 1}})
		synctest.Wait()
		if d := cmp.Diff([]string{"4 KIND_ALERT 2"}, batches(h.all())); d != "" {
			t.Errorf("with another (-want +got):\n%s", d)
		}
		h.send(pb.Header{Ack: &pb.Ack{Accepted: 4, Durable: 4}})
		synctest.Wait()
		total := 0
		for _, f := range h.all() {
			if f.Kind != inventoryKind {
				t.Errorf("got a batch of kind %v", f.Kind)
			}
			total += int(f.Count)
		}
		if total != 4 {
			t.Errorf("got %d packages, want 4", total)
		}
	})
}

func TestOutboxKeepsToItsLimits(t *testing.T) {
	const records = 40
	for name, control := range map[string]*pb.LinkControl{
		"records": {Credits: 1, BatchRecords: 7},
		"bytes":   {Credits: 1, BatchBytes: 7 * 103},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(ctx context.Context, o *Outbox) error {
				for range records {
					if err := o.Append(ctx, inventoryKind, encoded(inventoryKind, 100)); err != nil {
						return err
					}
				}
				return o.Sync(ctx)
			}
			watch(t, control, run, func(t *testing.T, h host, _ *Drainer, _ chan error) {
				total := 0
				for number := uint64(1); total < records; number++ {
					synctest.Wait()
					frames := h.all()
					if len(frames) != 1 || frames[0].Number != number || frames[0].Count > 7 {
						t.Fatalf("got %v with one credit, want batch %d alone, of at most 7 records", batches(frames), number)
					}
					total += int(frames[0].Count)
					h.send(pb.Header{Ack: &pb.Ack{Accepted: number, Durable: number}})
				}
			})
		})
	}
}

func TestOutboxSyncWaitsForTheDisk(t *testing.T) {
	synced := make(chan struct{})
	run := func(ctx context.Context, o *Outbox) error {
		if err := o.Sync(ctx); err != nil { // there is nothing
			return err
		}
		if err := o.Append(ctx, alertKind, encoded(alertKind, 5)); err != nil {
			return err
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := o.Sync(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Sync before anything is durable: %v", err)
		}
		if err := o.Sync(ctx); err != nil {
			return err
		}
		close(synced)
		<-ctx.Done()
		return nil
	}
	watch(t, &pb.LinkControl{Credits: 2}, run, func(t *testing.T, h host, _ *Drainer, _ chan error) {
		<-time.After(2 * time.Second)
		h.send(pb.Header{Ack: &pb.Ack{Accepted: 1}})
		synctest.Wait()
		select {
		case <-synced:
			t.Error("Sync returned when the batch was accepted")
		default:
		}
		h.send(pb.Header{Ack: &pb.Ack{Durable: 1}})
		<-synced
	})
}

func TestOutboxWaitsWithItsContext(t *testing.T) {
	run := func(ctx context.Context, o *Outbox) error {
		for range 2 { // one leaves, one waits
			if err := o.Append(ctx, alertKind, encoded(alertKind, 5)); err != nil {
				return err
			}
			<-time.After(time.Millisecond)
		}
		// The other kind has room of its own.
		if err := o.Append(ctx, inventoryKind, encoded(inventoryKind, 5)); err != nil {
			return err
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := o.Append(short, inventoryKind, encoded(inventoryKind, 5)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Append with no room: %v", err)
		}
		<-ctx.Done()
		if err := o.Append(context.WithoutCancel(ctx), inventoryKind, encoded(inventoryKind, 5)); err == nil {
			t.Error("Append after the end of the link: no error")
		}
		return nil
	}
	watch(t, &pb.LinkControl{Credits: 1, BatchRecords: 1}, run, func(t *testing.T, _ host, _ *Drainer, _ chan error) {
		<-time.After(2 * time.Second)
	})
}

func TestWatchEnds(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		run  func(ctx context.Context, o *Outbox) error
		host func(h host, d *Drainer)
		want error
	}{
		"with the error of run": {
			func(context.Context, *Outbox) error { return broken }, func(host, *Drainer) {}, broken,
		},
		"with the host": {
			func(ctx context.Context, _ *Outbox) error { <-ctx.Done(); return ctx.Err() },
			func(h host, _ *Drainer) { close(h.p.in) }, nil,
		},
		"not when run has nothing more to do": {
			func(context.Context, *Outbox) error { return nil },
			func(h host, d *Drainer) {
				<-time.After(time.Hour)
				if err := d.Drain(context.Background()); err != nil {
					h.t.Error(err)
				}
				close(h.p.in)
			}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			watch(t, &pb.LinkControl{}, c.run, func(t *testing.T, h host, d *Drainer, done chan error) {
				c.host(h, d)
				if err := <-done; !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			})
		})
	}
}

func TestWatchDrains(t *testing.T) {
	run := func(ctx context.Context, o *Outbox) error {
		if err := o.Append(ctx, alertKind, encoded(alertKind, 5)); err != nil {
			return err
		}
		<-ctx.Done() // it is told to stop
		return ctx.Err()
	}
	watch(t, &pb.LinkControl{}, run, func(t *testing.T, h host, d *Drainer, done chan error) {
		synctest.Wait()
		drained := make(chan error, 1)
		go func() { drained <- d.Drain(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-drained:
			t.Errorf("drained before what was sent is durable: %v", err)
		default:
		}
		h.send(pb.Header{Ack: &pb.Ack{Accepted: 1, Durable: 1}})
		if err := <-drained; err != nil {
			t.Errorf("Drain: %v", err)
		}
		close(h.p.in)
		if err := <-done; err != nil {
			t.Errorf("got %v, want the end without an error", err)
		}
	})
}

func TestWatchRefusesAWrongHost(t *testing.T) {
	for name, ack := range map[string]*pb.Ack{"accepts what was not sent": {Accepted: 1}, "keeps what was not sent": {Durable: 1}} {
		t.Run(name, func(t *testing.T) {
			run := func(ctx context.Context, _ *Outbox) error { <-ctx.Done(); return nil }
			watch(t, &pb.LinkControl{}, run, func(t *testing.T, h host, _ *Drainer, done chan error) {
				h.send(pb.Header{Ack: ack})
				if err := <-done; err == nil {
					t.Error("no error")
				}
			})
		})
	}
}
