package sdk

import (
	"context"
	"fmt"
	"time"

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
	// Container is the id of the container that it runs in, 64 hexadecimal digits, as
	// its control group tells; "" outside of containers.
	Container string
	// Delegate is the user who may make such a control group up himself ("1000"); ""
	// where only root can.
	Delegate string
}

// Started is when the process was started, by the clock of now; false when that cannot
// be told.
func (p Process) Started() (time.Time, bool) {
	since, ok := sinceBoot()
	if !ok || p.StartedTicks > 1<<40 {
		return time.Time{}, false
	}
	const tick = 10 * time.Millisecond
	return time.Now().Add(time.Duration(p.StartedTicks)*tick - since), true
}

// MappedProcess is a process with what it has loaded.
type MappedProcess struct {
	Process
	// MountNamespace is the number of its mount namespace; 0 is not known.
	MountNamespace uint64
	// Root is its root directory, as the host's kernel writes it. OtherRoot is true
	// when that is another directory than the host's: its files are then those of a
	// container or of another tree, whatever their paths are.
	Root      string
	OtherRoot bool
	// Files are those that it executes, has mapped to be executed, or has open and
	// whose names are those of archives that interpreters run; each once. HasProgram
	// says that the first is its program. They are shared, and not to be changed.
	Files      []*MappedFile
	HasProgram bool
	// More is true when there are more Files than are told: beyond 4096 files, 512
	// KiB of paths, 4096 open files, or 16 MiB of the kernel's table.
	More bool
	// Unseen is true when the host may not look into the process; what is told of it
	// is not all.
	Unseen bool
}

// MappedFile is a file that a process has loaded.
type MappedFile struct {
	// Path is where it is, from the root of the process's mount namespace. It may hold
	// any byte but NUL.
	Path string
	// Device, as stat(2) has it, and Inode are as the kernel tells them of a mapping: in
	// file systems that lie over others (overlay, btrfs) they may not be those of
	// stat(2).
	Device, Inode uint64
	// Deleted is true when Path is gone, or leads to another file by now.
	Deleted bool
	// Memory is true when the file never was in a folder: memfd_create(2), shared
	// memory. Path is then a name that the program chose.
	Memory bool
	// Executed is true when it is executed or mapped to be; else it is an archive.
	Executed bool
}

// Processes looks at the processes of the machine through the host, which
// answers once Setup has returned.
type Processes interface {
	// List returns the processes with these ids, those that exist, at most 256;
	// without ids all, in the order of their ids. A process that ends meanwhile
	// is left out.
	List(ctx context.Context, pids ...int) ([]Process, error)
	// Mapped returns what the processes with these ids have loaded, at most 256;
	// without ids all, in the order of their ids. It costs the host about 0.1 ms for
	// each: ask List for those that are new, and Mapped about them. Left out is a
	// process that ends meanwhile, and one that has loaded nothing, as threads of the
	// kernel have.
	Mapped(ctx context.Context, pids ...int) ([]MappedProcess, error)
}

// processes implements Processes. It is safe for concurrent use.
type processes struct{ host *commands }

// List implements Processes.
func (p processes) List(ctx context.Context, pids ...int) ([]Process, error) {
	ids, err := processIDs(pids)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	ask := &pb.ListProcesses{Pids: ids}
	var out []Process
	for {
		reply, err := p.host.call(ctx, &pb.HostCall{Call: &pb.HostCall_Processes{Processes: ask}}, nil)
		if err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		for _, q := range reply.Processes {
			out = append(out, process(q))
		}
		if !reply.More || len(reply.Processes) == 0 {
			return out, nil
		}
		ask = &pb.ListProcesses{Pids: ask.Pids, After: reply.Processes[len(reply.Processes)-1].Pid}
	}
}

// Mapped implements Processes.
func (p processes) Mapped(ctx context.Context, pids ...int) ([]MappedProcess, error) {
	ids, err := processIDs(pids)
	if err != nil {
		return nil, fmt.Errorf("ask what processes have loaded: %w", err)
	}
	ask := &pb.ListMapped{Pids: ids}
	known := make(map[MappedFile]*MappedFile) // of several replies
	var out []MappedProcess
	for {
		reply, err := p.host.call(ctx, &pb.HostCall{Call: &pb.HostCall_Mapped{Mapped: ask}}, nil)
		if err != nil {
			return nil, fmt.Errorf("ask what processes have loaded: %w", err)
		}
		files := make([]*MappedFile, 0, len(reply.Files))
		for _, f := range reply.Files {
			own := MappedFile{Path: string(f.Path), Device: f.Device, Inode: f.Inode, Deleted: f.Deleted, Memory: f.Memory, Executed: f.Executed}
			if known[own] == nil {
				known[own] = &own
			}
			files = append(files, known[own])
		}
		for _, m := range reply.Mapped {
			q := MappedProcess{
				Process: process(m.Process), MountNamespace: m.MountNamespace, Root: string(m.Root), OtherRoot: m.OtherRoot,
				HasProgram: m.Program, More: m.More, Unseen: m.Unseen, Files: make([]*MappedFile, 0, len(m.Files)),
			}
			for _, i := range m.Files {
				if int64(i) >= int64(len(files)) {
					return nil, fmt.Errorf("ask what processes have loaded: the host tells of file %d of %d", i, len(files))
				}
				q.Files = append(q.Files, files[i])
			}
			out = append(out, q)
		}
		if !reply.More || len(reply.Mapped) == 0 {
			return out, nil
		}
		ask = &pb.ListMapped{Pids: ask.Pids, After: reply.Mapped[len(reply.Mapped)-1].GetProcess().GetPid()}
	}
}

// processIDs turns ids into what they are on the wire.
func processIDs(pids []int) ([]uint32, error) {
	var out []uint32
	for _, pid := range pids {
		if pid <= 0 || pid > 1<<30 {
			return nil, fmt.Errorf("%d is no process id", pid)
		}
		out = append(out, uint32(pid))
	}
	return out, nil
}

// process turns what came over the wire into a Process.
func process(q *pb.Process) Process {
	return Process{
		PID: int(q.GetPid()), Parent: int(q.GetParent()), UID: q.GetUid(), Name: string(q.GetName()), Executable: string(q.GetExecutable()),
		ControlGroup: string(q.GetControlGroup()), StartedTicks: q.GetStartedTicks(), Container: q.GetContainer(), Delegate: q.GetDelegate(),
	}
}
