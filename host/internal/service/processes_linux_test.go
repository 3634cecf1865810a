package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestProcesses(t *testing.T) {
	s := &Session{granted: Grants{Services: Services()}}
	own := uint32(os.Getpid())
	r, err := s.processes(&pb.ListProcesses{Pids: []uint32{own, 1, own, 1<<30 - 1}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Processes) != 2 || r.Processes[0].Pid != 1 || r.Processes[1].Pid != own || r.More {
		t.Fatalf("got %v, want processes 1 and %d, and no others", r, own)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(exe)
	if len(name) > 15 {
		name = name[:15]
	}
	got := r.Processes[1]
	if string(got.Executable) != exe || string(got.Name) != name || got.Uid != uint32(os.Geteuid()) || got.Parent != uint32(os.Getppid()) || got.StartedTicks == 0 || len(got.ControlGroup) == 0 {
		t.Errorf("got %v, want what this process is", got)
	}

	// All of them, a page at a time.
	seen := map[uint32]bool{}
	ask := &pb.ListProcesses{}
	for {
		r, err := s.processes(ask)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Processes {
			if seen[p.Pid] || p.Pid <= ask.After {
				t.Fatalf("process %d comes twice", p.Pid)
			}
			seen[p.Pid] = true
		}
		if !r.More {
			break
		}
		ask = &pb.ListProcesses{After: r.Processes[len(r.Processes)-1].Pid}
	}
	if !seen[own] || !seen[1] {
		t.Errorf("got %d processes, want this one and the first among them", len(seen))
	}
	if _, err := s.processes(&pb.ListProcesses{Pids: make([]uint32, maxProcessIDs+1)}); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("too many ids: got %v, want an error", err)
	}
}

func TestParseStat(t *testing.T) {
	const line = "77 (a) R 1 (b\n) S 42 77 77 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 0 0"
	got, err := parseStat([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	want := &pb.Process{Parent: 42, StartedTicks: 12345, Name: []byte("a) R 1 (b\n")}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("process (-want +got):\n%s", diff)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("77 (a) R 1 (b\n) S 42 77 77 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 0 0"))
	f.Add([]byte(")("))
	f.Add([]byte("1 () S"))
	f.Fuzz(func(t *testing.T, stat []byte) {
		p, err := parseStat(stat)
		if err == nil && len(p.Name) > len(stat) {
			t.Fatalf("%q gives a name of %d bytes", stat, len(p.Name))
		}
	})
}

func TestControlGroup(t *testing.T) {
	for _, tt := range []struct{ name, groups, want string }{
		{"version 2", "0::/system.slice/cron.service\n", "/system.slice/cron.service"},
		{"both", "9:pids:/x\n1:memory:/docker/abc\n0::/y\n", "/y"},
		{"version 1", "9:pids:/\n1:memory:/docker/abc\n0::/\n", "/docker/abc"},
		{"a colon in the path", "0::/a:b\n", "/a:b"},
		{"nothing", "", "/"},
		{"rubbish", "x\n:\n", "/"},
	} {
		if got := string(controlGroup([]byte(tt.groups))); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
