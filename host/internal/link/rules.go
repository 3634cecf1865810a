package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// examineTimeout bounds the examination of rules: thousands of them, or a large
// file of events.
const examineTimeout = 10 * time.Minute

var (
	// ErrNoRule says that no rule in force has the id.
	ErrNoRule = errors.New("no such rule")
	// ErrCannotExamine says that the detector neither tests nor explains rules.
	ErrCannotExamine = errors.New("the detector cannot do this")
)

// TestRules runs the examples of a bundle. parse reads lines for it: its result, or
// its error as words in ParsedLines.
func (c *Conn) TestRules(ctx context.Context, b Bundle, parse func(context.Context, *pb.ParseLines) (*pb.ParsedLines, error)) (*pb.RuleTestReport, error) {
	ctx, cancel := context.WithTimeout(ctx, examineTimeout)
	defer cancel()
	stream, err := c.detector.TestRules(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the test of rules: %w", err)
	}
	send := func(m *pb.TestRulesRequest) error {
		err := stream.Send(m)
		if errors.Is(err, io.EOF) { // Recv tells the cause
			_, err = stream.Recv()
		}
		return err
	}
	err = eachChunk(b, func(c *pb.BundleChunk) error {
		return send(&pb.TestRulesRequest{Part: &pb.TestRulesRequest_Chunk{Chunk: c}})
	})
	if err == nil {
		err = send(&pb.TestRulesRequest{Part: &pb.TestRulesRequest_Run{Run: true}})
	}
	for err == nil {
		var m *pb.TestRulesResponse
		if m, err = stream.Recv(); err != nil {
			break
		}
		if report := m.GetReport(); report != nil {
			return report, nil
		}
		if m.GetParse() == nil {
			return nil, errors.New("test rules: the detector sent neither lines nor a report")
		}
		lines, parseErr := parse(ctx, m.GetParse())
		if parseErr != nil {
			return nil, parseErr
		}
		err = send(&pb.TestRulesRequest{Part: &pb.TestRulesRequest_Parsed{Parsed: lines}})
	}
	return nil, examined("test rules", err)
}

// ExplainRule asks why a rule in force holds for events, or why not. first has the
// question; the batches follow.
func (c *Conn) ExplainRule(ctx context.Context, first *pb.ExplainRuleRequest, batches []*pb.Batch) (*pb.RuleExplanation, error) {
	ctx, cancel := context.WithTimeout(ctx, examineTimeout)
	defer cancel()
	stream, err := c.detector.ExplainRule(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the explanation of a rule: %w", err)
	}
	err = stream.Send(first)
	for i := 0; i < len(batches) && err == nil; i++ {
		err = stream.Send(&pb.ExplainRuleRequest{Batches: batches[i : i+1]})
	}
	if err != nil && !errors.Is(err, io.EOF) { // of io.EOF CloseAndRecv tells the cause
		return nil, examined("explain a rule", err)
	}
	out, err := stream.CloseAndRecv()
	if err != nil {
		return nil, examined("explain a rule", err)
	}
	return out, nil
}

// CoverRules asks which rules in force can fire over some streams.
func (c *Conn) CoverRules(ctx context.Context, q *pb.CoverRulesRequest) ([]*pb.RuleCoverage, error) {
	ctx, cancel := context.WithTimeout(ctx, examineTimeout)
	defer cancel()
	out, err := c.detector.CoverRules(ctx, q)
	if err != nil {
		return nil, examined("judge the coverage of rules", err)
	}
	return out.GetRules(), nil
}

// examined puts a status into words.
func examined(what string, err error) error {
	switch s := status.Convert(err); s.Code() {
	case codes.NotFound:
		return fmt.Errorf("%s: %w", what, ErrNoRule)
	case codes.Unimplemented:
		return fmt.Errorf("%s: %w", what, ErrCannotExamine)
	default:
		return fmt.Errorf("%s: %s", what, s.Message())
	}
}
