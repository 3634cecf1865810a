package service

import (
	"context"
	"errors"
	"fmt"
	"slices"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// sharedService is the name of the service that counts together with other hosts.
const sharedService = "shared"

// errNoShared is the error where nothing is counted.
var errNoShared = errors.New("this host counts nothing for plugins")

// SharedFunc carries out operations on what the plugin shares with itself on other hosts.
type SharedFunc func(ctx context.Context, req *pb.SharedRequest) (*pb.SharedReply, error)

func (s *Session) shared(ctx context.Context, req *pb.SharedRequest) (*pb.HostReply, error) {
	switch {
	case !slices.Contains(s.granted.Services, sharedService):
		return nil, fmt.Errorf("service %q was not granted", sharedService)
	case s.granted.Shared == nil:
		return nil, errNoShared
	}
	r, err := s.granted.Shared(ctx, req)
	if err != nil {
		return nil, err
	}
	return &pb.HostReply{Shared: r.Results}, nil
}
