package sdk

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-plugin"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestProcesses(t *testing.T) {
	var env Env
	base := pb.NewPluginClient(connect(t, Plugin{Setup: func(_ context.Context, e Env) error { env = e; return nil }}))
	if _, err := base.Configure(t.Context(), &pb.ConfigureRequest{}); err != nil {
		t.Fatal(err)
	}
	ctx, hostGone := context.WithCancel(t.Context())
	stream, err := base.HostServices(ctx)
	if err != nil {
		t.Fatal(err)
	}
	hostDone := make(chan struct{})
	go func() { // the host: two processes a reply, 1 to 5; of those asked for, 7 does not exist
		defer close(hostDone)
		for {
			c, err := stream.Recv()
			if err != nil {
				return
			}
			r := &pb.HostReply{Id: c.Id}
			ask := c.GetProcesses()
			switch {
			case len(ask.Pids) > 1:
				r.Error = `service "processes" was not granted`
			case len(ask.Pids) == 0:
				for pid := ask.After + 1; pid <= min(ask.After+2, 5); pid++ {
					r.Processes = append(r.Processes, &pb.Process{Pid: pid})
				}
				r.More = ask.After < 4
			case ask.Pids[0] != 7:
				r.Processes = []*pb.Process{{
					Pid: ask.Pids[0], Parent: 1, Uid: 33, Name: []byte("a\xff"), Executable: []byte("/bin/a (deleted)"), ControlGroup: []byte("/x"), StartedTicks: 9,
				}}
			}
			if stream.Send(r) != nil {
				return
			}
		}
	}()

	all, err := env.Processes.List(t.Context())
	var pids []int
	for _, p := range all {
		pids = append(pids, p.PID)
	}
	if diff := cmp.Diff([]int{1, 2, 3, 4, 5}, pids); err != nil || diff != "" {
		t.Errorf("all: %v (-want +got):\n%s", err, diff)
	}
	one, err := env.Processes.List(t.Context(), 42)
	want := []Process{{PID: 42, Parent: 1, UID: 33, Name: "a\xff", Executable: "/bin/a (deleted)", ControlGroup: "/x", StartedTicks: 9}}
	if diff := cmp.Diff(want, one); err != nil || diff != "" {
		t.Errorf("one: %v (-want +got):\n%s", err, diff)
	}
	if none, err := env.Processes.List(t.Context(), 7); err != nil || len(none) != 0 {
		t.Errorf("one that has ended: got %v, %v, want none", none, err)
	}
	if _, err := env.Processes.List(t.Context(), 1, 2); err == nil || !strings.Contains(err.Error(), "was not granted") {
		t.Errorf("refused: got %v, want the host's reason", err)
	}
	if _, err := env.Processes.List(t.Context(), -1); err == nil {
		t.Error("id -1: got no error")
	}
	hostGone()
	<-hostDone
	if _, err := env.Processes.List(t.Context()); err == nil {
		t.Error("without a host: got no error")
	}
}

func TestDockerSocket(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(plugin.EnvUnixSocketDir, dir)
	if got := dockerSocket(); got != "" {
		t.Errorf("without a grant: got %q, want nothing", got)
	}
	path := filepath.Join(dir, "docker.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := dockerSocket(); got != path {
		t.Errorf("with one: got %q, want %q", got, path)
	}
	if err := os.Unsetenv(plugin.EnvUnixSocketDir); err != nil {
		t.Fatal(err)
	}
	if got := dockerSocket(); got != "" {
		t.Errorf("without a directory: got %q, want nothing", got)
	}
}

func TestMapped(t *testing.T) {
	var env Env
	base := pb.NewPluginClient(connect(t, Plugin{Setup: func(_ context.Context, e Env) error { env = e; return nil }}))
	if _, err := base.Configure(t.Context(), &pb.ConfigureRequest{}); err != nil {
		t.Fatal(err)
	}
	ctx, hostGone := context.WithCancel(t.Context())
	stream, err := base.HostServices(ctx)
	if err != nil {
		t.Fatal(err)
	}
	lib := &pb.MappedFile{Path: []byte("/lib/c.so"), Device: 2, Inode: 3, Executed: true}
	pages := map[uint32]*pb.HostReply{ // by the last id that the plugin has
		0: {
			Mapped: []*pb.MappedProcess{{
				Process:        &pb.Process{Pid: 4, Name: []byte("a"), Container: strings.Repeat("c", 64), Delegate: "1000"},
				MountNamespace: 9, Root: []byte("/r"), OtherRoot: true, Files: []uint32{1, 0}, Program: true,
			}},
			Files: []*pb.MappedFile{lib, {Path: []byte("/\xff"), Deleted: true, Memory: true}},
			More:  true,
		},
		4: {Mapped: []*pb.MappedProcess{{Process: &pb.Process{Pid: 7}, Files: []uint32{0}, More: true, Unseen: true}}, Files: []*pb.MappedFile{lib}},
		8: {Mapped: []*pb.MappedProcess{{Files: []uint32{1}}}, Files: []*pb.MappedFile{lib}},
	}
	hostDone := make(chan struct{})
	go func() {
		defer close(hostDone)
		for {
			c, err := stream.Recv()
			if err != nil {
				return
			}
			at := c.GetMapped().GetAfter()
			if len(c.GetMapped().GetPids()) > 0 { // a host that is out of order
				at = 8
			}
			r := pages[at]
			r.Id = c.Id
			if stream.Send(r) != nil {
				return
			}
		}
	}()
	got, err := env.Processes.Mapped(t.Context())
	file := &MappedFile{Path: "/lib/c.so", Device: 2, Inode: 3, Executed: true}
	want := []MappedProcess{
		{
			Process:        Process{PID: 4, Name: "a", Container: strings.Repeat("c", 64), Delegate: "1000"},
			MountNamespace: 9, Root: "/r", OtherRoot: true, HasProgram: true,
			Files: []*MappedFile{{Path: "/\xff", Deleted: true, Memory: true}, file},
		},
		{Process: Process{PID: 7}, Files: []*MappedFile{file}, More: true, Unseen: true},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("all: %v (-want +got):\n%s", err, diff)
	}
	if len(got) == 2 && got[0].Files[1] != got[1].Files[0] {
		t.Error("the library of both processes is held twice")
	}
	if _, err := env.Processes.Mapped(t.Context(), 5); err == nil || !strings.Contains(err.Error(), "file 1 of 1") {
		t.Errorf("a file that was not told: got %v, want an error", err)
	}
	if _, err := env.Processes.Mapped(t.Context(), 0); err == nil {
		t.Error("id 0: got no error")
	}
	hostGone()
	<-hostDone
}

func TestStarted(t *testing.T) {
	since, ok := sinceBoot()
	if !ok {
		t.Skip("needs Linux")
	}
	now := time.Now()
	got, ok := Process{StartedTicks: uint64(since/(10*time.Millisecond)) - 100}.Started() // a second ago
	if d := now.Sub(got); !ok || d < 900*time.Millisecond || d > 30*time.Second {
		t.Errorf("got %v ago, %v, want about 1 s", d, ok)
	}
	if _, ok := (Process{StartedTicks: 1 << 63}).Started(); ok {
		t.Error("a start in ages: got a time, want none")
	}
}
