package record

import (
	"encoding/binary"
	"math"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// AppendInventory appends what is known of a package; its sequence is counted from
// base.
func AppendInventory(b []byte, e *event.InventoryEvent, base uint64) []byte {
	m, start := open(b, tag2(pb.TagInventory))
	m = appendVarint(m, 1, e.Sequence-base)
	m = appendString(m, 2, Valid(e.ID))
	m = appendTime(m, 3, e.Time)
	for i, text := range [...]string{
		e.Target, e.TargetName, e.Image, e.Name, e.Version, e.Ecosystem, e.PURL, e.Arch, e.State,
	} {
		m = appendString(m, 4+i, Valid(text))
	}
	m = appendTexts(m, 13, e.Licenses)
	m = appendTexts(m, 14, e.Locations)
	m = appendBool(m, 15, e.InUse)
	m = appendBool(m, 16, e.Removed)
	for i := range e.Findings {
		var at int
		m, at = open(m, tagBytes(17))
		m = putLength(appendFinding(m, &e.Findings[i]), at)
	}
	m = appendVarint(m, 18, uint64(e.Omitted))
	return putLength(m, start)
}

func appendFinding(b []byte, f *event.Finding) []byte {
	b = appendString(b, 1, Valid(f.ID))
	b = appendTexts(b, 2, f.Aliases)
	b = appendVarint(b, 3, uint64(f.Severity))
	b = appendDouble(b, 4, f.Score)
	b = appendString(b, 5, Valid(f.Fixed))
	b = appendBool(b, 6, f.KEV)
	b = appendDouble(b, 7, f.EPSS)
	return appendString(b, 8, Valid(f.Status))
}

// DecodeInventory fills e, which must be zero but for its stream.
func DecodeInventory(body []byte, base uint64, e *event.InventoryEvent) error {
	r := reader{b: body}
	e.Sequence = base
	texts := [...]*string{
		&e.Target, &e.TargetName, &e.Image, &e.Name, &e.Version, &e.Ecosystem, &e.PURL, &e.Arch, &e.State,
	}
	for r.next() {
		switch {
		case r.number == 1:
			e.Sequence = base + uint64(uint32(r.value))
		case r.number == 2:
			e.ID = r.string()
		case r.number == 3:
			e.Time = Time(int64(r.value))
		case r.number >= 4 && r.number < 4+len(texts):
			*texts[r.number-4] = r.string()
		case r.number == 13:
			if !r.addText(&e.Licenses) {
				return ErrMalformed
			}
		case r.number == 14:
			if !r.addText(&e.Locations) {
				return ErrMalformed
			}
		case r.number == 15:
			e.InUse = r.value != 0
		case r.number == 16:
			e.Removed = r.value != 0
		case r.number == 17:
			if len(e.Findings) >= MaxFields {
				return ErrMalformed
			}
			var f event.Finding
			if err := decodeFinding(r.bytes, &f); err != nil {
				return err
			}
			e.Findings = append(e.Findings, f)
		case r.number == 18:
			e.Omitted = uint32(r.value)
		}
	}
	return r.err
}

func decodeFinding(body []byte, f *event.Finding) error {
	r := reader{b: body}
	for r.next() {
		switch r.number {
		case 1:
			f.ID = r.string()
		case 2:
			if !r.addText(&f.Aliases) {
				return ErrMalformed
			}
		case 3:
			f.Severity = event.Severity(min(r.value, 255))
		case 4:
			f.Score = double(r.value)
		case 5:
			f.Fixed = r.string()
		case 6:
			f.KEV = r.value != 0
		case 7:
			f.EPSS = double(r.value)
		case 8:
			f.Status = r.string()
		}
	}
	return r.err
}

// addText appends the field to a list; false when the list is full.
func (r *reader) addText(list *[]string) bool {
	if len(*list) >= MaxFields {
		return false
	}
	*list = append(*list, r.string())
	return true
}

// appendTexts appends each text, also an empty one.
func appendTexts(b []byte, number int, texts []string) []byte {
	for _, t := range texts {
		var at int
		b, at = open(b, tagBytes(number))
		b = putLength(append(b, Valid(t)...), at)
	}
	return b
}

func appendBool(b []byte, number int, v bool) []byte {
	if !v {
		return b
	}
	return append(appendTag(b, number, wireVarint), 1)
}

// double is the number of a field; what is none, or has no end, is 0: no JSON could
// hold it.
func double(bits uint64) float64 {
	v := math.Float64frombits(bits)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

// appendDouble appends a number; one that is none, or has no end, is left out.
func appendDouble(b []byte, number int, v float64) []byte {
	if v = double(math.Float64bits(v)); v == 0 {
		return b
	}
	return binary.LittleEndian.AppendUint64(appendTag(b, number, wireFixed64), math.Float64bits(v))
}
