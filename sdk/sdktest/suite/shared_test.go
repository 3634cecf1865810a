package suite

import (
	"testing"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// What detectors under test are answered counts windows as every engine does.
func TestSimpleCounts(t *testing.T) {
	s := simple{windows: make(map[string]*simpleWindow), counters: make(map[string]uint64), owners: make(map[string]string)}
	add := func(id, value string, at uint64) *pb.SharedOperation {
		return &pb.SharedOperation{Key: []byte("k" + value[:min(len(value), 1)]), Span: 10, Operation: &pb.SharedOperation_Window{
			Window: &pb.WindowAdd{Time: at, Id: []byte(id), Value: []byte(value), Threshold: 3},
		}}
	}
	for i, c := range []struct {
		op    *pb.SharedOperation
		count uint64
		done  bool
	}{
		{add("a", "", 100), 1, false},
		{add("a", "", 100), 1, false},
		{add("b", "", 110), 1, false},
		{add("c", "", 109), 2, false},
		{add("d", "", 111), 3, true},
		{add("d", "", 111), 3, true},
		{add("a", "", 100), 0, false},
		{add("e", "", 111), 1, false},
		{add("a", "v1", 100), 1, false},
		{add("b", "v1", 101), 1, false},
		{add("c", "v2", 101), 2, false},
		{add("d", "v3", 101), 3, true},
		{add("b", "v1", 101), 0, false},
	} {
		if r := s.apply(&pb.SharedRequest{Operations: []*pb.SharedOperation{c.op}})[0]; r.Count != c.count || r.Done != c.done {
			t.Errorf("operation %d: got %d, %t, want %d, %t", i, r.Count, r.Done, c.count, c.done)
		}
	}
}
