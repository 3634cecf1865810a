package isolate_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/isolate"
	"github.com/ironpost/ironpost/sdk/event"
)

// id makes the id of a container out of a digit.
func id(digit string) string { return strings.Repeat(digit, 64) }

func TestReachOf(t *testing.T) {
	all := []engine.Container{
		{ID: id("1"), Name: "alone", State: "running", NetworkMode: "front"},
		{ID: id("2"), Name: "owner", State: "running", NetworkMode: "front"},
		{ID: id("3"), Name: "member", State: "paused", NetworkMode: "container:" + id("2")},
		{ID: id("4"), Name: "chained", State: "running", NetworkMode: "container:" + id("3")},
		{ID: id("5"), Name: "ended", State: "exited", NetworkMode: "container:" + id("2")},
		{ID: id("6"), Name: "orphan", State: "running", NetworkMode: "container:" + id("f")},
		{ID: id("7"), Name: "host", State: "running", NetworkMode: "host"},
		{ID: id("8"), Name: "guest", State: "running", NetworkMode: "container:host"},
		{ID: id("9"), Name: "circle", State: "running", NetworkMode: "container:" + id("9")},
		{ID: id("a"), Name: "crashing", State: "restarting", NetworkMode: "front"},
	}
	for _, test := range []struct {
		name, id, owner string
		others          []string
		obstacle        string
	}{
		{"alone", id("1"), "alone", nil, ""},
		{"owner", id("2"), "owner", []string{"member", "chained"}, ""},
		{"member", id("3"), "owner", []string{"owner", "chained"}, ""},
		{"member of a member", id("4"), "owner", []string{"owner", "member"}, ""},
		{"not running", id("5"), "owner", []string{"owner", "member", "chained"}, "it is not running"},
		{"of one that is gone", id("6"), "", nil, "the network of a container that is gone"},
		{"host", id("7"), "host", []string{"guest"}, "the network of the host"},
		{"in the host's by name", id("8"), "host", []string{"host"}, "the network of the host"},
		{"circle", id("9"), "", nil, "the network of a container that is gone"},
		{"crashing", id("a"), "crashing", nil, ""},
		{"gone", id("0"), "", nil, "the container is gone"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := isolate.ReachOf(all, test.id)
			owner := ""
			if r.Owner != nil {
				owner = r.Owner.Name
			}
			var others []string
			for _, o := range r.Others {
				others = append(others, o.Name)
			}
			if d := cmp.Diff(test.others, others); d != "" || owner != test.owner || (test.obstacle == "") != (r.Obstacle == "") || !strings.Contains(r.Obstacle, test.obstacle) {
				t.Errorf("got owner %q, obstacle %q; want %q, %q; others (-want +got):\n%s", owner, r.Obstacle, test.owner, test.obstacle, d)
			}
		})
	}
}

// TestRead: what a request says comes back from the details of its intent.
func TestRead(t *testing.T) {
	want := isolate.Request{Action: "net-isolate", Container: id("1"), Networks: []string{"front", "back"}, Quarantine: true, Shared: []string{id("2"), id("3")}}
	got, err := isolate.Read(&event.ActionEvent{Action: want.Action, Target: want.Container, Details: want.Details()})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("request (-want +got):\n%s", d)
	}
	for name, bad := range map[string]*event.ActionEvent{
		"another verb": {Action: "remove", Target: id("1")}, "a verb without a change": {Action: "evidence", Target: id("1")},
		"a short id": {Action: "pause", Target: "123456789abc"}, "a path": {Action: "pause", Target: "../" + id("1")}, "no target": {Action: "pause"},
		"a shared one that is none": {Action: "pause", Target: id("1"), Details: []event.Field{{Key: "also_cut", Value: "x"}}},
	} {
		if _, err := isolate.Read(bad); !errors.Is(err, isolate.ErrRequest) {
			t.Errorf("%s: got %v, want ErrRequest", name, err)
		}
	}
}
