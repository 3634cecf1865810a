//go:build linux

package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/host/internal/control"
)

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){
		// ironpost is the real command line with a host in memory behind it.
		"ironpost": func() {
			os.Exit(run(context.Background(), fakeApp(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		},
		// bare is the command line without a host's functions.
		"bare": func() {
			os.Exit(run(context.Background(), App{}, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// leakChecked fails a package whose tests passed but left goroutines behind.
type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int {
	status := m.M.Run()
	if status == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	return status
}

// TestScripts runs testdata/*.txtar. $SOCKET is a host that answers, $GONE the
// path of one that does not. "exits N command..." wants an exit status.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			dir, err := os.MkdirTemp("", "cli")
			if err != nil {
				return err
			}
			socket := filepath.Join(dir, "s")
			server, err := control.Listen(context.Background(), control.Config{Socket: socket, Backend: newBackend().parts()})
			if err != nil {
				return err
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- server.Run(ctx) }()
			env.Defer(func() {
				cancel()
				if err := <-done; err != nil {
					t.Errorf("run the host: %v", err)
				}
				if err := os.RemoveAll(dir); err != nil {
					t.Error(err)
				}
			})
			env.Setenv("SOCKET", socket)
			env.Setenv("GONE", filepath.Join(dir, "gone"))
			env.Setenv(control.SocketEnv, socket)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":    exits,
			"harmless": harmless,
		},
	})
}
