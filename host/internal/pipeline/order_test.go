package pipeline

import (
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// TestAStreamThatChangesItsParserKeepsItsOrder has the first record of a stream,
// an empty line, go to one parser, and what follows look like the format of
// another one. Neither overtakes the other: a sink that has the later records
// would not be given the first one any more.
func TestAStreamThatChangesItsParserKeepsItsOrder(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(w *world, first *peer, slow *pb.Frame)
	}{
		{"the first parser answers late", func(_ *world, first *peer, slow *pb.Frame) { first.parse(slow) }},
		{"it is given up", func(_ *world, first *peer, _ *pb.Frame) {
			first.kill()
			first.member.SetUp(false)
		}},
		{"it is taken away", func(w *world, first *peer, _ *pb.Frame) {
			first.kill()
			w.Remove(first.member.desc.Name)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, t.TempDir(), nil)
			s := start(t, w.add(source()))
			first, second := start(t, w.add(parser("parser-syslog", "syslog"))), start(t, w.add(parser("parser-text", "text")))
			k := start(t, w.add(sink(pb.Kind_KIND_LOG)))
			origin, err := proto.Marshal(&pb.Origin{Name: streamName, Format: "syslog"})
			if err != nil {
				t.Fatal(err)
			}
			as := func(h *pb.Header) { h.Origin = origin }
			s.emit(1, []string{""}, as)
			slow := first.next("parser")
			s.emit(2, []string{"Log started: 2026-11-22  17:18:40", "Setting up quiet1 (1.0) ..."}, as)
			second.quiet("parser")
			c.end(w, first, slow)
			second.parse(second.next("parser"))
			for _, want := range []struct{ first, count uint64 }{{1, 1}, {2, 2}} {
				f := k.next("sink")
				if f.FirstSequence != want.first || uint64(f.Count) != want.count {
					t.Errorf("the sink got %d records from %d, want %d from %d", f.Count, f.FirstSequence, want.count, want.first)
				}
				k.done("sink", f.Number)
			}
			eventually(t, "checkpoint at 4", func() bool { return w.checkpoint() == 4 })
		})
	}
}
