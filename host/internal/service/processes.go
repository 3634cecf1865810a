package service

import (
	"errors"

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
	pids, err := s.asked(ask.Pids)
	if err != nil {
		return nil, err
	}
	reply, l := new(pb.HostReply), &looker{buf: make([]byte, 64<<10)}
	for _, pid := range pids {
		if pid <= ask.After {
			continue
		}
		if len(reply.Processes) == maxProcesses {
			reply.More = true
			break
		}
		p, err := l.lookAt(pid)
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
