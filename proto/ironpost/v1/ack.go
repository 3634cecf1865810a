package ironpostv1

import (
	"bytes"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// parseAck decodes an acknowledgement like proto.Unmarshal, but for where the
// changes of the state lie: all in one copy of v, for a busy detector sends tens
// of thousands a second. What is not of the usual form is left to proto.
func parseAck(v []byte) (*Ack, error) {
	own := bytes.Clone(v)
	ack := new(Ack)
	var entries []StateEntry
	n := 0
	for b := own; len(b) > 0; {
		tag, typ, size := protowire.ConsumeTag(b)
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		b = b[size:]
		switch {
		case tag == 1 && typ == protowire.VarintType:
			ack.Accepted, size = protowire.ConsumeVarint(b)
		case tag == 2 && typ == protowire.VarintType:
			ack.Durable, size = protowire.ConsumeVarint(b)
		case tag == 3 && typ == protowire.BytesType:
			var body []byte
			if body, size = protowire.ConsumeBytes(b); size < 0 {
				break
			}
			if n == len(entries) {
				entries = make([]StateEntry, max(8, 2*n)) // the earlier ones stay where they are
				n = 0
			}
			e := &entries[n]
			n++
			if !parseStateEntry(body, e) {
				return unmarshalAck(v)
			}
			ack.Changes = append(ack.Changes, e)
		default:
			return unmarshalAck(v)
		}
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		b = b[size:]
	}
	return ack, nil
}

func unmarshalAck(v []byte) (*Ack, error) {
	ack := new(Ack)
	return ack, proto.Unmarshal(v, ack)
}

// parseStateEntry fills e, whose key and value alias b; false when b is not of
// the usual form.
func parseStateEntry(b []byte, e *StateEntry) bool {
	for len(b) > 0 {
		tag, typ, size := protowire.ConsumeTag(b)
		if size < 0 {
			return false
		}
		b = b[size:]
		switch {
		case tag == 1 && typ == protowire.BytesType:
			var key []byte
			if key, size = protowire.ConsumeBytes(b); size < 0 || !utf8.Valid(key) {
				return false
			}
			e.Key = unsafe.String(unsafe.SliceData(key), len(key))
		case tag == 2 && typ == protowire.BytesType:
			if e.Value, size = protowire.ConsumeBytes(b); size < 0 {
				return false
			}
		case tag == 3 && typ == protowire.VarintType:
			var deleted uint64
			if deleted, size = protowire.ConsumeVarint(b); size < 0 {
				return false
			}
			e.Deleted = protowire.DecodeBool(deleted)
		default:
			return false
		}
		b = b[size:]
	}
	return true
}
