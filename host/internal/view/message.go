package view

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// AppendMessage appends a message as one JSON object with every field of its
// type, in the order of the .proto file:
//
//   - names as in the .proto file, lower_snake_case;
//   - 64-bit integers as numbers; what is not a finite number as null;
//   - Timestamp, and the fields of type fixed64 that hold a time, as RFC 3339
//     in UTC, "" when unset;
//   - enum values as lower-case words without their prefix, "unknown" for
//     unspecified;
//   - repeated Field and Count as an object from name to value;
//   - bytes in hexadecimal; an unset message as null.
func AppendMessage(dst []byte, m proto.Message) []byte {
	return appendObject(dst, m.ProtoReflect())
}

// AppendList appends messages as one JSON array; an empty list is [].
func AppendList[M proto.Message](dst []byte, list []M) []byte {
	dst = append(dst, '[')
	for i, m := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendMessage(dst, m)
	}
	return append(dst, ']')
}

func appendObject(dst []byte, m protoreflect.Message) []byte {
	dst = append(dst, '{')
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		f := fields.Get(i)
		dst = AppendString(dst, string(f.Name()))
		dst = append(dst, ':')
		dst = appendField(dst, m, f)
	}
	return append(dst, '}')
}

func appendField(dst []byte, m protoreflect.Message, f protoreflect.FieldDescriptor) []byte {
	switch {
	case f.IsMap():
		return appendMap(dst, m.Get(f).Map(), f.MapValue())
	case f.IsList() && isNamed(f):
		return appendNamed(dst, m.Get(f).List())
	case f.IsList():
		list := m.Get(f).List()
		dst = append(dst, '[')
		for i := range list.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, list.Get(i), f)
		}
		return append(dst, ']')
	case f.Message() != nil && !m.Has(f):
		if isTimestamp(f) {
			return append(dst, `""`...)
		}
		return append(dst, "null"...)
	}
	return appendValue(dst, m.Get(f), f)
}

func appendValue(dst []byte, v protoreflect.Value, f protoreflect.FieldDescriptor) []byte {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return strconv.AppendBool(dst, v.Bool())
	case protoreflect.StringKind:
		return AppendString(dst, v.String())
	case protoreflect.BytesKind:
		return appendHex(dst, v.Bytes())
	case protoreflect.EnumKind:
		return AppendString(dst, enumWord(f.Enum(), v.Enum()))
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return appendFloat(dst, v.Float())
	case protoreflect.Fixed64Kind:
		if holdsTime(f) {
			return AppendTime(dst, int64(v.Uint()))
		}
		return strconv.AppendUint(dst, v.Uint(), 10)
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind:
		return strconv.AppendUint(dst, v.Uint(), 10)
	case protoreflect.MessageKind, protoreflect.GroupKind:
		if isTimestamp(f) {
			return appendTimestamp(dst, v.Message())
		}
		return appendObject(dst, v.Message())
	}
	return strconv.AppendInt(dst, v.Int(), 10)
}

func isTimestamp(f protoreflect.FieldDescriptor) bool {
	return f.Message() != nil && f.Message().FullName() == "google.protobuf.Timestamp"
}

// appendTimestamp treats the zero Timestamp, and one that no calendar holds, as
// unset.
func appendTimestamp(dst []byte, m protoreflect.Message) []byte {
	t, ok := m.Interface().(*timestamppb.Timestamp)
	if !ok || !t.IsValid() || t.GetSeconds() == 0 && t.GetNanos() == 0 {
		return append(dst, `""`...)
	}
	b, err := t.AsTime().MarshalJSON()
	if err != nil {
		return append(dst, `""`...)
	}
	return append(dst, b...)
}

// holdsTime reports whether a fixed64 field is a time; the other uses of
// fixed64 on the wire are streams and sequences.
func holdsTime(f protoreflect.FieldDescriptor) bool {
	switch f.Name() {
	case "time", "observed_time", "last_hit", "expires", "since", "until":
		return true
	}
	return false
}

// isNamed reports whether a list is one of Field or Count.
func isNamed(f protoreflect.FieldDescriptor) bool {
	if f.Message() == nil {
		return false
	}
	switch f.Message().FullName() {
	case "ironpost.v1.Field", "ironpost.v1.Count":
		return true
	}
	return false
}

func appendNamed(dst []byte, list protoreflect.List) []byte {
	seen := make(map[string]bool, list.Len())
	dst = append(dst, '{')
	for i := range list.Len() {
		var name string
		var value []byte
		switch m := list.Get(i).Message().Interface().(type) {
		case *ironpostv1.Count:
			name, value = m.GetName(), strconv.AppendUint(nil, m.GetValue(), 10)
		case *ironpostv1.Field:
			name, value = m.GetKey(), AppendString(nil, m.GetValue())
		}
		if seen[name] {
			continue
		}
		if len(seen) > 0 {
			dst = append(dst, ',')
		}
		seen[name] = true
		dst = AppendString(dst, name)
		dst = append(dst, ':')
		dst = append(dst, value...)
	}
	return append(dst, '}')
}

// appendMap writes the keys in order, so that equal maps give equal bytes.
func appendMap(dst []byte, m protoreflect.Map, value protoreflect.FieldDescriptor) []byte {
	keys := make([]protoreflect.MapKey, 0, m.Len())
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k)
		return true
	})
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int {
		return strings.Compare(a.String(), b.String())
	})
	dst = append(dst, '{')
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, k.String())
		dst = append(dst, ':')
		dst = appendValue(dst, m.Get(k), value)
	}
	return append(dst, '}')
}

// enumWord returns "high" for SEVERITY_HIGH of the enum Severity.
func enumWord(e protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	v := e.Values().ByNumber(n)
	if v == nil {
		return strconv.Itoa(int(n))
	}
	word := strings.ToLower(string(v.Name()))
	if word = strings.TrimPrefix(word, prefixOf(string(e.Name()))); word == "unspecified" {
		return "unknown"
	}
	return word
}

// prefixOf returns "packet_scope_" for PacketScope.
func prefixOf(enum string) string {
	var b strings.Builder
	for i, r := range enum {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String() + "_"
}
