package sdk

import (
	"context"
	"encoding/binary"
	"errors"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/internal/record"
	"github.com/ironpost/ironpost/sdk/internal/serve"
)

// Limits of what a parser puts out.
const (
	// rawKept is how much of an unparsed record is kept.
	rawKept = 4 << 10
	// maxParsed is the largest encoded log event; a larger one goes on as an
	// unparsed one.
	maxParsed = 192 << 10
	// partBytes is the size at which an answer is sent in parts.
	partBytes = pb.MaxBatchBytes - maxParsed - rawKept - 1024
	// maxCode bounds the code of an error.
	maxCode = 64
	// maxAhead is how far a stamp may lie ahead of the clock.
	maxAhead = 5 * time.Second
)

// The codes of records that no parser sees.
const (
	reasonEmpty       = "empty"
	reasonTooLong     = "too_long"
	reasonNUL         = "nul_byte"
	reasonInvalidUTF8 = "invalid_utf8"
	reasonOversize    = "event_too_large"
	reasonPanic       = "parser_panic"
	reasonOther       = "parse_error"
)

// parserServer serves the plugin's LogParser.
type parserServer struct {
	pb.UnimplementedParserServer
	server *server
}

// Parse implements the parser service.
func (s parserServer) Parse(stream grpc.BidiStreamingServer[pb.Batch, pb.Batch]) error {
	return s.server.events(stream, "parser")
}

// parse runs a link of the plugin's LogParser.
func (s *server) parse(stream serve.Stream, drain *serve.Drainer) error {
	return serve.Consume(stream, &parserLink{
		server:  s,
		parser:  s.plugin.Parser,
		streams: make(streams),
		reasons: make(map[string]uint64),
	}, drain)
}

// parserLink parses the frames of one link.
type parserLink struct {
	serve.Stateless
	server  *server
	parser  LogParser
	streams streams
	event   event.LogEvent
	encoder record.LogEncoder
	reasons map[string]uint64 // unparsed records since the last answer
}

// Handle parses one batch of raw records.
func (p *parserLink) Handle(_ context.Context, f *pb.Frame, answer *serve.Answer) error {
	raw := event.RawLog{
		Stream:       p.streams.of(f),
		Sequence:     f.FirstSequence,
		ObservedTime: record.Time(f.ObservedTime),
	}
	truncated := f.Truncated
	out := p.server.pool.Get(min(f.Size()*2+4096, pb.MaxBatchBytes))
	*out = (*out)[:0]
	p.encoder.Begin(raw.ObservedTime)
	count := uint32(0)
	covered := max(f.FirstSequence, f.SkipBefore) // everything before it is answered
	records := pb.NewReader(pb.Kind_KIND_RAW, f.Payload())
	index := uint32(0)
	for ; index < f.Count && records.Next(); index++ {
		raw.Line = records.Item
		raw.Truncated = len(truncated) > 0 && truncated[0] == index
		if raw.Truncated {
			truncated = truncated[1:]
		}
		if raw.Sequence >= f.SkipBefore {
			*out = p.record(*out, raw, f.FirstSequence)
			count++
		}
		raw.Sequence++
		if len(*out) >= partBytes {
			if err := answer.Send(p.part(f, out, count, raw.Sequence)); err != nil {
				return err
			}
			covered = raw.Sequence
			out = p.server.pool.Get(pb.MaxBatchBytes)
			*out = (*out)[:0]
			p.encoder.Begin(raw.ObservedTime)
			count = 0
		}
	}
	// A broken source sends what follows; what was read goes on.
	if index < f.Count {
		p.server.bad.Add(1)
		p.server.log.Error("malformed batch", "stream", raw.Stream.Name, "records", index, "counted", f.Count, "error", records.Err)
	} else if records.Next() {
		p.server.bad.Add(1) // what is beyond the count has no sequence
	}
	// An answer covers something new: a batch that was answered before, or by
	// the parts so far, needs none.
	end := f.FirstSequence + uint64(f.Count)
	if covered >= end {
		p.server.pool.Put(out)
		return nil
	}
	return answer.Finish(p.part(f, out, count, end))
}

// part returns a part of the answer to a batch: the events of its records before
// next.
func (p *parserLink) part(f *pb.Frame, payload *[]byte, count uint32, next uint64) *pb.Frame {
	header := pb.Header{
		Stream:        f.Stream,
		FirstSequence: f.FirstSequence,
		Kind:          pb.Kind_KIND_LOG,
		Count:         count,
		Provenance:    f.Provenance,
		ObservedTime:  f.ObservedTime,
		NextSequence:  next,
	}
	if len(p.reasons) > 0 {
		header.Control = &pb.LinkControl{}
		for name, n := range p.reasons {
			header.Control.Counts = append(header.Control.Counts, &pb.Count{Name: name, Value: n})
		}
		clear(p.reasons)
	}
	return pb.NewFrame(header, payload, p.server.pool)
}

// record appends the log event of one raw record to b.
func (p *parserLink) record(b []byte, raw event.RawLog, base uint64) []byte {
	e := &p.event
	e.Reset()
	reason, ascii := unfit(raw)
	if reason == "" {
		if err := p.parse(raw, e); err != nil {
			reason = reasonOther
			if c := Coder(nil); errors.As(err, &c) {
				reason = c.Code()
			}
		}
	}
	if reason == "" {
		p.complete(e, raw)
		start := len(b)
		var text []byte
		if ascii {
			text = raw.Line
		}
		b = p.encoder.Append(b, e, base, text)
		if len(b)-start <= maxParsed && len(e.Fields) <= record.MaxFields {
			return b
		}
		// Its names stay: others may refer to them by now.
		b, reason = p.encoder.Cut(b, start), reasonOversize
	}
	reason = cutText(record.Valid(reason), maxCode)
	p.countReason(reason)
	e.Reset()
	p.complete(e, raw)
	e.Flags |= event.FlagUnparsed
	e.Reason = reason
	e.Raw = raw.Line[:min(len(raw.Line), rawKept)]
	return p.encoder.Append(b, e, base, nil)
}

func (p *parserLink) countReason(reason string) {
	if _, known := p.reasons[reason]; !known && len(p.reasons) >= 64 {
		reason = reasonOther
	}
	p.reasons[reason]++
}

// parse calls the parser; a panic of its costs the record and no more.
func (p *parserLink) parse(raw event.RawLog, e *event.LogEvent) (err error) {
	defer func() {
		if r := recover(); r != nil {
			p.server.log.Error("the parser panicked", "stream", raw.Stream.Name, "sequence", raw.Sequence, "panic", r)
			err = codeError(reasonPanic)
		}
	}()
	return p.parser.Parse(raw, e)
}

// complete fills in what the parser does not know.
func (p *parserLink) complete(e *event.LogEvent, raw event.RawLog) {
	e.Sequence = raw.Sequence
	e.ObservedTime = raw.ObservedTime
	if raw.Truncated {
		e.Flags |= event.FlagTruncated
	}
	switch {
	case record.Nanos(e.Time) == 0:
		e.Time = raw.ObservedTime
		e.Flags |= event.FlagTimeInferred
	case !p.server.replay && !raw.ObservedTime.IsZero() && e.Time.Sub(raw.ObservedTime) > maxAhead:
		e.Time = raw.ObservedTime
		e.Flags |= event.FlagTimeClamped
	}
}

// unfit returns why a record is not shown to a text parser, "" when it is, and
// whether it is all ASCII then.
func unfit(raw event.RawLog) (reason string, ascii bool) {
	switch {
	case raw.Truncated:
		return reasonTooLong, false
	case len(raw.Line) == 0:
		return reasonEmpty, false
	}
	nul, ascii := scan(raw.Line)
	switch {
	case nul:
		return reasonNUL, false
	case !ascii && !utf8.Valid(raw.Line):
		return reasonInvalidUTF8, false
	}
	return "", ascii
}

// scan reports whether a line holds a NUL byte, and whether all of it is ASCII.
// It looks at eight bytes at a time: the high bit of (w - 1) &^ w is set in the
// lowest byte that is 0, and above it at most where one is (Hacker's Delight,
// 6-1).
func scan(line []byte) (nul, ascii bool) {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	var zero, set uint64
	for ; len(line) >= 32; line = line[32:] {
		a, b := binary.LittleEndian.Uint64(line), binary.LittleEndian.Uint64(line[8:])
		c, d := binary.LittleEndian.Uint64(line[16:]), binary.LittleEndian.Uint64(line[24:])
		zero |= (a-ones)&^a | (b-ones)&^b | (c-ones)&^c | (d-ones)&^d
		set |= a | b | c | d
	}
	for ; len(line) >= 8; line = line[8:] {
		w := binary.LittleEndian.Uint64(line)
		zero |= (w - ones) &^ w
		set |= w
	}
	for _, c := range line {
		w := uint64(c)
		zero |= (w - 1) &^ w & 0x80
		set |= w
	}
	return zero&high != 0, set&high == 0
}

// codeError is a Coder that is nothing but its code.
type codeError string

func (e codeError) Error() string { return string(e) }
func (e codeError) Code() string  { return string(e) }
