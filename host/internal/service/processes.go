package service

import (
	"errors"
	"fmt"
	"slices"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// processService is the name of the service that lists processes.
const processService = "processes"

// Bounds of one reply, which stays far below the largest message: a path has at
// most 4096 bytes.
const (
	maxProcesses  = 256
	maxProcessIDs = 256
)

// errNoProcess says that a process has ended.
var errNoProcess = errors.New("no such process")

func (s *Session) processes(ask *pb.ListProcesses) (*pb.HostReply, error) {
	if !slices.Contains(s.granted.Services, processService) {
		return nil, fmt.Errorf("service %q was not granted", processService)
	}
	if len(ask.Pids) > maxProcessIDs {
		return nil, fmt.Errorf("%d process ids, at most %d are looked at", len(ask.Pids), maxProcessIDs)
	}
	pids := slices.Clone(ask.Pids)
	if len(pids) == 0 {
		var err error
		if pids, err = processIDs(); err != nil {
			return nil, err
		}
	}
	slices.Sort(pids)
	reply := new(pb.HostReply)
	for _, pid := range slices.Compact(pids) {
		if pid <= ask.After {
			continue
		}
		if len(reply.Processes) == maxProcesses {
			reply.More = true
			break
		}
		p, err := lookAt(pid)
		if errors.Is(err, errNoProcess) {
			continue
		}
		if err != nil {
			return nil, err
		}
		reply.Processes = append(reply.Processes, p)
	}
	return reply, nil
}
