package sdk

import (
	"bytes"
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
	parse := s.plugin.Parser.Parse
	if f, ok := s.plugin.Parser.(parseFunc); ok {
		parse = f.parse // its Parse would copy the record once more
	}
	return serve.Consume(stream, &parserLink{
		server:  s,
		parse:   parse,
		streams: make(streams),
		reasons: make(map[string]uint64),
	}, drain)
}

// parserLink parses the frames of one link.
type parserLink struct {
	serve.Stateless
	server  *server
	parse   func(event.RawLog, *event.LogEvent) error
	streams streams
	event   event.LogEvent
	encoder record.LogEncoder
	reasons map[string]uint64 // unparsed records since the last answer
	work    parserWork
}

// parserWork is the batch in hand. It stays when the parser panics.
type parserWork struct {
	frame     *pb.Frame
	answer    *serve.Answer
	raw       event.RawLog // the record in hand
	records   pb.Reader
	index     uint32 // records that were read
	truncated []uint32
	covered   uint64 // everything before it is answered
	out       *[]byte
	count     uint32 // events in out
	parsing   bool   // the parser has the record
}

// Handle parses one batch of raw records.
func (p *parserLink) Handle(_ context.Context, f *pb.Frame, answer *serve.Answer) error {
	p.work = parserWork{
		frame:     f,
		answer:    answer,
		raw:       event.RawLog{Stream: p.streams.of(f), ObservedTime: record.Time(f.ObservedTime)},
		records:   pb.NewReader(pb.Kind_KIND_RAW, f.Payload()),
		truncated: f.Truncated,
		covered:   max(f.FirstSequence, f.SkipBefore),
	}
	defer func() { p.work = parserWork{} }()
	clear(p.event.Fields[:cap(p.event.Fields)]) // lets go of earlier batches
	p.begin(min(f.Size()*2+4096, pb.MaxBatchBytes))
	for {
		done, err := p.run()
		if err != nil {
			return err
		}
		if done {
			break
		}
	}
	w := &p.work
	// A broken source sends what follows; what was read goes on.
	if w.index < f.Count {
		p.server.bad.Add(1)
		p.server.log.Error("malformed batch", "stream", w.raw.Stream.Name, "records", w.index, "counted", f.Count, "error", w.records.Err)
	} else if w.records.Next() {
		p.server.bad.Add(1) // what is beyond the count has no sequence
	}
	// An answer covers something new: a batch that was answered before, or by
	// the parts so far, needs none.
	end := f.FirstSequence + uint64(f.Count)
	if w.covered >= end {
		p.server.pool.Put(w.out)
		return nil
	}
	return answer.Finish(p.part(f, w.out, w.count, end))
}

// begin begins an answer, or the next part of one.
func (p *parserLink) begin(size int) {
	w := &p.work
	w.out, w.count = p.server.pool.Get(size), 0
	*w.out = (*w.out)[:0]
	p.encoder.Begin(w.raw.ObservedTime)
}

// run parses the records that are left, and is done then. A panic of the parser
// costs the record and no more: run recovers, and is to be called again. That is
// once a batch instead of a guard around every record.
func (p *parserLink) run() (done bool, err error) {
	w := &p.work
	if w.parsing { // the record is still in hand
		w.parsing = false
		if err := p.put(reasonPanic, false); err != nil {
			return false, err
		}
	}
	defer func() {
		if !w.parsing {
			return
		}
		if r := recover(); r != nil {
			p.server.log.Error("the parser panicked", "stream", w.raw.Stream.Name, "sequence", w.raw.Sequence, "panic", r)
		}
	}()
	for w.index < w.frame.Count && w.records.Next() {
		w.raw.Sequence = w.frame.FirstSequence + uint64(w.index)
		w.raw.Line = w.records.Item
		w.raw.Truncated = len(w.truncated) > 0 && w.truncated[0] == w.index
		if w.raw.Truncated {
			w.truncated = w.truncated[1:]
		}
		w.index++
		if w.raw.Sequence < w.frame.SkipBefore {
			continue
		}
		p.empty()
		reason, ascii := unfit(&w.raw)
		if reason == "" {
			w.parsing = true
			err := p.parse(event.RawLog{ // made anew, which is quicker than a copy of what was just written
				Stream: w.raw.Stream, Sequence: w.raw.Sequence, ObservedTime: w.raw.ObservedTime, Line: w.raw.Line,
			}, &p.event)
			w.parsing = false
			if err != nil {
				reason = codeOf(err)
			}
		}
		if err := p.put(reason, ascii); err != nil {
			return false, err
		}
	}
	return true, nil
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

// put appends the log event of the record in hand, which the parser has read
// unless there is a reason why not, and sends the answer's part when it is full.
// ascii says that the record is.
func (p *parserLink) put(reason string, ascii bool) error {
	w, e, base := &p.work, &p.event, p.work.frame.FirstSequence
	if reason == "" {
		p.complete()
		start := len(*w.out)
		var text []byte
		if ascii {
			text = w.raw.Line
		}
		*w.out = p.encoder.Append(*w.out, e, base, text)
		if len(*w.out)-start > maxParsed || len(e.Fields) > record.MaxFields {
			// Its names stay: others may refer to them by now.
			*w.out, reason = p.encoder.Cut(*w.out, start), reasonOversize
		}
	}
	if reason != "" {
		reason = cutText(record.Valid(reason), maxCode)
		p.countReason(reason)
		p.empty()
		p.complete()
		e.Flags |= event.FlagUnparsed
		e.Reason = reason
		e.Raw = w.raw.Line[:min(len(w.raw.Line), rawKept)]
		*w.out = p.encoder.Append(*w.out, e, base, nil)
	}
	if w.count++; len(*w.out) < partBytes {
		return nil
	}
	next := w.raw.Sequence + 1
	if err := w.answer.Send(p.part(w.frame, w.out, w.count, next)); err != nil {
		return err
	}
	w.covered = next
	p.begin(pb.MaxBatchBytes)
	return nil
}

// empty empties the event, as its Reset does, but for what lies beyond the length
// of Fields.
func (p *parserLink) empty() {
	e := &p.event
	e.Stream, e.Sequence, e.Time, e.ObservedTime = nil, 0, time.Time{}, time.Time{}
	e.Severity, e.Flags, e.Host, e.Process, e.PID, e.Message = 0, 0, "", "", 0, ""
	e.Fields, e.Raw, e.Reason = e.Fields[:0], nil, ""
}

func (p *parserLink) countReason(reason string) {
	if _, known := p.reasons[reason]; !known && len(p.reasons) >= 64 {
		reason = reasonOther
	}
	p.reasons[reason]++
}

// codeOf returns why the parser refused a record.
func codeOf(err error) string {
	if c := Coder(nil); errors.As(err, &c) {
		return c.Code()
	}
	return reasonOther
}

// complete fills in what the parser does not know.
func (p *parserLink) complete() {
	e, raw := &p.event, &p.work.raw
	e.Sequence = raw.Sequence
	e.ObservedTime = raw.ObservedTime
	if raw.Truncated {
		e.Flags |= event.FlagTruncated
	}
	switch at, observed := record.Nanos(e.Time), p.work.frame.ObservedTime; {
	case at == 0:
		e.Time = raw.ObservedTime
		e.Flags |= event.FlagTimeInferred
	case !p.server.replay && observed != 0 && at > observed && uint64(at)-uint64(observed) > uint64(maxAhead):
		e.Time = raw.ObservedTime
		e.Flags |= event.FlagTimeClamped
	}
}

// unfit returns why a record is not shown to a text parser, "" when it is, and
// whether it is all ASCII then.
func unfit(raw *event.RawLog) (reason string, ascii bool) {
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
// It looks at eight bytes at a time, of which the last may overlap the ones
// before: as long as no byte is above 0x7f, adding 0x7f to each carries into its
// own high bit and no further, unless it is 0.
func scan(line []byte) (nul, ascii bool) {
	const sevens, high = 0x7f7f7f7f7f7f7f7f, 0x8080808080808080
	if len(line) < 8 {
		set := byte(0)
		for _, c := range line {
			set |= c
			nul = nul || c == 0
		}
		return nul, set < utf8.RuneSelf
	}
	last := binary.LittleEndian.Uint64(line[len(line)-8:])
	set, above := last, last+sevens
	rest := line
	for ; len(rest) >= 32; rest = rest[32:] {
		a, b := binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])
		c, d := binary.LittleEndian.Uint64(rest[16:]), binary.LittleEndian.Uint64(rest[24:])
		set |= a | b | c | d
		above &= (a + sevens) & (b + sevens) & (c + sevens) & (d + sevens)
	}
	for ; len(rest) >= 8; rest = rest[8:] {
		w := binary.LittleEndian.Uint64(rest)
		set |= w
		above &= w + sevens
	}
	if set&high != 0 {
		return bytes.IndexByte(line, 0) >= 0, false
	}
	return above&high != high, true
}
