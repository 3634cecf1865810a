//go:build linux

package control_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestErrorsSurviveTheWire(t *testing.T) {
	f := &fake{}
	_, client := serve(t, control.Config{Backend: f.backend()})
	for _, sentinel := range []error{
		control.ErrNotFound, control.ErrInvalid, control.ErrNotSupported, control.ErrConflict,
		control.ErrDenied, control.ErrBusy, control.ErrNotRunning,
	} {
		f.err = fmt.Errorf("%w: words for a person", sentinel)
		_, err := client.PluginInfo(t.Context(), &ironpostv1.PluginRequest{Name: "x"})
		if !errors.Is(err, sentinel) {
			t.Errorf("unary: got %v, want it to wrap %v", err, sentinel)
		}
		if want := f.err.Error(); err == nil || err.Error() != want {
			t.Errorf("unary: got %v, want the words %q", err, want)
		}
		stream, err := client.Query(t.Context(), &ironpostv1.QueryRequest{Kind: ironpostv1.Kind_KIND_ALERT, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); !errors.Is(err, sentinel) {
			t.Errorf("stream: got %v, want it to wrap %v", err, sentinel)
		}
	}
	f.err = errors.New("disk full")
	if _, err := client.PluginInfo(t.Context(), &ironpostv1.PluginRequest{Name: "x"}); err == nil || err.Error() != "disk full" {
		t.Errorf("got %v, want disk full", err)
	}
}

func TestMissingPartsAreNotSupported(t *testing.T) {
	_, client := serve(t, control.Config{})
	ctx := t.Context()
	block := &ironpostv1.BlockRequest{Prefix: "192.0.2.1"}
	plugin := &ironpostv1.PluginRequest{Name: "x"}
	calls := map[string]func() error{
		"Status":         func() error { _, err := client.Status(ctx, nil); return err },
		"ListPlugins":    func() error { _, err := client.ListPlugins(ctx, nil); return err },
		"PluginInfo":     func() error { _, err := client.PluginInfo(ctx, plugin); return err },
		"EnablePlugin":   func() error { _, err := client.EnablePlugin(ctx, plugin); return err },
		"DisablePlugin":  func() error { _, err := client.DisablePlugin(ctx, plugin); return err },
		"ReloadPlugin":   func() error { _, err := client.ReloadPlugin(ctx, plugin); return err },
		"RemovePlugin":   func() error { _, err := client.RemovePlugin(ctx, plugin); return err },
		"PluginTrust":    func() error { _, err := client.PluginTrust(ctx, nil); return err },
		"ListRules":      func() error { _, err := client.ListRules(ctx, nil); return err },
		"UpdateAlert":    func() error { _, err := client.UpdateAlert(ctx, nil); return err },
		"AddBlock":       func() error { _, err := client.AddBlock(ctx, block); return err },
		"ListBlockLists": func() error { _, err := client.ListBlockLists(ctx, nil); return err },
		"RemoveBlockList": func() error {
			_, err := client.RemoveBlockList(ctx, &ironpostv1.BlockListRequest{Name: "x"})
			return err
		},
		"AddBlockRule": func() error {
			_, err := client.AddBlockRule(ctx, &ironpostv1.BlockRuleRequest{Name: "x", Protocol: "udp"})
			return err
		},
		"RemoveBlockRule": func() error {
			_, err := client.RemoveBlockRule(ctx, &ironpostv1.RemoveBlockRuleRequest{Name: "x"})
			return err
		},
		"ListBlockRules":   func() error { _, err := client.ListBlockRules(ctx, nil); return err },
		"RemoveBlock":      func() error { _, err := client.RemoveBlock(ctx, block); return err },
		"ListBlocks":       func() error { _, err := client.ListBlocks(ctx, nil); return err },
		"AddAllow":         func() error { _, err := client.AddAllow(ctx, block); return err },
		"RemoveAllow":      func() error { _, err := client.RemoveAllow(ctx, block); return err },
		"ListAllows":       func() error { _, err := client.ListAllows(ctx, nil); return err },
		"CheckAddress":     func() error { _, err := client.CheckAddress(ctx, block); return err },
		"GetMode":          func() error { _, err := client.GetMode(ctx, nil); return err },
		"SetMode":          func() error { _, err := client.SetMode(ctx, nil); return err },
		"ShowConfig":       func() error { _, err := client.ShowConfig(ctx, nil); return err },
		"ReloadConfig":     func() error { _, err := client.ReloadConfig(ctx, nil); return err },
		"ListQuarantine":   func() error { _, err := client.ListQuarantine(ctx, nil); return err },
		"ShowQuarantine":   func() error { _, err := client.ShowQuarantine(ctx, nil); return err },
		"ReplayQuarantine": func() error { _, err := client.ReplayQuarantine(ctx, nil); return err },
		"DropQuarantine":   func() error { _, err := client.DropQuarantine(ctx, nil); return err },
		"ListIntents":      func() error { _, err := client.ListIntents(ctx, nil); return err },
		"PlanAnswer":       func() error { _, err := client.PlanAnswer(ctx, nil); return err },
		"Isolate":          func() error { _, err := client.Isolate(ctx, nil); return err },
		"ReleaseIntents":   func() error { _, err := client.ReleaseIntents(ctx, nil); return err },
		"ApproveIntent":    func() error { _, err := client.ApproveIntent(ctx, nil); return err },
		"DisableGuard":     func() error { _, err := client.DisableGuard(ctx, nil); return err },
		"EnableGuard":      func() error { _, err := client.EnableGuard(ctx, nil); return err },
		"ListEvidence":     func() error { _, err := client.ListEvidence(ctx, nil); return err },
		"AddSilence":       func() error { _, err := client.AddSilence(ctx, nil); return err },
		"ListSilences":     func() error { _, err := client.ListSilences(ctx, nil); return err },
		"RemoveSilence":    func() error { _, err := client.RemoveSilence(ctx, nil); return err },
		"Filters":          func() error { _, err := client.Filters(ctx, nil); return err },
		"AttachFilters":    func() error { _, err := client.AttachFilters(ctx, nil); return err },
		"DetachFilters":    func() error { _, err := client.DetachFilters(ctx, nil); return err },
		"DumpFilter":       func() error { _, err := client.DumpFilter(ctx, nil); return err },
		"CaptureDropped": func() error {
			s, err := client.CaptureDropped(ctx, nil)
			if err == nil {
				_, err = s.Recv()
			}
			return err
		},
		"TailEvents": func() error {
			s, err := client.TailEvents(ctx, nil)
			if err == nil {
				_, err = s.Recv()
			}
			return err
		},
		"PluginLogs": func() error {
			s, err := client.PluginLogs(ctx, nil)
			if err == nil {
				_, err = s.Recv()
			}
			return err
		},
		"Query": func() error {
			s, err := client.Query(ctx, nil)
			if err == nil {
				_, err = s.Recv()
			}
			return err
		},
		"ImportBlocks": func() error {
			s, err := client.ImportBlocks(ctx)
			if err == nil {
				_, err = s.CloseAndRecv()
			}
			return err
		},
	}
	for _, m := range ironpostv1.Control_ServiceDesc.Methods {
		if calls[m.MethodName] == nil {
			t.Errorf("%s is not tried", m.MethodName)
		}
	}
	for _, m := range ironpostv1.Control_ServiceDesc.Streams {
		if calls[m.StreamName] == nil {
			t.Errorf("%s is not tried", m.StreamName)
		}
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, control.ErrNotSupported) || !strings.Contains(err.Error(), "host") {
			t.Errorf("%s: got %v, want %v in words", name, err, control.ErrNotSupported)
		}
	}
}

func TestRequestsAreChecked(t *testing.T) {
	f := &fake{}
	_, client := serve(t, control.Config{Backend: f.backend()})
	ctx := t.Context()
	tests := []struct {
		name string
		call func() error
	}{
		{"no plugin", func() error { _, err := client.PluginInfo(ctx, &ironpostv1.PluginRequest{}); return err }},
		{"long plugin", func() error {
			_, err := client.PluginInfo(ctx, &ironpostv1.PluginRequest{Name: strings.Repeat("x", 5000)})
			return err
		}},
		{"no address", func() error {
			_, err := client.AddBlock(ctx, &ironpostv1.BlockRequest{Prefix: "example.org"})
			return err
		}},
		{"negative ttl", func() error {
			_, err := client.AddBlock(ctx, &ironpostv1.BlockRequest{Prefix: "192.0.2.1", TtlSeconds: -1})
			return err
		}},
		{"no mode", func() error { _, err := client.SetMode(ctx, &ironpostv1.ModeRequest{Mode: "off"}); return err }},
		{"no alert state", func() error {
			_, err := client.UpdateAlert(ctx, &ironpostv1.UpdateRequest{AlertId: "0011223344", State: "gone"})
			return err
		}},
		{"short alert id", func() error {
			_, err := client.UpdateAlert(ctx, &ironpostv1.UpdateRequest{AlertId: "0011", State: "closed"})
			return err
		}},
		{"query of raw records", func() error {
			s, err := client.Query(ctx, &ironpostv1.QueryRequest{Kind: ironpostv1.Kind_KIND_RAW})
			if err == nil {
				_, err = s.Recv()
			}
			return err
		}},
	}
	for _, tt := range tests {
		if err := tt.call(); !errors.Is(err, control.ErrInvalid) {
			t.Errorf("%s: got %v, want %v", tt.name, err, control.ErrInvalid)
		}
	}
	_, err := client.UpdateAlert(ctx, &ironpostv1.UpdateRequest{AlertId: "ffffffffff", State: "closed"})
	if !errors.Is(err, control.ErrNotFound) {
		t.Errorf("unknown alert: got %v, want %v", err, control.ErrNotFound)
	}
}

func TestActorIsTheCallerAndNotWhatItSays(t *testing.T) {
	f := &fake{}
	_, client := serve(t, control.Config{Backend: f.backend()})
	_, err := client.UpdateAlert(t.Context(), &ironpostv1.UpdateRequest{AlertId: "0011223344", State: "closed", Actor: "somebody"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.updates[0].GetActor(), (control.Caller{UID: uint32(os.Getuid())}).Name(); got != want {
		t.Errorf("got actor %q, want %q", got, want)
	}
}

func TestChangesAreAudited(t *testing.T) {
	f := &fake{}
	var mu sync.Mutex
	var changes []control.Change
	_, client := serve(t, control.Config{Backend: f.backend(), Audit: func(c control.Change) {
		mu.Lock()
		defer mu.Unlock()
		changes = append(changes, c)
	}})
	ctx := t.Context()
	_, _ = client.Status(ctx, nil)
	if _, err := client.AddBlock(ctx, &ironpostv1.BlockRequest{Prefix: "192.0.2.7", Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	_, _ = client.AddBlock(ctx, &ironpostv1.BlockRequest{Prefix: "nonsense"})
	chunk := chunkOf("192.0.2.7/32", "192.0.2.8/32")
	chunk.Options, chunk.Total = &ironpostv1.ImportOptions{List: "drop"}, 2
	if _, err := importAll(t, client, chunk); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	var got []string
	for _, c := range changes {
		if c.Caller.PID != int32(os.Getpid()) || c.Caller.UID != uint32(os.Getuid()) {
			t.Errorf("got caller %+v, want this process", c.Caller)
		}
		got = append(got, fmt.Sprintf("%s %s %v", c.Action, c.Request, errors.Is(c.Err, control.ErrInvalid)))
	}
	want := []string{
		`block add {"prefix":"192.0.2.7","ttl_seconds":0,"reason":"r","limit":0,"burst":0,"monitor":false,"dry_run":false} false`,
		`block add {"prefix":"nonsense","ttl_seconds":0,"reason":"","limit":0,"burst":0,"monitor":false,"dry_run":false} true`,
		`block import {"added":2,"unchanged":0,"refused":0,"problems":[],"removed":0,"skipped":0,"dry_run":false,"list":{"name":"drop","networks":0,"reason":"","created":"","expires":""}} false`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("audit log differs (-want +got):\n%s", diff)
	}
}

// TestBurst makes more concurrent calls than a connection takes at a time, with
// answers larger than a socket's default buffer.
func TestBurst(t *testing.T) {
	f := &fake{}
	_, client := serve(t, control.Config{Backend: f.backend()})
	for i := range 1000 {
		f.entries = append(f.entries, control.Entry{Prefix: mustPrefix(t, fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255))})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			resp, err := client.ListBlocks(ctx, &ironpostv1.ListBlocksRequest{Limit: 1000})
			if err != nil || len(resp.GetBlocks()) != 1000 {
				t.Errorf("got %d blocks, %v, want 1000", len(resp.GetBlocks()), err)
			}
		})
	}
	wg.Wait()
}

func TestListen(t *testing.T) {
	t.Run("mode and owner", func(t *testing.T) {
		old := syscall.Umask(0)
		defer syscall.Umask(old)
		dir := filepath.Join(t.TempDir(), "new", "dir")
		socket := filepath.Join(dir, "s")
		server, _ := serve(t, control.Config{Socket: socket})
		if server.Socket() != socket {
			t.Errorf("got socket %s", server.Socket())
		}
		info, err := os.Stat(socket)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o660 {
			t.Errorf("got mode %v, want 0660", info.Mode().Perm())
		}
		if info, err = os.Stat(dir); err != nil || info.Mode().Perm()&0o022 != 0 {
			t.Errorf("got directory %v, %v, want it writable by its owner alone", info.Mode(), err)
		}
	})
	t.Run("another host answers", func(t *testing.T) {
		socket := filepath.Join(t.TempDir(), "s")
		serve(t, control.Config{Socket: socket})
		if _, err := control.Listen(t.Context(), control.Config{Socket: socket}); !errors.Is(err, control.ErrInUse) {
			t.Errorf("got %v, want %v", err, control.ErrInUse)
		}
	})
	t.Run("somebody else answers", func(t *testing.T) {
		socket := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if _, err := control.Listen(t.Context(), control.Config{Socket: socket}); !errors.Is(err, control.ErrInUse) {
			t.Errorf("got %v, want %v", err, control.ErrInUse)
		}
	})
	t.Run("stale socket is replaced", func(t *testing.T) {
		socket := filepath.Join(t.TempDir(), "s")
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		_, client := serve(t, control.Config{Socket: socket, Backend: (&fake{}).backend()})
		if _, err := client.Status(t.Context(), nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("file is kept", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := control.Listen(t.Context(), control.Config{Socket: path}); err == nil {
			t.Error("got no error, want one")
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
			t.Errorf("got %q, %v", b, err)
		}
	})
	t.Run("long path", func(t *testing.T) {
		path := filepath.Join("/tmp", strings.Repeat("x", 120))
		if _, err := control.Listen(t.Context(), control.Config{Socket: path}); !errors.Is(err, control.ErrInvalid) {
			t.Errorf("listen: got %v, want %v", err, control.ErrInvalid)
		}
		if _, err := control.Dial(t.Context(), path); !errors.Is(err, control.ErrInvalid) {
			t.Errorf("dial: got %v, want %v", err, control.ErrInvalid)
		}
	})
	t.Run("directory open to everybody", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if _, err := control.Listen(t.Context(), control.Config{Socket: filepath.Join(dir, "s")}); err == nil {
			t.Error("got no error, want one")
		}
	})
	t.Run("close twice, without run", func(t *testing.T) {
		socket := filepath.Join(t.TempDir(), "s")
		server, err := control.Listen(t.Context(), control.Config{Socket: socket})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(server.Close(), server.Close()); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v, want the socket removed", err)
		}
	})
}

func TestDialWithoutHost(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "absent"), filepath.Join(dir, "no", "dir"), stale} {
		if _, err := control.Dial(t.Context(), path); !errors.Is(err, control.ErrNotRunning) {
			t.Errorf("%s: got %v, want %v", path, err, control.ErrNotRunning)
		}
	}
}

func TestStopEndsTails(t *testing.T) {
	f := &fake{tail: func(ctx context.Context, _ func(*ironpostv1.Frame)) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	server, client := serve(t, control.Config{Backend: f.backend()})
	stream, err := client.TailEvents(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("got %v, want %v", err, control.ErrNotRunning)
	}
}

func TestQueryEnds(t *testing.T) {
	_, client := serve(t, control.Config{Backend: (&fake{}).backend()})
	stream, err := client.Query(t.Context(), &ironpostv1.QueryRequest{Kind: ironpostv1.Kind_KIND_LOG, Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		_, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("got %d batches, want 3", n)
	}
}
