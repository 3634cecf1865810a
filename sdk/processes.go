package sdk

import (
	"context"
	"fmt"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Process is one process of the machine as the host sees it. Name, Executable
// and ControlGroup are what the process and its starter chose: they may hold any
// byte but NUL.
type Process struct {
	PID, Parent int
	// UID is the effective user.
	UID uint32
	// Name is what the process calls itself, at most 15 bytes.
	Name string
	// Executable is the path of its program, with " (deleted)" behind it when
	// the file is gone; "" for a kernel thread.
	Executable string
	// ControlGroup is its path among the control groups.
	ControlGroup string
	// StartedTicks is when it was started, in ticks of 10 ms since boot. With
	// PID it names the process for good.
	StartedTicks uint64
}

// Processes looks at the processes of the machine through the host, which
// answers once Setup has returned.
type Processes interface {
	// List returns the processes with these ids, those that exist, at most 256;
	// without ids all, in the order of their ids. A process that ends meanwhile
	// is left out.
	List(ctx context.Context, pids ...int) ([]Process, error)
}

// processes implements Processes. It is safe for concurrent use.
type processes struct{ host *commands }

// List implements Processes.
func (p processes) List(ctx context.Context, pids ...int) ([]Process, error) {
	ask := &pb.ListProcesses{}
	for _, pid := range pids {
		if pid <= 0 || pid > 1<<30 {
			return nil, fmt.Errorf("list processes: %d is no process id", pid)
		}
		ask.Pids = append(ask.Pids, uint32(pid))
	}
	var out []Process
	for {
		reply, err := p.host.call(ctx, &pb.HostCall{Call: &pb.HostCall_Processes{Processes: ask}}, nil)
		if err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		for _, q := range reply.Processes {
			out = append(out, Process{
				PID: int(q.Pid), Parent: int(q.Parent), UID: q.Uid, Name: string(q.Name), Executable: string(q.Executable),
				ControlGroup: string(q.ControlGroup), StartedTicks: q.StartedTicks,
			})
		}
		if !reply.More || len(reply.Processes) == 0 {
			return out, nil
		}
		ask = &pb.ListProcesses{Pids: ask.Pids, After: reply.Processes[len(reply.Processes)-1].Pid}
	}
}
