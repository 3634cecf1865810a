//go:build linux || darwin

package vulndb_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// importing is set in a process that imports until it is killed; it holds the path.
const importing = "VULNDB_TEST_IMPORTING"

// TestKilledImport kills a process in the middle of an import. The database stays as it was,
// the lock is free, and the next import or start removes what the other was writing.
func TestKilledImport(t *testing.T) {
	if path := os.Getenv(importing); path != "" {
		importUntilKilled(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "vulndb")
	load(t, path, vulndb.Options{}, source(t, "first", map[string]string{"1.json": record("A-1", "one", "1.0.0")}))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		next func() error
	}{
		{"the next import", func() error {
			_, err := vulndb.Import(t.Context(), path, []vulndb.Source{source(t, "second", map[string]string{"2.json": record("A-2", "two", "1.0.0")})}, vulndb.Options{})
			return err
		}},
		{"the next start", func() error { return vulndb.Sweep(t.Context(), path) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			now, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			killImport(t, path)
			after, err := os.ReadFile(path)
			if err != nil || string(after) != string(now) {
				t.Fatalf("the database is another after the kill: %v", err)
			}
			if left := beside(t, path); len(left) != 1 {
				t.Fatalf("got %v beside the database, want the one file that was being written", left)
			}
			if err := test.next(); err != nil {
				t.Fatal(err)
			}
			if left := beside(t, path); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
	if after, err := os.ReadFile(path); err != nil || string(after) == string(before) {
		t.Errorf("the import after the kill did nothing: %v", err)
	}
}

// importUntilKilled imports a folder without end: each time that the importer asks for more, it
// says so, and waits.
func importUntilKilled(t *testing.T, path string) {
	files := map[string]string{}
	for i := range 1500 {
		files[fmt.Sprintf("%d.json", i)] = record(fmt.Sprintf("K-%d", i), fmt.Sprintf("kill-%d", i), "1.0.0")
	}
	_, err := vulndb.Import(t.Context(), path, []vulndb.Source{source(t, "killed", files)}, vulndb.Options{Progress: func(vulndb.Progress) {
		fmt.Println("importing")
		_, _ = os.Stdin.Read(make([]byte, 1)) // nothing comes until the kill
	}})
	t.Fatalf("the import came to an end: %v", err)
}

func killImport(t *testing.T, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKilledImport$")
	cmd.Env = append(os.Environ(), importing+"="+path, "TMPDIR="+t.TempDir()) // it is killed before it removes its own
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil { // open until Wait
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "importing" {
	}
	working := beside(t, path)
	if err := vulndb.Sweep(t.Context(), path); err != nil || !slices.Equal(beside(t, path), working) {
		t.Errorf("a start while an import is at work: %v, and of %v there is %v", err, working, beside(t, path))
	}
	waiting, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if _, err := vulndb.Import(waiting, path, nil, vulndb.Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second import, which waits for the first: got %v, want %v", err, context.DeadlineExceeded)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the process ended by itself")
	}
}

// beside lists what lies beside the database, other than its lock.
func beside(t *testing.T, path string) (out []string) {
	t.Helper()
	all, err := filepath.Glob(path + ".*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if !strings.HasSuffix(name, ".lock") {
			out = append(out, name)
		}
	}
	return out
}
