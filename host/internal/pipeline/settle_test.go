package pipeline

import (
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// TestNobodyWaitsForAnAlertButItsBatch holds the disk up: the alerts of later
// batches are taken over and their credit is given back meanwhile, and no batch
// is durable before its alerts are safe.
func TestNobodyWaitsForAnAlertButItsBatch(t *testing.T) {
	taken := make(chan string, 16)
	w := newWorld(t, t.TempDir(), func(c *Config) {
		c.Credits = 2
		first := c.Journal.Next() // nothing is appended before the test says so
		n := uint64(0)
		c.Alert = func(a *pb.AlertEvent) (uint64, error) {
			taken <- a.Id
			n++
			return first + n - 1, nil
		}
	})
	s := start(t, w.add(source()))
	par := start(t, w.add(parser("p", "text")))
	det := w.add(&pb.Description{Name: "det", Kinds: []string{"detector"}, Consumes: []pb.Kind{pb.Kind_KIND_LOG}})
	d := start(t, det)
	const batches = 5 // more than there are credits
	ids := []string{"a", "b", "c", "d", "e"}
	for i := range batches {
		s.emit(uint64(i+1), []string{"line"}, nil)
		par.parse(par.next("parser"))
		f := d.next("detector")
		payload, err := proto.Marshal(&pb.Batch{Alerts: []*pb.AlertEvent{{Id: ids[i]}}})
		if err != nil {
			t.Fatal(err)
		}
		d.send("detector", pb.Header{Answers: f.Number, Kind: pb.Kind_KIND_ALERT, Count: 1}, payload)
		d.done("detector", f.Number)
		if got := <-taken; got != ids[i] {
			t.Errorf("got alert %s, want %s", got, ids[i])
		}
	}
	if err := w.store.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := w.checkpoint(); got != 0 {
		t.Errorf("the source would resume at %d while no alert is safe", got)
	}
	if det.Owes() {
		t.Error("the plugin owes something, while it is the disk that is waited for")
	}
	for i := range batches {
		if _, err := w.journal.Append(uint8(pb.Kind_KIND_ALERT), []byte("x")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the batch of the alert that is safe is durable", func() bool {
			if err := w.store.Flush(); err != nil {
				t.Fatal(err)
			}
			return w.checkpoint() == uint64(i+2)
		})
	}
	eventually(t, "everything is settled", func() bool { return det.handling.Load() == 0 })
}
