package bus

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// split makes two items of one: the first n of its records and the others. What
// was answered before is in neither. Log events may name what stands anywhere
// before them, so both get all names, first. count is how many records the item
// has, 0 when they cannot be told apart; the items are nil when it is not more
// than n. The item that is split and its frame stay as they are.
func split(it *item, n int) (a, b *item, count int) {
	f := it.frame
	raw := f.Kind == pb.Kind_KIND_RAW
	from := max(it.answered, f.SkipBefore, f.FirstSequence)
	index := uint32(0)
	boundary := it.next // behind the records of the first
	var names, first, second []byte
	tag := pb.PayloadTag(f.Kind)
	err := pb.NamedRecords(f.Kind, f.Payload(), func(text []byte) {
		names = protowire.AppendTag(names, pb.TagNames, protowire.BytesType)
		names = protowire.AppendBytes(names, text)
	}, func(record []byte) bool {
		if index == f.Count {
			return false // what is beyond the count does not count
		}
		sequence := f.FirstSequence + uint64(index)
		if !raw {
			sequence = f.FirstSequence + uint64(Offset(record))
		}
		index++
		if sequence < from {
			return true
		}
		to := &first
		if count++; count > n {
			to, boundary = &second, min(boundary, sequence)
		}
		*to = protowire.AppendTag(*to, tag, protowire.BytesType)
		*to = protowire.AppendBytes(*to, record)
		return true
	})
	if err != nil {
		return nil, nil, 0
	}
	if count <= n || n < 1 {
		return nil, nil, count
	}
	h := share(f.Header)
	h.SkipBefore = 0
	ha, hb := h, h
	ha.Count, hb.Count = uint32(n), uint32(count-n)
	if raw { // whose place in the batch is their sequence
		ha.FirstSequence, hb.FirstSequence = from, boundary
		hb.Count = uint32(it.next - boundary) // what it claims to hold is answered
		ha.Truncated = within(f, from, boundary)
		hb.Truncated = within(f, boundary, it.next)
	}
	first, second = append(slices.Clip(names), first...), append(names, second...)
	a = &item{frame: pb.NewFrame(ha, &first, nil), entry: it.entry, next: boundary}
	b = &item{frame: pb.NewFrame(hb, &second, nil), entry: it.entry, next: it.next}
	return a, b, count
}

// within returns which of the raw records from one sequence to another were cut,
// counted from the first of them.
func within(f *pb.Frame, from, to uint64) []uint32 {
	var out []uint32
	for _, i := range f.Truncated {
		if s := f.FirstSequence + uint64(i); s >= from && s < to {
			out = append(out, uint32(s-from))
		}
	}
	return out
}

// Offset returns the offset of an encoded event from its batch's first sequence:
// field 1 of every event; the last counts.
func Offset(record []byte) (offset uint32) {
	for len(record) > 0 {
		tag, typ, n := protowire.ConsumeTag(record)
		if n < 0 {
			return offset
		}
		if tag == 1 && typ == protowire.VarintType {
			if v, m := protowire.ConsumeVarint(record[n:]); m > 0 {
				offset = uint32(v)
			}
		}
		m := protowire.ConsumeFieldValue(tag, typ, record[n:])
		if m < 0 {
			return offset
		}
		record = record[n+m:]
	}
	return offset
}
