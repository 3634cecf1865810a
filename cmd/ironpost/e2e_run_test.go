package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// TestRelativeDataDirectory starts the host as make run does: plugins have no
// working directory to go by, and need their own below the data directory.
func TestRelativeDataDirectory(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := writeFiles(t, nil)
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"sink-sqlite"},
		Command: func(name string, args ...string) *exec.Cmd {
			cmd := exec.Command(name, append(args, "--data-dir", "data")...)
			cmd.Dir = dir
			return cmd
		},
	})
	if p := h.Plugin("sink-sqlite"); p.State != "running" {
		t.Errorf("sink-sqlite is %s (%s), want running", p.State, p.LastError)
	}
	if _, err := os.Stat(dir + "/data/sink-sqlite"); err != nil {
		t.Error(err)
	}
}
