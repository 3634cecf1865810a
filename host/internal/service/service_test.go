package service

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name, command string
		args          []string
		want          string // in the error; "" admits
	}{
		{"follow", "journalctl", []string{"--follow", "--output=json", "--lines=0", "--after-cursor=s=1;i=2"}, ""},
		{"no such command", "sh", []string{"-c", "id"}, "none that the host runs"},
		{"an option that writes", "journalctl", []string{"--rotate"}, "not admitted"},
		{"an option that deletes", "journalctl", []string{"--vacuum-size=1"}, "not admitted"},
		{"a file elsewhere", "journalctl", []string{"--file=/etc/shadow"}, "not admitted"},
		{"another root", "journalctl", []string{"--root=/"}, "not admitted"},
		{"a bare word", "journalctl", []string{"_UID=0"}, "not admitted"},
		{"an option without its value", "journalctl", []string{"--output", "json"}, "not admitted"},
		{"a line feed", "journalctl", []string{"--since=a\nb"}, "control characters"},
		{"too long", "journalctl", []string{"--since=" + strings.Repeat("x", maxArgBytes)}, "too long"},
		{"too many", "journalctl", make([]string, maxArgs+1), "at most"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := check(c.command, c.args)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("check: %v, want it admitted", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("check: %v, want an error with %q", err, c.want)
			}
		})
	}
}

// pipe is the host's end of a HostServices stream whose other end is the test.
type pipe struct {
	grpc.ClientStream
	ctx     context.Context //nolint:containedctx // a stream has one
	calls   chan *pb.HostCall
	replies chan *pb.HostReply
}

func (p *pipe) Send(r *pb.HostReply) error {
	select {
	case p.replies <- r:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

func (p *pipe) Recv() (*pb.HostCall, error) {
	select {
	case c, ok := <-p.calls:
		if !ok {
			return nil, io.EOF
		}
		return c, nil
	case <-p.ctx.Done():
		return nil, p.ctx.Err()
	}
}

func TestServeRefusesWhatWasNotGranted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	p := &pipe{ctx: ctx, calls: make(chan *pb.HostCall), replies: make(chan *pb.HostReply, 1)}
	done := make(chan error, 1)
	var tally Tally
	go func() { done <- Serve(ctx, p, Grants{}, &tally, hclog.NewNullLogger()) }()
	ask := func(c *pb.HostCall) *pb.HostReply {
		t.Helper()
		select {
		case p.calls <- c:
		case <-ctx.Done():
			t.Fatal("the call was not taken")
		}
		select {
		case r := <-p.replies:
			return r
		case <-ctx.Done():
			t.Fatal("no reply")
		}
		return nil
	}
	r := ask(&pb.HostCall{Id: 7, Call: &pb.HostCall_Run{Run: &pb.RunCommand{Command: "journalctl"}}})
	if r.Id != 7 || !strings.Contains(r.Error, "not granted") {
		t.Errorf("reply %v, want a refusal under id 7", r)
	}
	r = ask(&pb.HostCall{Id: 8, Call: &pb.HostCall_Read{Read: &pb.ReadCommand{Handle: 99, MaxBytes: 10}}})
	if r.Error == "" {
		t.Errorf("reply %v to a read of nothing, want an error", r)
	}
	r = ask(&pb.HostCall{Id: 9})
	if r.Error == "" {
		t.Errorf("reply %v to an empty call, want an error", r)
	}
	r = ask(&pb.HostCall{Id: 10, Call: &pb.HostCall_Processes{Processes: &pb.ListProcesses{}}})
	if !strings.Contains(r.Error, "not granted") || len(r.Processes) != 0 {
		t.Errorf("reply %v, want a refusal to list processes", r)
	}
	if tally.Calls() != 4 || tally.Refused() != 4 {
		t.Errorf("got %d calls, %d refused, want 4 and 4", tally.Calls(), tally.Refused())
	}
	close(p.calls)
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}
