package cli

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestExchanging(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		status *ironpostv1.FleetStatus
		want   string
	}{
		{
			&ironpostv1.FleetStatus{Engine: "state-redis", Current: true, Since: timestamppb.New(at), Taken: 3, Shared: 4},
			"those of other hosts are known over state-redis since " + stamp(timestamppb.New(at)) + "; 3 followed, 4 told",
		},
		{
			&ironpostv1.FleetStatus{Engine: "state-redis", Since: timestamppb.New(at), Error: "away", Taken: 3},
			"cut off from other hosts since " + stamp(timestamppb.New(at)) + " (away); 3 followed, 0 told",
		},
	} {
		if got := exchanging(tt.status); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestCounting(t *testing.T) {
	since := timestamppb.New(time.Date(2026, 7, 5, 12, 0, 0, 0, time.UTC))
	at := stamp(since)
	counts := []*ironpostv1.Count{{Name: "together", Value: 7}}
	for _, c := range []struct {
		status *ironpostv1.SharedStatus
		want   string
	}{
		{&ironpostv1.SharedStatus{Keys: 3, Counts: []*ironpostv1.Count{{Name: "alone", Value: 9}}}, "on this host alone; 3 keys, 0 waiting (alone 9)"},
		{&ironpostv1.SharedStatus{Engine: "state-redis", Reachable: true, Since: since, Counts: counts}, "with other hosts over state-redis since " + at + "; 0 keys, 0 waiting (together 7)"},
		{&ironpostv1.SharedStatus{Engine: "state-redis", Since: since, Error: "refused", Waiting: 5}, "alone since " + at + ", state-redis is away (refused); 0 keys, 5 waiting"},
		{&ironpostv1.SharedStatus{Since: since}, "alone since " + at + ", the state plugin does not run; 0 keys, 0 waiting"},
	} {
		if got := counting(c.status); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
