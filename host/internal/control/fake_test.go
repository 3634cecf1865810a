//go:build linux

package control_test

import (
	"context"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// fake is a backend that remembers what it was asked.
type fake struct {
	mu      sync.Mutex
	entries []control.Entry
	updates []*ironpostv1.UpdateRequest
	pages   []control.Page
	imports []control.Import
	callers []control.Caller
	err     error
	tail    func(ctx context.Context, emit func(*ironpostv1.Frame)) error
}

func (f *fake) backend() control.Backend {
	return control.Backend{Status: f, Plugins: f, Events: f, Store: f, Blocks: f, Mode: f}
}

func (f *fake) Status(ctx context.Context) (*ironpostv1.StatusResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := control.CallerFrom(ctx); ok {
		f.callers = append(f.callers, c)
	}
	return &ironpostv1.StatusResponse{Version: "test"}, f.err
}

func (f *fake) ListPlugins(context.Context) ([]*ironpostv1.PluginStatus, error) {
	return []*ironpostv1.PluginStatus{{Name: "parser-syslog"}}, f.err
}

func (f *fake) PluginInfo(_ context.Context, name string) (*ironpostv1.PluginInfoResponse, error) {
	return &ironpostv1.PluginInfoResponse{Status: &ironpostv1.PluginStatus{Name: name}}, f.err
}

func (f *fake) Tail(ctx context.Context, _ []ironpostv1.Kind, emit func(*ironpostv1.Frame)) error {
	return f.tail(ctx, emit)
}

func (f *fake) Query(_ context.Context, q *ironpostv1.QueryRequest, send func(*ironpostv1.Batch) error) error {
	for i := range q.GetLimit() {
		if err := send(&ironpostv1.Batch{FirstSequence: uint64(i)}); err != nil {
			return err
		}
	}
	return f.err
}

func (f *fake) UpdateAlert(_ context.Context, u *ironpostv1.UpdateRequest) (*ironpostv1.UpdateResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.updates = append(f.updates, u)
	return &ironpostv1.UpdateResponse{Found: u.GetAlertId() == "0011223344"}, f.err
}

func (f *fake) Add(_ context.Context, e control.Entry) (*ironpostv1.BlockResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, have := range f.entries {
		if have.Prefix == e.Prefix {
			return &ironpostv1.BlockResponse{}, nil
		}
	}
	f.entries = append(f.entries, e)
	return &ironpostv1.BlockResponse{Changed: true, Block: &ironpostv1.Block{Prefix: e.Prefix.String()}}, f.err
}

func (f *fake) Remove(context.Context, netip.Prefix) (*ironpostv1.BlockResponse, error) {
	return &ironpostv1.BlockResponse{Changed: true}, f.err
}

func (f *fake) List(_ context.Context, q control.Page) (*ironpostv1.ListBlocksResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pages = append(f.pages, q)
	out := &ironpostv1.ListBlocksResponse{Total: uint64(len(f.entries))}
	for _, e := range f.entries[min(q.Skip, len(f.entries)):min(q.Skip+q.Limit, len(f.entries))] {
		out.Blocks = append(out.Blocks, &ironpostv1.Block{Prefix: e.Prefix.String()})
	}
	return out, f.err
}

func (f *fake) Import(_ context.Context, in control.Import) (*ironpostv1.ImportResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.imports = append(f.imports, in)
	return &ironpostv1.ImportResponse{Added: uint64(in.Networks.Len()), List: &ironpostv1.BlockList{Name: in.List}}, f.err
}

func (f *fake) Lists(context.Context) ([]*ironpostv1.BlockList, error) {
	return []*ironpostv1.BlockList{{Name: "drop", Networks: 2}}, f.err
}

func (f *fake) RemoveList(_ context.Context, name string) (*ironpostv1.BlockList, error) {
	return &ironpostv1.BlockList{Name: name}, f.err
}

func (f *fake) GetMode(context.Context) (*ironpostv1.ModeResponse, error) {
	return &ironpostv1.ModeResponse{Mode: "simulate"}, f.err
}

func (f *fake) SetMode(_ context.Context, mode string, _ time.Duration) (*ironpostv1.ModeResponse, error) {
	return &ironpostv1.ModeResponse{Mode: mode}, f.err
}

func (f *fake) ConfirmMode(context.Context) (*ironpostv1.ModeResponse, error) {
	return nil, f.err
}

// serve runs a server for the time of the test and returns a client of it.
func serve(t *testing.T, config control.Config) (*control.Server, *control.Client) {
	t.Helper()
	if config.Socket == "" {
		config.Socket = filepath.Join(t.TempDir(), "s")
	}
	server, err := control.Listen(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	client, err := control.Dial(t.Context(), config.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return server, client
}
