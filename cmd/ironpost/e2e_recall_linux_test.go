package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// TestVerbsLookIntoWhatTheyWant runs offline verbs one after the other: from the second on, they copy
// only the plugins that they run, and they say the same whether they remember the others or not.
func TestVerbsLookIntoWhatTheyWant(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"app/Cargo.lock": "version = 4\n\n[[package]]\nname = \"time\"\nversion = \"0.1.42\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n", "log": "{\"a\": 1}\n"})
	plugins := filepath.Join(dir, "plugins")
	if err := os.Mkdir(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	all := []string{"parser-json", "parser-kv", "scanner-sbom"}
	digests := make(map[string]string)
	for _, name := range all {
		drop(t, filepath.Join(hosttest.Build(), "plugins", name), filepath.Join(plugins, name))
		digests[digestOf(t, filepath.Join(plugins, name))] = name
	}
	config := filepath.Join(dir, "ironpost.toml")
	appendTo(t, config, fmt.Sprintf("[general]\ndata_dir = %q\n", filepath.Join(dir, "data")))
	verb := func(home string, args ...string) result {
		t.Helper()
		cmd := ironpost(t, append(args, "--config", config, "--plugin-dir", plugins)...)
		cmd.Env = append(cmd.Env, "HOME="+home, "SOURCE_DATE_EPOCH=1700000000")
		return run(t, cmd)
	}
	sbom := []string{"scan", filepath.Join(dir, "app"), "--sbom", "cyclonedx"}
	parse := []string{"parse", "--format", "json", filepath.Join(dir, "log"), "--reference-time", "2026-01-02T03:04:05Z"}

	home := t.TempDir()
	// copied takes away the copies that there are, and names them.
	copied := func() (out []string) {
		t.Helper()
		entries, err := os.ReadDir(filepath.Join(home, ".cache", "ironpost", "plugins"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			out = append(out, digests[e.Name()])
			if err := os.Remove(filepath.Join(home, ".cache", "ironpost", "plugins", e.Name())); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(out)
		return out
	}
	same := func(what string, got, want result) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %+v, want %+v, as where nothing is remembered", what, got, want)
		}
	}
	memory := filepath.Join(home, ".cache", "ironpost", "plugins.memory")

	settle(t, plugins)
	first := verb(home, sbom...)
	if first.code != 0 || !strings.Contains(first.stdout, "pkg:cargo/time@0.1.42") {
		t.Fatalf("scan: got %+v, want the package", first)
	}
	if got := copied(); !slices.Equal(got, all) {
		t.Errorf("the first verb: got copies of %v, want of %v", got, all)
	}
	same("scan again", verb(home, sbom...), first)
	if got, want := copied(), []string{"scanner-sbom"}; !slices.Equal(got, want) {
		t.Errorf("the next scan: got copies of %v, want of %v", got, want)
	}
	same("parse", verb(home, parse...), verb(t.TempDir(), parse...))
	if got, want := copied(), []string{"parser-json"}; !slices.Equal(got, want) {
		t.Errorf("parse: got copies of %v, want of %v", got, want)
	}

	t.Run("another version of the host", func(t *testing.T) {
		b, err := os.ReadFile(memory)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), "\n")
		rest = strings.ReplaceAll(rest, `{"host":"`, `{"host":"not-`)
		sum := sha256.Sum256([]byte(rest))
		if err := os.WriteFile(memory, []byte(hex.EncodeToString(sum[:])+"\n"+rest), 0o600); err != nil {
			t.Fatal(err)
		}
		same("scan", verb(home, sbom...), first)
		if got := copied(); !slices.Equal(got, all) {
			t.Errorf("got copies of %v, want of %v", got, all)
		}
	})
	t.Run("several at once", func(t *testing.T) {
		if err := os.Truncate(memory, 100); err != nil {
			t.Fatal(err)
		}
		var verbs sync.WaitGroup
		for range 3 {
			verbs.Go(func() { same("scan", verb(home, sbom...), first) })
		}
		verbs.Wait()
		copied()
		same("scan", verb(home, sbom...), first)
		if got, want := copied(), []string{"scanner-sbom"}; !slices.Equal(got, want) {
			t.Errorf("got copies of %v, want of %v", got, want)
		}
	})
	t.Run("other bytes of the same size and time", func(t *testing.T) {
		path := filepath.Join(plugins, "scanner-sbom")
		was, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("changed"), was.Size()/2); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, was.ModTime(), was.ModTime()); err != nil {
			t.Fatal(err)
		}
		got := verb(home, sbom...)
		if got.code != 2 || !strings.Contains(got.stderr, "no scanner is enabled") {
			t.Errorf("got %+v, want that there is no scanner", got)
		}
		same("scan", got, verb(t.TempDir(), sbom...))
	})
}

// settle waits until every file of a folder changed long enough ago to be remembered.
func settle(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			t.Fatal("there is no time of the last change")
		}
		<-time.After(time.Until(time.Unix(st.Ctim.Unix()).Add(2100 * time.Millisecond)))
	}
}
