package service

import (
	"context"
	"errors"
	"testing"

	"github.com/hashicorp/go-hclog"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestShared(t *testing.T) {
	call := &pb.HostCall{Call: &pb.HostCall_Shared{Shared: &pb.SharedRequest{Operations: []*pb.SharedOperation{{Key: []byte("k")}}}}}
	counts := func(_ context.Context, req *pb.SharedRequest) (*pb.SharedReply, error) {
		if len(req.Operations) != 1 || string(req.Operations[0].Key) != "k" {
			t.Errorf("got %v, want what the plugin sent", req)
		}
		return &pb.SharedReply{Results: []*pb.SharedResult{{Count: 7, Done: true}}}, nil
	}
	for _, c := range []struct {
		name    string
		granted Grants
		want    string
	}{
		{"granted", Grants{Services: []string{sharedService}, Shared: counts}, ""},
		{"another service", Grants{Services: []string{targetService}, Shared: counts}, `service "shared" was not granted`},
		{"a host that counts nothing", Grants{Services: []string{sharedService}}, errNoShared.Error()},
		{"an error", Grants{Services: []string{sharedService}, Shared: func(context.Context, *pb.SharedRequest) (*pb.SharedReply, error) {
			return nil, errors.New("a key of 0 bytes")
		}}, "a key of 0 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &Session{granted: c.granted, log: hclog.NewNullLogger()}
			r := s.handle(t.Context(), call)
			if r.Error != c.want {
				t.Errorf("got error %q, want %q", r.Error, c.want)
			}
			if c.want == "" && (len(r.Shared) != 1 || r.Shared[0].Count != 7 || !r.Shared[0].Done) {
				t.Errorf("got %v", r.Shared)
			}
		})
	}
}
