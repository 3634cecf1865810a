package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/internal/record"
)

// maxExplained bounds the events of one question.
const maxExplained = 1_000_000

// TestRules implements the detector service.
func (s detectorServer) TestRules(stream grpc.BidiStreamingServer[pb.TestRulesRequest, pb.TestRulesResponse]) error {
	tester, ok := s.server.plugin.Detector.(RuleTester)
	if !ok {
		return status.Error(codes.Unimplemented, "the detector's rules have no examples")
	}
	b := received{files: make(memoryFiles)}
	for run := false; !run; {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		switch part := m.Part.(type) {
		case *pb.TestRulesRequest_Chunk:
			if err := b.add(part.Chunk); err != nil {
				return err
			}
		case *pb.TestRulesRequest_Run:
			run = true
		default:
			return status.Error(codes.InvalidArgument, "lines came before the files were complete")
		}
	}
	parse := func(format, name string, lines []byte) ([]*event.LogEvent, error) {
		ask := &pb.ParseLines{Format: format, Stream: name, Lines: lines}
		if err := stream.Send(&pb.TestRulesResponse{Part: &pb.TestRulesResponse_Parse{Parse: ask}}); err != nil {
			return nil, fmt.Errorf("ask the host to parse: %w", err)
		}
		m, err := stream.Recv()
		if err != nil {
			return nil, fmt.Errorf("wait for parsed lines: %w", err)
		}
		answer := m.GetParsed()
		switch {
		case answer == nil:
			return nil, errors.New("the host answered with something else than parsed lines")
		case answer.Error != "":
			return nil, fmt.Errorf("%w: %s", ErrNoParser, answer.Error)
		}
		return logEvents(nil, answer.Batches)
	}
	report, err := tester.TestRules(stream.Context(), b.files.fs(), parse)
	if err != nil {
		return status.Error(codes.Internal, record.Valid(err.Error()))
	}
	out := &pb.RuleTestReport{
		Files: uint32(report.Files), Examples: uint32(report.Examples), Passed: uint32(report.Passed), Untested: valid(report.Untested),
	}
	for _, f := range report.Failed {
		out.Failed = append(out.Failed, &pb.RuleTestFailure{
			File: record.Valid(f.File), Line: uint32(max(f.Line, 0)), Rule: record.Valid(f.Rule), Example: record.Valid(f.Example),
			Code: record.Valid(f.Code), Reason: record.Valid(f.Reason), Wanted: valid(f.Wanted), Got: valid(f.Got), Hint: record.Valid(f.Hint),
		})
	}
	return stream.Send(&pb.TestRulesResponse{Part: &pb.TestRulesResponse_Report{Report: out}})
}

// ExplainRule implements the detector service.
func (s detectorServer) ExplainRule(stream grpc.ClientStreamingServer[pb.ExplainRuleRequest, pb.RuleExplanation]) error {
	explainer, ok := s.server.plugin.Detector.(RuleExplainer)
	if !ok {
		return status.Error(codes.Unimplemented, "the detector cannot explain its rules")
	}
	var q RuleQuestion
	for first := true; ; first = false {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if first {
			q.Rule, q.All, q.Limit = m.Rule, m.All, int(min(m.Limit, math.MaxInt32))
		}
		if q.Events, err = logEvents(q.Events, m.Batches); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		if len(q.Events) > maxExplained {
			return status.Errorf(codes.ResourceExhausted, "more than %d events", maxExplained)
		}
	}
	x, err := explainer.ExplainRule(stream.Context(), q)
	switch {
	case errors.Is(err, ErrNoRule):
		return status.Error(codes.NotFound, record.Valid(err.Error()))
	case err != nil:
		return status.Error(codes.Internal, record.Valid(err.Error()))
	}
	return stream.SendAndClose(explanation(&x))
}

// CoverRules implements the detector service.
func (s detectorServer) CoverRules(ctx context.Context, q *pb.CoverRulesRequest) (*pb.CoverRulesResponse, error) {
	coverer, ok := s.server.plugin.Detector.(RuleCoverer)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "the detector does not know what its rules need")
	}
	var streams []LogStream
	for _, l := range q.Streams {
		streams = append(streams, LogStream{Name: l.Name, Plugin: l.Plugin, Format: l.Format, Fields: l.Fields})
	}
	rules, err := coverer.CoverRules(ctx, streams, q.Packets)
	if err != nil {
		return nil, status.Error(codes.Internal, record.Valid(err.Error()))
	}
	out := &pb.CoverRulesResponse{}
	for _, r := range rules {
		out.Rules = append(out.Rules, &pb.RuleCoverage{
			Id: record.Valid(r.ID), Title: record.Valid(r.Title), File: record.Valid(r.File), Severity: pb.Severity(r.Severity),
			LogSource: record.Valid(r.LogSource), CanFire: r.CanFire, Code: r.Code, Reason: record.Valid(r.Reason),
			Missing: valid(r.Missing), Formats: valid(r.Formats),
		})
	}
	return out, nil
}

// logEvents appends the log events of batches, which share no memory with them.
func logEvents(out []*event.LogEvent, batches []*pb.Batch) ([]*event.LogEvent, error) {
	for _, b := range batches {
		s := &event.Stream{ID: b.Stream, Provenance: event.Provenance(b.Provenance)}
		if o := b.Origin; o != nil {
			s.Name, s.Plugin, s.Format, s.Peer, s.TimeZone = o.Name, o.Plugin, o.Format, o.Peer, o.TimeZone
		}
		for _, l := range b.Logs {
			body, err := proto.Marshal(l)
			if err != nil {
				return nil, fmt.Errorf("read a log event: %w", err)
			}
			e := &event.LogEvent{}
			if err := record.DecodeLog(body, b.FirstSequence, e); err != nil {
				return nil, fmt.Errorf("read a log event: %w", err)
			}
			e.Stream = s
			if e.ObservedTime.IsZero() {
				e.ObservedTime = record.Time(int64(b.ObservedTime))
			}
			out = append(out, e)
		}
	}
	return out, nil
}

func explanation(x *RuleExplanation) *pb.RuleExplanation {
	out := &pb.RuleExplanation{
		Id: record.Valid(x.ID), Title: record.Valid(x.Title), File: record.Valid(x.File), Line: uint32(max(x.Line, 0)), Kind: x.Kind,
		Status: record.Valid(x.Status), LogSource: record.Valid(x.LogSource), Filters: valid(x.Filters),
		Events: uint64(x.Events), Matched: uint64(x.Matched), Alerts: uint64(x.Alerts), Ungrouped: uint64(x.Ungrouped),
	}
	for i := range x.Findings {
		f := &x.Findings[i]
		out.Findings = append(out.Findings, &pb.EventExplanation{
			Number: uint64(f.Number), Time: nanos(f.Time), Message: record.Valid(f.Message), Matched: f.Matched,
			LogSources: valid(f.LogSources), Finding: finding(&f.Finding),
		})
	}
	for i := range x.Windows {
		w := &x.Windows[i]
		group := make(map[string]string, len(w.Group))
		for name, value := range w.Group {
			group[record.Valid(name)] = record.Valid(value)
		}
		out.Windows = append(out.Windows, &pb.WindowExplanation{
			Group: group, Complete: w.Complete, Wanted: record.Valid(w.Wanted), Found: record.Valid(w.Found),
			From: nanos(w.From), Upto: nanos(w.Upto), Events: uint64(w.Events), Missing: valid(w.Missing),
		})
	}
	for i := range x.Rules {
		out.Rules = append(out.Rules, explanation(&x.Rules[i]))
	}
	return out
}

func finding(f *RuleFinding) *pb.RuleFinding {
	out := &pb.RuleFinding{
		Op: f.Op, Name: record.Valid(f.Name), Line: uint32(max(f.Line, 0)), Holds: f.Holds, Field: record.Valid(f.Field), Present: f.Present,
		Found: valid(f.Found), Wanted: valid(f.Wanted), Relation: f.Relation, More: uint32(max(f.More, 0)),
	}
	for i := range f.Parts {
		out.Parts = append(out.Parts, finding(&f.Parts[i]))
	}
	return out
}

// nanos is a time of the wire, 0 for none.
func nanos(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(record.Nanos(t))
}

// valid returns texts that protobuf takes.
func valid(texts []string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = record.Valid(t)
	}
	return out
}

// received is a bundle that comes in chunks.
type received struct {
	name  string
	files memoryFiles
	size  int
}

// add takes the next chunk. Its error is a status.
func (r *received) add(c *pb.BundleChunk) error {
	if r.name == "" {
		r.name = c.Name
	}
	if c.Path == "" {
		return nil
	}
	if r.size += len(c.Data) + len(c.Path); r.size > maxBundleBytes {
		return status.Errorf(codes.ResourceExhausted, "bundle %s is larger than %d bytes", r.name, maxBundleBytes)
	}
	if err := r.files.add(c.Path, c.Data); err != nil {
		return status.Error(codes.InvalidArgument, record.Valid(err.Error()))
	}
	return nil
}
