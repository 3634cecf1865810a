package host

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestLeftOut(t *testing.T) {
	var l leftOut
	if got := l.sentences(); len(got) != 0 {
		t.Errorf("at first: got %q, want nothing", got)
	}
	bad := &pb.BundleProblem{File: "rules/a.yaml", Line: 5, Reason: "did not find expected key; the version of the file before stays in force"}
	var many []*pb.BundleProblem
	for i := range maxLeftOut + 2 {
		many = append(many, &pb.BundleProblem{File: fmt.Sprint("f", i), Rule: "r", Reason: "x."})
	}
	l.report("detector-rules", "rules", &pb.BundleResponse{Rejected: many})
	l.report("detector-rules", "rules", &pb.BundleResponse{Rejected: []*pb.BundleProblem{bad}})
	l.report("parser-syslog", "extract", &pb.BundleResponse{})
	l.report("parser-json", "extract", &pb.BundleResponse{Rejected: many})
	want := []string{
		"detector-rules left out rules/a.yaml:5: did not find expected key; the version of the file before stays in force.",
		"parser-json left out f0 (r): x.", "parser-json left out f1 (r): x.", "parser-json left out f2 (r): x.",
		"parser-json left out f3 (r): x.", "parser-json left out f4 (r): x.",
		"parser-json: 2 more are left out; ironpost plugin info parser-json names them.",
	}
	if diff := cmp.Diff(want, l.sentences()); diff != "" {
		t.Errorf("sentences (-want +got):\n%s", diff)
	}
}
