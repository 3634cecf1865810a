//go:build linux

package control_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// logs is a host with one plugin, whose lines never end when they are followed.
type logs struct{}

func (logs) PluginLogs(ctx context.Context, name string, last int, follow bool, emit func([]*ironpostv1.PluginLogLine) error) error {
	if name != "known" {
		return fmt.Errorf("%w: no plugin %s", control.ErrNotFound, name)
	}
	for i := range min(last, 3) {
		if err := emit([]*ironpostv1.PluginLogLine{{Message: fmt.Sprint(i)}}); err != nil {
			return err
		}
	}
	if follow {
		<-ctx.Done()
	}
	return nil
}

func TestPluginLogs(t *testing.T) {
	_, client := serve(t, control.Config{Backend: control.Backend{Logs: logs{}}})
	for _, c := range []struct {
		name string
		req  *ironpostv1.PluginLogsRequest
		want int
		err  error
	}{
		{"all", &ironpostv1.PluginLogsRequest{Name: "known"}, 3, nil},
		{"the last", &ironpostv1.PluginLogsRequest{Name: "known", Last: 1}, 1, nil},
		{"more than there may be", &ironpostv1.PluginLogsRequest{Name: "known", Last: 1 << 31}, 3, nil},
		{"nobody's", &ironpostv1.PluginLogsRequest{Name: "unknown"}, 0, control.ErrNotFound},
		{"without a name", &ironpostv1.PluginLogsRequest{}, 0, control.ErrInvalid},
		{"with a name that is too long", &ironpostv1.PluginLogsRequest{Name: strings.Repeat("x", 5000)}, 0, control.ErrInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			stream, err := client.PluginLogs(t.Context(), c.req)
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			for {
				r, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					err = nil
				} else if err == nil {
					got += len(r.GetLines())
					continue
				}
				if !errors.Is(err, c.err) || got != c.want {
					t.Errorf("got %d lines and %v, want %d and %v", got, err, c.want, c.err)
				}
				return
			}
		})
	}
}

// TestAStopEndsFollowing closes the server below a reader that follows.
func TestAStopEndsFollowing(t *testing.T) {
	server, client := serve(t, control.Config{Backend: control.Backend{Logs: logs{}}})
	stream, err := client.PluginLogs(t.Context(), &ironpostv1.PluginLogsRequest{Name: "known", Last: 1, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); err == nil {
		t.Error("a line came after the server was closed")
	}
}
