package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// The end-to-end tests run the real program: a build of the host and of every
// plugin, as root where they have to be, on files of their own.

// dataEnv names the folder of the public log collections, for checkouts that do
// not lie beside it.
const dataEnv = "IRONPOST_TEST_DATA"

// dataFile returns the path of a file of the public log collections. Without
// the collections the test is skipped, aloud.
func dataFile(t *testing.T, name string) string {
	t.Helper()
	root := os.Getenv(dataEnv)
	for dir := hosttest.Root(); root == ""; dir = filepath.Dir(dir) {
		if candidate := filepath.Join(dir, "shared", "data"); isDir(candidate) {
			root = candidate
		} else if dir == filepath.Dir(dir) {
			t.Skipf("no folder shared/data beside the repository and no %s: %s is not read", dataEnv, name)
		}
	}
	path := filepath.Join(root, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("test data: %v", err)
	}
	return path
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// needRoot skips, aloud, what an ordinary user cannot run.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: plugins run as users of their own, and the test ends them")
	}
}

// bruteForce is the rule of the documentation, word for word.
const bruteForce = `id: ssh_brute_force
title: SSH Brute Force Attack
severity: high
detection:
  conditions:
    - field: process
      operator: equals
      value: sshd
    - field: message
      operator: contains
      value: "Failed password"
  threshold:
    count: 5
    timeframe_secs: 60
    group_by: src_ip
`

// writeFiles writes files below a new directory and returns it. Other users can
// read it.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path := dir; path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// result is what a command came to.
type result struct {
	stdout, stderr string
	code           int
}

// run runs a command to its end. A command that cannot be started fails the
// test.
func run(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %s: %v", strings.Join(cmd.Args, " "), err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// ironpost returns a command of the build, away from any configuration and any
// host of the machine.
func ironpost(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(hosttest.Build(), "ironpost"), args...)
	dir := t.TempDir()
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CACHE_HOME=", "XDG_RUNTIME_DIR=", "XDG_CONFIG_HOME=")
	return cmd
}

// appendTo appends to a file of the host, in one write.
func appendTo(t testing.TB, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// follow is the configuration of a host that reads a directory of logs.
func follow(dir string, extra string) string {
	return fmt.Sprintf("[source_file]\npaths = [%q]\nstart = \"beginning\"\n%s\n", filepath.Join(dir, "*.log"), extra)
}
