package shared

import (
	"encoding/binary"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Bounds of the differences of one plugin; the oldest go first.
const (
	maxDifferences     = 16384
	maxDifferenceBytes = 16 << 20
	// differenceBytes is what one takes beside its texts.
	differenceBytes = 384
)

// difference is an operation that this host decided alone, and that the others do not
// know of for sure.
type difference struct {
	plugin string
	number uint64
	// op is never written to: to change it is to replace it.
	op *pb.SharedOperation
	pledge
	noted int64
	// sent says that the engine may have carried it out.
	sent bool
	// again says that the engine had said that it has it: it is not kept on disk.
	again bool
	// gone says that it was left out; it is still in the queue.
	gone bool
	size int
}

// name identifies the event of a window's operation.
func name(op *pb.SharedOperation) string {
	if w := op.GetWindow(); w != nil {
		return string(op.Key) + "\x00" + string(w.Id)
	}
	return ""
}

// backlog holds the differences of one plugin, in their order.
type backlog struct {
	queue  []*difference
	events map[string]*difference // those of windows, by name
	bytes  int
	count  int
}

func newBacklog() *backlog { return &backlog{events: make(map[string]*difference)} }

// add appends a difference, and returns those that made room for it.
func (b *backlog) add(d *difference) (dropped []*difference) {
	d.size = differenceBytes + 2*len(d.op.Key) + d.pledge.size()
	b.queue = append(b.queue, d)
	b.bytes += d.size
	b.count++
	if n := name(d.op); n != "" {
		b.events[n] = d
	}
	for i := 0; b.count > maxDifferences || b.bytes > maxDifferenceBytes; i++ {
		if old := b.queue[i]; !old.gone {
			b.remove(old)
			dropped = append(dropped, old)
		}
	}
	b.compact()
	return dropped
}

// remove leaves a difference out.
func (b *backlog) remove(d *difference) {
	if d.gone {
		return
	}
	d.gone = true
	b.bytes -= d.size
	b.count--
	if n := name(d.op); n != "" && b.events[n] == d {
		delete(b.events, n)
	}
}

// compact drops what was left out at the front, and everywhere when that is most.
func (b *backlog) compact() {
	n := 0
	for n < len(b.queue) && b.queue[n].gone {
		b.queue[n] = nil
		n++
	}
	b.queue = b.queue[n:]
	if len(b.queue) < 64 || len(b.queue) < 2*b.count {
		return
	}
	kept := make([]*difference, 0, b.count)
	for _, d := range b.queue {
		if !d.gone {
			kept = append(kept, d)
		}
	}
	b.queue = kept
}

// first appends the oldest differences to out, at most limit in all.
func (b *backlog) first(out []*difference, limit int) []*difference {
	b.compact()
	for _, d := range b.queue {
		if len(out) >= limit {
			break
		}
		if !d.gone {
			out = append(out, d)
		}
	}
	return out
}

// asCounted is the operation that says of an event that it counts no more.
func asCounted(op *pb.SharedOperation) *pb.SharedOperation {
	w := op.GetWindow()
	return &pb.SharedOperation{Key: op.Key, Span: op.Span, Operation: &pb.SharedOperation_Window{Window: &pb.WindowAdd{
		Time: w.Time, Id: w.Id, Value: w.Value, Threshold: w.Threshold, Counted: true,
	}}}
}

// due is the operation as it is to be applied now; nil when it matters no more.
func (d *difference) due(now time.Time) *pb.SharedOperation {
	age := now.UnixNano() - d.noted
	span := int64(d.op.Span) //nolint:gosec // it was checked
	switch d.op.Operation.(type) {
	case *pb.SharedOperation_Counter:
		// Counters begin anew with each span.
		if d.noted/span != now.UnixNano()/span {
			return nil
		}
	case *pb.SharedOperation_Claim:
		left := span - max(age, 0)
		if left < int64(minSpan) {
			return nil
		}
		return &pb.SharedOperation{Key: d.op.Key, Span: uint64(left), Operation: d.op.Operation} //nolint:gosec // positive
	default:
		if age > retention(span) {
			return nil
		}
	}
	return d.op
}

// differenceEncoding is the first byte of a difference that is kept.
const differenceEncoding = 2

// encode is the difference as it is kept.
func (d *difference) encode() ([]byte, error) {
	b := []byte{differenceEncoding, byte(bit(d.sent))}
	b = binary.AppendVarint(b, d.noted)
	b = append(binary.AppendUvarint(b, uint64(len(d.alert))), d.alert...)
	limit, err := proto.Marshal(d.limit)
	if err != nil {
		return nil, err
	}
	b = append(binary.AppendUvarint(b, uint64(len(limit))), limit...)
	return proto.MarshalOptions{}.MarshalAppend(b, d.op)
}

// decodeDifference reads what encode wrote.
func decodeDifference(plugin string, number uint64, value []byte) (*difference, error) {
	r := reader{value}
	if r.byte() != differenceEncoding {
		return nil, errEncoding
	}
	d := &difference{plugin: plugin, number: number, sent: r.byte() == 1, noted: r.varint(), op: new(pb.SharedOperation)}
	if alert := r.text(); alert != "" {
		d.alert = []byte(alert)
	}
	if limit := r.text(); limit != "" {
		d.limit = new(pb.AlertLimit)
		if proto.Unmarshal([]byte(limit), d.limit) != nil || checkLimit(d.limit) != nil {
			return nil, errEncoding
		}
	}
	if r.bad() || proto.Unmarshal(r.rest, d.op) != nil || checkOperation(d.op, maxFullKey) != nil {
		return nil, errEncoding
	}
	return d, nil
}
