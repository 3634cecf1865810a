package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Bounds of what one plugin may have under way.
const (
	maxCommands  = 4
	maxCalls     = 64
	maxReadBytes = 512 << 10
	maxArgs      = 64
	maxArgBytes  = 8 << 10
)

// command says how a command may be run.
type command struct {
	// flags may be given as they are; options with a value behind "=".
	flags, options []string
}

// commands is the table of what the host runs for plugins.
func commands() map[string]command {
	return map[string]command{
		"journalctl": {
			flags: []string{"-f", "--follow", "--no-pager", "--no-tail", "-q", "--quiet", "-a", "--all", "-b", "--boot", "--utc", "-k", "--dmesg", "--version"},
			options: []string{
				"--output", "--output-fields", "--lines", "--after-cursor", "--cursor", "--since", "--until",
				"--unit", "--identifier", "--priority", "--boot", "--facility",
			},
		},
	}
}

// check refuses what the table does not admit.
func check(name string, args []string) error {
	c, ok := commands()[name]
	if !ok {
		return fmt.Errorf("command %q is none that the host runs", name)
	}
	if len(args) > maxArgs {
		return fmt.Errorf("%s: %d arguments, at most %d are allowed", name, len(args), maxArgs)
	}
	for _, a := range args {
		option, _, hasValue := strings.Cut(a, "=")
		switch {
		case len(a) > maxArgBytes || strings.ContainsAny(a, "\x00\n"):
			return fmt.Errorf("%s: an argument is too long or holds control characters", name)
		case hasValue && slices.Contains(c.options, option):
		case !hasValue && slices.Contains(c.flags, a):
		default:
			return fmt.Errorf("%s: argument %q is not admitted; write options as --name=value", name, a)
		}
	}
	return nil
}

// Grants are what one plugin may ask of the host.
type Grants struct {
	// Commands are the names of the commands that it may have run.
	Commands []string
	// Services are the names of other services.
	Services []string
	// Changed is told of targets to which something happened; nil is told of none.
	Changed func(targets []string)
	// Shared counts; nil counts nothing.
	Shared SharedFunc
}

// Services are the names of the services that can be granted besides commands.
func Services() []string { return []string{processService, targetService, sharedService} }

// Tally counts a plugin's calls over all its processes. It is safe for
// concurrent use.
type Tally struct{ calls, refused atomic.Uint64 }

// Calls is the number of calls so far.
func (t *Tally) Calls() uint64 { return t.calls.Load() }

// Refused is the number of calls that were not granted or could not be done.
func (t *Tally) Refused() uint64 { return t.refused.Load() }

// Session serves one plugin's calls.
type Session struct {
	granted Grants
	log     hclog.Logger
	stream  grpc.BidiStreamingClient[pb.HostReply, pb.HostCall]
	sendMu  sync.Mutex
	mapping sync.Mutex // held while it is found out what processes have loaded

	mu      sync.Mutex
	next    uint64
	running map[uint64]*process
}

// process is a running command.
type process struct {
	cmd    *exec.Cmd
	output io.Reader
	cancel context.CancelFunc
	readMu sync.Mutex
	once   sync.Once
	err    error
}

// Serve answers calls on the stream until it ends or ctx is done, and then ends
// every command. What the plugin asks is counted in tally, unless that is nil.
func Serve(ctx context.Context, stream grpc.BidiStreamingClient[pb.HostReply, pb.HostCall], granted Grants, tally *Tally, log hclog.Logger) error {
	if tally == nil {
		tally = new(Tally)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &Session{granted: granted, log: log, stream: stream, running: make(map[uint64]*process)}
	var calls sync.WaitGroup
	defer func() {
		cancel() // ends the commands, and so the reads
		calls.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, p := range s.running {
			_ = p.wait() // who would have asked is gone
		}
	}()
	slots := make(chan struct{}, maxCalls)
	for {
		call, err := stream.Recv()
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		calls.Go(func() {
			defer func() { <-slots }()
			reply := s.handle(ctx, call)
			tally.calls.Add(1)
			if reply.Error != "" {
				tally.refused.Add(1)
			}
			s.reply(call.Id, reply)
		})
	}
}

func (s *Session) reply(id uint64, r *pb.HostReply) {
	r.Id = id
	s.sendMu.Lock()
	defer s.sendMu.Unlock()
	_ = s.stream.Send(r) // the end of the stream is seen by Recv
}

func (s *Session) handle(ctx context.Context, call *pb.HostCall) *pb.HostReply {
	switch c := call.Call.(type) {
	case *pb.HostCall_Run:
		handle, err := s.run(ctx, c.Run.Command, c.Run.Args)
		if err != nil {
			s.log.Warn("a command was not run", "command", c.Run.Command, "error", err)
			return &pb.HostReply{Error: err.Error()}
		}
		return &pb.HostReply{Handle: handle}
	case *pb.HostCall_Read:
		return s.read(c.Read.Handle, int(min(c.Read.MaxBytes, maxReadBytes)))
	case *pb.HostCall_Stop:
		s.stop(c.Stop.Handle)
		return &pb.HostReply{}
	case *pb.HostCall_Processes:
		reply, err := s.processes(c.Processes)
		if err != nil {
			s.log.Warn("the processes were not listed", "error", err)
			return &pb.HostReply{Error: err.Error()}
		}
		return reply
	case *pb.HostCall_Mapped:
		reply, err := s.mapped(c.Mapped)
		if err != nil {
			s.log.Warn("what processes have loaded was not told", "error", err)
			return &pb.HostReply{Error: err.Error()}
		}
		return reply
	case *pb.HostCall_Targets:
		if err := s.targets(c.Targets); err != nil {
			s.log.Warn("a report of targets was refused", "error", err)
			return &pb.HostReply{Error: err.Error()}
		}
		return &pb.HostReply{}
	case *pb.HostCall_Shared:
		reply, err := s.shared(ctx, c.Shared)
		if err != nil {
			s.log.Warn("operations on shared state were not carried out", "error", err)
			return &pb.HostReply{Error: err.Error()}
		}
		return reply
	}
	return &pb.HostReply{Error: "a call that this host does not know"}
}

func (s *Session) run(ctx context.Context, name string, args []string) (uint64, error) {
	if !slices.Contains(s.granted.Commands, name) {
		return 0, fmt.Errorf("command %q was not granted", name)
	}
	if err := check(name, args); err != nil {
		return 0, err
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return 0, fmt.Errorf("%s is absent: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.running) >= maxCommands {
		return 0, fmt.Errorf("%d commands run already, the most there may be", maxCommands)
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}
	confine(cmd)
	output, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return 0, fmt.Errorf("run %s: %w", name, err)
	}
	s.next++
	s.running[s.next] = &process{cmd: cmd, output: output, cancel: cancel}
	return s.next, nil
}

func (p *process) wait() error {
	p.once.Do(func() { p.err = p.cmd.Wait() })
	return p.err
}

func (s *Session) find(handle uint64) *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[handle]
}

func (s *Session) read(handle uint64, most int) *pb.HostReply {
	p := s.find(handle)
	if p == nil || most <= 0 {
		return &pb.HostReply{Error: "no such command is running"}
	}
	p.readMu.Lock()
	defer p.readMu.Unlock()
	buf := make([]byte, most)
	n, err := p.output.Read(buf)
	if n > 0 {
		return &pb.HostReply{Data: buf[:n]}
	}
	if err == nil {
		return &pb.HostReply{}
	}
	code := int32(0)
	if err := p.wait(); err != nil {
		code = -1
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = int32(exit.ExitCode())
		}
	}
	s.remove(handle)
	return &pb.HostReply{EndOfFile: true, ExitCode: code}
}

func (s *Session) stop(handle uint64) {
	p := s.find(handle)
	if p == nil {
		return
	}
	p.cancel()
	p.readMu.Lock() // the reader must be done with the pipe before Wait closes it
	defer p.readMu.Unlock()
	_ = p.wait() // killed on purpose
	s.remove(handle)
}

func (s *Session) remove(handle uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.running[handle]; p != nil {
		p.cancel()
		delete(s.running, handle)
	}
}
