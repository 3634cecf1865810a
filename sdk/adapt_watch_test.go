package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

type noScan struct{}

func (noScan) Scan(context.Context, ScanRequest, io.Writer) (string, error) { return "text", nil }

type watchFunc struct {
	noScan
	watch func(ctx context.Context, out Findings) error
}

func (w watchFunc) Watch(ctx context.Context, out Findings) error { return w.watch(ctx, out) }

// openWatch opens the link of a scanner as the host does.
func openWatch(t *testing.T, s Scanner) grpc.ClientStream {
	t.Helper()
	conn := connect(t, Plugin{Scanner: s})
	if _, err := pb.NewPluginClient(conn).Configure(t.Context(), &pb.ConfigureRequest{HostId: "h1"}); err != nil {
		t.Fatal(err)
	}
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, pb.Scanner_Watch_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(&pb.Frame{Header: pb.Header{Control: &pb.LinkControl{Ready: true, Credits: 4}}}); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return stream
}

// watched runs a Watcher and returns what it hands over until it calls Sync.
func watched(t *testing.T, watch func(ctx context.Context, out Findings) error) (alerts []*pb.AlertEvent, inventory []*pb.InventoryEvent) {
	t.Helper()
	done := make(chan error, 1)
	stream := openWatch(t, watchFunc{watch: func(ctx context.Context, out Findings) error {
		err := watch(ctx, out)
		if err == nil {
			err = out.Sync(ctx)
		}
		done <- err
		<-ctx.Done()
		return nil
	}})
	go func() {
		for {
			f := new(pb.Frame)
			if err := stream.RecvMsg(f); err != nil {
				return
			}
			var b pb.Batch
			if err := proto.Unmarshal(f.Payload(), &b); err != nil {
				t.Errorf("batch %d: %v", f.Number, err)
			}
			alerts, inventory = append(alerts, b.Alerts...), append(inventory, b.Inventory...)
			if err := stream.SendMsg(&pb.Frame{Header: pb.Header{Ack: &pb.Ack{Accepted: f.Number, Durable: f.Number}}}); err != nil {
				return
			}
		}
	}()
	select {
	case err := <-done: // behind Sync: everything was read and acknowledged
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the watcher does not get on")
	}
	return alerts, inventory
}

func TestWatcherRecordsAreCompleted(t *testing.T) {
	id := event.AlertID("rule", "g", event.ID{})
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	alerts, inventory := watched(t, func(ctx context.Context, out Findings) error {
		a := &event.AlertEvent{RuleID: "rule", Title: "T", Group: "g", Evidence: event.EvidenceConfirmed, Detector: "another"}
		a.SetEntity("package", "p")
		e := &event.InventoryEvent{Target: "host", PURL: "pkg:a/b@1", Name: "b\xff", Time: at}
		err := errors.Join(out.Raise(ctx, a), out.Record(ctx, e))
		a.Entities[0].Value, e.Name = "changed", "changed" // what was handed over is copied
		err = errors.Join(err, out.Raise(ctx, &event.AlertEvent{
			RuleID: "rule", Title: "T", ID: "own", Time: at, Provenance: event.ProvenanceContainer, TraceID: event.TraceID{1}, Count: 3,
		}))
		return errors.Join(err, out.Record(ctx, &event.InventoryEvent{Target: "host", Removed: true}))
	})
	if len(alerts) != 2 || len(inventory) != 2 {
		t.Fatalf("got %d alerts and %d packages, want 2 and 2", len(alerts), len(inventory))
	}
	a := alerts[0]
	if a.ObservedTime == 0 || a.Time != a.ObservedTime || len(a.TraceId) != 16 {
		t.Errorf("got times %d and %d, trace id %x", a.Time, a.ObservedTime, a.TraceId)
	}
	got := fmt.Sprintln(a.Id == id, a.Detector, a.Provenance, a.Evidence, a.Count, a.Entities[0].Value)
	if want := "true test-plugin PROVENANCE_HOST EVIDENCE_CONFIRMED 1 p\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	b := alerts[1]
	got = fmt.Sprintln(b.Id, b.Time == uint64(at.UnixNano()), b.Provenance, b.Evidence, b.TraceId[0], b.Count)
	if want := "own true PROVENANCE_CONTAINER EVIDENCE_FORGEABLE 1 3\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	got = fmt.Sprintln(inventory[0].Id == event.InventoryID("host", "pkg:a/b@1"), inventory[0].Name, inventory[0].Time == uint64(at.UnixNano()))
	if want := "true b\uFFFD true\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if e := inventory[1]; e.Id != event.InventoryID("host", "") || !e.Removed || e.Time == 0 {
		t.Errorf("got %v", e)
	}
}

func TestWatcherRecordsAreChecked(t *testing.T) {
	long := strings.Repeat("x", maxAlertID+1)
	watched(t, func(ctx context.Context, out Findings) error {
		for name, err := range map[string]error{
			"no rule":        out.Raise(ctx, &event.AlertEvent{Title: "T"}),
			"no title":       out.Raise(ctx, &event.AlertEvent{RuleID: "r"}),
			"a long id":      out.Raise(ctx, &event.AlertEvent{RuleID: "r", Title: "T", ID: long}),
			"no target":      out.Record(ctx, &event.InventoryEvent{PURL: "pkg:a/b@1"}),
			"no purl":        out.Record(ctx, &event.InventoryEvent{Target: "host"}),
			"another's long": out.Record(ctx, &event.InventoryEvent{Target: "host", ID: long}),
		} {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		return nil
	})
}

func TestLargeRecordsAreCut(t *testing.T) {
	many := func(n, size int, text string) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = fmt.Sprintf("%06d", i) + strings.Repeat(text, size)
		}
		return out
	}
	large := map[string]*event.InventoryEvent{
		"findings": {}, "locations": {Locations: many(5000, 100, "l")}, "licenses": {Licenses: many(5000, 100, "l")},
		"text":                   {Name: strings.Repeat("n", 1<<20), Version: strings.Repeat("ü", 1<<19)},
		"text that is not UTF-8": {Name: strings.Repeat("\xff\xfe ", 1<<18), Locations: many(2000, 100, "\xff ")},
		"everything":             {Locations: many(5000, 1, "l"), Licenses: many(5000, 1, "l"), Arch: strings.Repeat("n", 1<<18)},
	}
	for i := range 1000 {
		f := event.Finding{
			ID: fmt.Sprintf("CVE-2026-%04d", i), Aliases: many(20, 300, "\xff "), Severity: event.SeverityLow, Score: 3, Fixed: strings.Repeat("f", 900), Status: strings.Repeat("s", 900),
		}
		switch i {
		case 700:
			f.KEV = true
		case 800:
			f.Severity, f.Score = event.SeverityCritical, 9.8
		}
		large["findings"].Findings = append(large["findings"].Findings, f)
		large["everything"].Findings = append(large["everything"].Findings, f)
	}
	for name, e := range large {
		t.Run(name, func(t *testing.T) {
			e.Target, e.PURL = "host", "pkg:a/b@1"
			_, inventory := watched(t, func(ctx context.Context, out Findings) error { return out.Record(ctx, e) })
			if len(inventory) != 1 {
				t.Fatalf("got %d packages, want 1", len(inventory))
			}
			got := inventory[0]
			if n := proto.Size(got); n > event.MaxRecord {
				t.Errorf("the record has %d bytes, more than %d", n, event.MaxRecord)
			}
			kept := len(got.Findings) + len(got.Locations) + len(got.Licenses)
			if all := len(e.Findings) + len(e.Locations) + len(e.Licenses); kept+int(got.Omitted) != all {
				t.Errorf("kept %d and left out %d of %d", kept, got.Omitted, all)
			}
			if len(e.Findings) > 0 {
				var first []string
				for _, f := range got.Findings[:2] {
					first = append(first, f.Id)
				}
				if d := cmp.Diff([]string{"CVE-2026-0700", "CVE-2026-0800"}, first); d != "" {
					t.Errorf("what weighs most (-want +got):\n%s", d)
				}
			}
		})
	}
	alerts, _ := watched(t, func(ctx context.Context, out Findings) error {
		return out.Raise(ctx, &event.AlertEvent{RuleID: "r", Title: strings.Repeat("\xff ", 1<<20)})
	})
	if n := proto.Size(alerts[0]); n > maxRaised {
		t.Errorf("the alert has %d bytes, more than %d", n, maxRaised)
	}
}

func TestAScannerThatDoesNotWatch(t *testing.T) {
	stream := openWatch(t, noScan{})
	if err := stream.RecvMsg(new(pb.Frame)); status.Code(err) != codes.Unimplemented {
		t.Errorf("got %v, want UNIMPLEMENTED", err)
	}
}

func TestAWatcherThatFailsEndsTheLink(t *testing.T) {
	stream := openWatch(t, watchFunc{watch: func(context.Context, Findings) error { return errors.New("the engine is gone") }})
	err := stream.RecvMsg(new(pb.Frame))
	if status.Code(err) != codes.Aborted || !strings.Contains(err.Error(), "the engine is gone") {
		t.Errorf("got %v, want the watcher's own words", err)
	}
}
