package export

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestTagsOfRules(t *testing.T) {
	tactics, techniques := NewAttack().Read([]string{
		"attack.t1110", "attack.T1110.001", "attack.t1110", "attack.credential_access", "attack.Credential-Access", "attack.impact",
		"attack.g0016", "attack.t111", "attack.t1110.01", "t1059", "cve.2024.1", "attack.", "attack.t1110.001x",
	})
	if diff := cmp.Diff([]Tactic{{"TA0006", "Credential Access"}, {"TA0040", "Impact"}}, tactics); diff != "" {
		t.Errorf("the tactics differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Technique{{ID: "T1110"}, {ID: "T1110", Sub: "T1110.001"}}, techniques); diff != "" {
		t.Errorf("the techniques differ (-want +got):\n%s", diff)
	}
}

func TestRawTextIsBounded(t *testing.T) {
	a := &pb.AlertEvent{Logs: []*pb.LogEvent{{Message: strings.Repeat("ä", MaxRaw)}, {Raw: []byte("b\xff")}}}
	text, size := Raw(a)
	if len(text) != MaxRaw || size != 2*MaxRaw+1+4 || strings.Trim(text, "ä") != "" {
		t.Errorf("got %d of %d bytes, want %d of %d, whole characters", len(text), size, MaxRaw, 2*MaxRaw+5)
	}
	if text, size := Raw(&pb.AlertEvent{Logs: []*pb.LogEvent{{Raw: []byte("a\xff")}, {Message: "b"}}}); text != "a\uFFFD\nb" || size != 6 {
		t.Errorf("got %q, %d", text, size)
	}
}

func TestTheHostOfAnAlert(t *testing.T) {
	for _, test := range []struct {
		name string
		a    *pb.AlertEvent
		want string
	}{
		{"named", &pb.AlertEvent{Entities: []*pb.Field{{Key: "host", Value: "a"}}, Logs: []*pb.LogEvent{{Host: "b"}}}, "a"},
		{"of all lines", &pb.AlertEvent{Logs: []*pb.LogEvent{{Host: "b"}, {Host: "b"}}}, "b"},
		{"several", &pb.AlertEvent{Logs: []*pb.LogEvent{{Host: "b"}, {Host: "c"}}}, ""},
		{"none", &pb.AlertEvent{}, ""},
	} {
		if got := SubjectOf(test.a).Host; got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
