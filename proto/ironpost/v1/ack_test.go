package ironpostv1

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

func ackSeeds(tb testing.TB) [][]byte {
	tb.Helper()
	many := &Ack{Durable: 7}
	for i := range 40 {
		many.Changes = append(many.Changes, &StateEntry{Key: "k", Value: []byte{byte(i)}, Deleted: i%3 == 0})
	}
	out := [][]byte{
		{0x0a, 0x01, 'x'},                                // accepted with another wire type
		{0x1a, 0x03, 0x0a, 0x01, 0xff},                   // a key that is no UTF-8
		{0x1a, 0x05, 0x0a, 0x01},                         // cut short
		{0x1a, 0x00, 0x22, 0x01, 'x'},                    // an empty entry and an unknown field
		{0x1a, 0x04, 0x18, 0x02, 0x18, 0x00},             // deleted twice, the last wins
		{0x08, 0x01, 0x08, 0x02, 0x1a, 0x02, 0x12, 0x00}, // accepted twice, an empty value
	}
	for _, a := range []*Ack{{}, {Accepted: 3, Durable: 2}, {Changes: []*StateEntry{{Key: "a", Value: []byte("b")}, {Key: "c", Deleted: true}}}, many} {
		b, err := proto.Marshal(a)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// FuzzParseAck: whatever protobuf reads is read to the same, and what it refuses
// is refused.
func FuzzParseAck(f *testing.F) {
	for _, b := range ackSeeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		want := new(Ack)
		wantErr := proto.Unmarshal(b, want)
		input := append([]byte(nil), b...)
		got, err := parseAck(input)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("got error %v, want %v", err, wantErr)
		}
		clear(input) // the result must not alias it
		if err != nil {
			return
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
