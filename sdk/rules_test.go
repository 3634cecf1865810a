package sdk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// mute is a detector without rules.
type mute struct{}

func (mute) Detect(context.Context, Batch, func(*event.AlertEvent)) error { return nil }

// examiner answers questions about rules with what it was asked.
type examiner struct{ mute }

func (examiner) TestRules(_ context.Context, files fs.FS, parse ParseLines) (out RuleTestReport, err error) {
	data, err := fs.ReadFile(files, "rules/a.yaml")
	if err != nil {
		return out, err
	}
	events, err := parse("syslog", "s", data)
	if err != nil {
		return out, err
	}
	for _, e := range events {
		out.Untested = append(out.Untested, fmt.Sprint(e.Stream.Format, " ", e.Process, " ", e.Message, " ", e.ObservedTime.Unix(), " ", e.Fields))
	}
	if _, err := parse("none", "s", data); !errors.Is(err, ErrNoParser) {
		return out, fmt.Errorf("want ErrNoParser: %w", err)
	}
	out.Files, out.Examples, out.Passed = 1, 2, 1
	out.Failed = []RuleTestFailure{{File: "f", Line: 3, Rule: "r", Example: "x\xff", Code: "c", Reason: "why", Wanted: []string{"a"}, Got: []string{"b"}, Hint: "h"}}
	return out, nil
}

func (examiner) ExplainRule(_ context.Context, q RuleQuestion) (RuleExplanation, error) {
	if q.Rule != "r" {
		return RuleExplanation{}, fmt.Errorf("%w: %s", ErrNoRule, q.Rule)
	}
	return RuleExplanation{
		ID: q.Rule, Kind: "threshold", Events: len(q.Events), Matched: q.Limit, Rules: []RuleExplanation{{ID: "other"}},
		Findings: []EventExplanation{{Number: 1, Time: time.Unix(5, 0), Matched: q.All, Finding: RuleFinding{Op: "all", Parts: []RuleFinding{{Op: "test", Field: "f", Found: []string{"\xff"}}}}}},
		Windows:  []WindowExplanation{{Group: map[string]string{"a": "b"}, Missing: []string{"m"}, Upto: time.Unix(6, 0)}},
	}, nil
}

func (examiner) CoverRules(_ context.Context, streams []LogStream, packets bool) ([]RuleCoverage, error) {
	return []RuleCoverage{{ID: streams[0].Name, Title: streams[0].Plugin, LogSource: streams[0].Format, Missing: streams[0].Fields, CanFire: packets}}, nil
}

func lines() []*pb.Batch {
	return []*pb.Batch{{
		Kind: pb.Kind_KIND_LOG, Stream: 7, FirstSequence: 3, ObservedTime: 9e9, Origin: &pb.Origin{Name: "n", Format: "syslog"},
		Logs: []*pb.LogEvent{{Process: "p", Message: "m", Fields: []*pb.Field{{Key: "k", Value: "v"}}}},
	}}
}

func TestTestRules(t *testing.T) {
	stream, err := pb.NewDetectorClient(connect(t, Plugin{Detector: examiner{}})).TestRules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	send := func(m *pb.TestRulesRequest) {
		t.Helper()
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	recv := func() *pb.TestRulesResponse {
		t.Helper()
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	send(&pb.TestRulesRequest{Part: &pb.TestRulesRequest_Chunk{Chunk: &pb.BundleChunk{Name: "rules"}}})
	send(&pb.TestRulesRequest{Part: &pb.TestRulesRequest_Chunk{Chunk: &pb.BundleChunk{Path: "rules/a.yaml", Data: []byte("one\n")}}})
	send(&pb.TestRulesRequest{Part: &pb.TestRulesRequest_Run{Run: true}})
	if d := cmp.Diff(&pb.ParseLines{Format: "syslog", Stream: "s", Lines: []byte("one\n")}, recv().GetParse(), protocmp.Transform()); d != "" {
		t.Errorf("question differs (-want +got):\n%s", d)
	}
	send(&pb.TestRulesRequest{Part: &pb.TestRulesRequest_Parsed{Parsed: &pb.ParsedLines{Batches: lines()}}})
	recv()
	send(&pb.TestRulesRequest{Part: &pb.TestRulesRequest_Parsed{Parsed: &pb.ParsedLines{Error: "no such format"}}})
	want := &pb.RuleTestReport{
		Files: 1, Examples: 2, Passed: 1, Untested: []string{"syslog p m 9 [{k v}]"},
		Failed: []*pb.RuleTestFailure{{File: "f", Line: 3, Rule: "r", Example: "x\ufffd", Code: "c", Reason: "why", Wanted: []string{"a"}, Got: []string{"b"}, Hint: "h"}},
	}
	if d := cmp.Diff(want, recv().GetReport(), protocmp.Transform()); d != "" {
		t.Errorf("report differs (-want +got):\n%s", d)
	}
}

func TestExplainRule(t *testing.T) {
	client := pb.NewDetectorClient(connect(t, Plugin{Detector: examiner{}}))
	explain := func(first *pb.ExplainRuleRequest) (*pb.RuleExplanation, error) {
		stream, err := client.ExplainRule(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []*pb.ExplainRuleRequest{first, {Batches: lines()}, {Batches: lines()}} {
			if err := stream.Send(m); err != nil {
				break
			}
		}
		return stream.CloseAndRecv()
	}
	got, err := explain(&pb.ExplainRuleRequest{Rule: "r", All: true, Limit: 4})
	if err != nil {
		t.Fatal(err)
	}
	want := &pb.RuleExplanation{
		Id: "r", Kind: "threshold", Events: 2, Matched: 4, Rules: []*pb.RuleExplanation{{Id: "other"}},
		Findings: []*pb.EventExplanation{{Number: 1, Time: 5e9, Matched: true, Finding: &pb.RuleFinding{Op: "all", Parts: []*pb.RuleFinding{{Op: "test", Field: "f", Found: []string{"\ufffd"}}}}}},
		Windows:  []*pb.WindowExplanation{{Group: map[string]string{"a": "b"}, Missing: []string{"m"}, Upto: 6e9}},
	}
	if d := cmp.Diff(want, got, protocmp.Transform(), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("explanation differs (-want +got):\n%s", d)
	}
	if _, err := explain(&pb.ExplainRuleRequest{Rule: "x"}); status.Code(err) != codes.NotFound {
		t.Errorf("got %v, want NotFound", err)
	}
}

func TestCoverRules(t *testing.T) {
	got, err := pb.NewDetectorClient(connect(t, Plugin{Detector: examiner{}})).CoverRules(t.Context(), &pb.CoverRulesRequest{
		Packets: true, Streams: []*pb.LogStream{{Name: "n", Plugin: "p", Format: "f", Fields: []string{"a"}}},
	})
	want := &pb.CoverRulesResponse{Rules: []*pb.RuleCoverage{{Id: "n", Title: "p", LogSource: "f", Missing: []string{"a"}, CanFire: true}}}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" || err != nil {
		t.Errorf("%v, coverage differs (-want +got):\n%s", err, d)
	}
}

// TestNoExaminer: a detector without these abilities says so.
func TestNoExaminer(t *testing.T) {
	client := pb.NewDetectorClient(connect(t, Plugin{Detector: mute{}}))
	tests, err := client.TestRules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tests.Recv(); status.Code(err) != codes.Unimplemented {
		t.Errorf("TestRules: got %v, want Unimplemented", err)
	}
	explain, err := client.ExplainRule(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := explain.CloseAndRecv(); status.Code(err) != codes.Unimplemented {
		t.Errorf("ExplainRule: got %v, want Unimplemented", err)
	}
	if _, err := client.CoverRules(t.Context(), &pb.CoverRulesRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("CoverRules: got %v, want Unimplemented", err)
	}
}
