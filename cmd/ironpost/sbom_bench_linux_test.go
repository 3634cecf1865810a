//go:build bench

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/benchtest"
)

// What a peer may take before it is given up, and what ours is wanted to take.
const (
	peerTime   = 10 * time.Minute
	peerMemory = 8 << 30
	scanMemory = 96 // MiB of all processes together
	timesSyft  = 12
)

// scanPeer is a program that lists the packages of a folder.
type scanPeer struct {
	name    string
	command func(dir, out string) []string
	// packages are those that the output names, each once.
	packages func(out []byte) (map[string]bool, error)
}

// peers are the programs that the environment names.
func peers() (out []scanPeer) {
	if p := os.Getenv("SYFT"); p != "" {
		out = append(out, scanPeer{"syft", func(dir, to string) []string {
			return []string{p, "scan", "dir:" + dir, "-q", "-o", "syft-json=" + to}
		}, syftPackages})
	}
	if p := os.Getenv("TRIVY"); p != "" {
		// The mode for root file systems wants a database from the network.
		out = append(out, scanPeer{"trivy", func(dir, to string) []string {
			return []string{p, "fs", "--offline-scan", "--skip-db-update", "--skip-java-db-update", "--format", "cyclonedx", "-q", "-o", to, dir}
		}, trivyPackages})
	}
	if p := os.Getenv("OSV_SCANNER"); p != "" {
		out = append(out, scanPeer{"osv-scanner", func(dir, to string) []string {
			return []string{p, "scan", "source", "-r", "--offline", "--no-ignore", "--no-resolve", "--all-packages", "--experimental-disable-plugins=vulnmatch/osvlocal", "--format", "json", "--output-file", to, dir}
		}, osvPackages})
	}
	for _, set := range []string{"picked", "broad"} {
		out = append(out, scanPeer{"osv-scalibr, " + set, func(dir, to string) []string {
			return []string{"sh", "-c", `exec "$0" "$1" "$2" >"$3"`, os.Getenv("SCALIBR"), set, dir, to}
		}, scalibrPackages})
	}
	return out
}

// TestBenchSBOM measures `ironpost scan` beside others on the trees that
// .ci/bench-sbom makes, and holds what it finds against osv-scalibr.
func TestBenchSBOM(t *testing.T) {
	at := os.Getenv("IRONPOST_BENCH_SBOM")
	if at == "" {
		t.Skip("run make bench-sbom")
	}
	rounds, err := strconv.Atoi(os.Getenv("ROUNDS"))
	if err != nil || rounds < 1 {
		rounds = 3
	}
	r := &benchtest.Report{Name: "sbom", Wide: true}
	trees := strings.Fields(os.Getenv("TREES"))
	if len(trees) == 0 {
		trees = []string{"modules", "root"}
	}
	for _, tree := range trees {
		warm(t, filepath.Join(at, tree))
		benchTree(t, r, filepath.Join(at, tree), tree, rounds)
	}
	r.Write(t)
}

// warm reads every file of a tree, so that nobody pays for the first look at it.
func warm(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, f)
		return errors.Join(err, f.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
}

func benchTree(t *testing.T, r *benchtest.Report, dir, tree string, rounds int) {
	t.Helper()
	all := append([]scanPeer{{name: "ironpost", packages: ownPackages}}, peers()...)
	results := make(map[string][]usage)
	failed := make(map[string]string)
	tmp := t.TempDir()
	home := lookedInto(t, r, tree)
	output := func(name string) string { return filepath.Join(tmp, strings.ReplaceAll(name, " ", "-")+".json") }
	for round := range rounds {
		for i := range all {
			p := all[(i+round)%len(all)] // everybody is first once
			if failed[p.name] != "" {
				continue
			}
			var u usage
			var err error
			if p.name == "ironpost" {
				u, err = scanOnce(t, home, dir, output(p.name), results)
			} else {
				u, err = measure(p.command(dir, output(p.name)), "")
			}
			if err != nil {
				failed[p.name] = fmt.Sprintf("%v after %.1f s and %d MiB", err, u.wall, u.memory)
				fmt.Printf("%s: %s does not survive: %s\n", tree, p.name, failed[p.name])
				continue
			}
			fmt.Printf("%s: round %d: %s: %.2f s, %.2f s of processors, %d MiB\n", tree, round+1, p.name, u.wall, u.processor, u.memory)
			results[p.name] = append(results[p.name], u)
		}
	}
	if failed["ironpost"] != "" {
		t.Fatalf("%s: ironpost scan: %s", tree, failed["ironpost"])
	}
	own := middle(results["ironpost"])
	found := make(map[string]map[string]bool)
	for _, p := range all {
		c := tree + ": " + p.name
		if failed[p.name] != "" {
			r.Add(c+" (did not survive)", "wall", -1, "s")
			continue
		}
		text, err := os.ReadFile(output(p.name))
		if err == nil {
			found[p.name], err = p.packages(text)
		}
		if err != nil {
			t.Errorf("%s: read what it found: %v", c, err)
			continue
		}
		u := middle(results[p.name])
		switch p.name {
		case "ironpost":
			r.Add(c, "wall", u.wall, "s")
		case "syft":
			r.Target(t, c, "wall", u.wall, "s", u.wall >= timesSyft*own.wall, fmt.Sprintf(">= %d times ours (%.2f s)", timesSyft, own.wall))
		case "trivy":
			r.Target(t, c, "wall", u.wall, "s", u.wall > own.wall, fmt.Sprintf("more than ours (%.2f s)", own.wall))
		default:
			r.Add(c, "wall", u.wall, "s")
		}
		r.Add(c, "processors", u.processor, "s")
		if p.name == "ironpost" {
			r.Target(t, c, "memory", float64(u.memory), "MiB", u.memory <= scanMemory, fmt.Sprintf("<= %d", scanMemory))
		} else {
			r.Add(c, "memory", float64(u.memory), "MiB")
		}
		r.Add(c, "packages", float64(len(found[p.name])), "unique")
	}
	again := middle(results[rescan])
	r.Add(tree+": "+rescan, "wall", again.wall, "s")
	r.Add(tree+": "+rescan, "processors", again.processor, "s")
	r.Add(tree+": "+rescan, "memory", float64(again.memory), "MiB")
	for _, set := range []string{"picked", "broad"} {
		text, err := os.ReadFile(output("osv-scalibr, " + set))
		if err != nil {
			t.Errorf("%s: osv-scalibr's list: %v", tree, err)
			continue
		}
		holdAgainst(t, tree, set, found["ironpost"], text)
	}
}

// lookedInto returns a home in which a verb remembers the plugins, as from the second
// that a user calls after an installation. What the first costs is reported: it looks into every plugin, for
// an empty folder.
func lookedInto(t *testing.T, r *benchtest.Report, tree string) (home string) {
	t.Helper()
	home = t.TempDir()
	u, err := measure(scanCommand(t, t.TempDir(), os.DevNull), home)
	if err != nil {
		t.Fatalf("scan of an empty folder: %v", err)
	}
	c := tree + ": ironpost, first verb of all"
	r.Add(c, "wall", u.wall, "s")
	r.Add(c, "processors", u.processor, "s")
	r.Add(c, "memory", float64(u.memory), "MiB")
	return home
}

// scanCommand is a scan with a data directory of its own, in which nothing is remembered of
// any tree.
func scanCommand(t *testing.T, dir, out string) []string {
	t.Helper()
	own := t.TempDir()
	config := filepath.Join(own, "ironpost.toml")
	appendTo(t, config, fmt.Sprintf("[general]\ndata_dir = %q\n", filepath.Join(own, "data")))
	return []string{
		"sh", "-c", `exec "$0" scan --plugin-dir "$1" --config "$2" -o json "$3" >"$4" 2>/dev/null`,
		filepath.Join(hosttest.Build(), "ironpost"), filepath.Join(hosttest.Build(), "plugins"), config, dir, out,
	}
}

// scanOnce scans with a memory of trees that is empty, and then again. The first counts; the
// second goes to results.
func scanOnce(t *testing.T, home, dir, out string, results map[string][]usage) (usage, error) {
	t.Helper()
	command := scanCommand(t, dir, out)
	first, err := measure(command, home)
	if err != nil {
		return first, err
	}
	again, err := measure(command, home)
	results[rescan] = append(results[rescan], again)
	return first, err
}

// rescan is what the second scan is called.
const rescan = "ironpost, nothing changed"

// usage is what a run took.
type usage struct {
	wall, processor float64 // seconds
	// memory is the largest sum, over time, of the largest resident sets of the
	// processes that ran at that time, in MiB, looked at every 3 ms. What processes share
	// counts in each. (The system's own figure, ru_maxrss, begins with that of the test,
	// which every command is before it is started.)
	memory int64
}

func middle(all []usage) (out usage) {
	if len(all) == 0 {
		return out
	}
	var wall, processor []float64
	for _, u := range all {
		wall, processor = append(wall, u.wall), append(processor, u.processor)
		out.memory = max(out.memory, u.memory) // the worst
	}
	out.wall, out.processor = benchtest.Median(wall), benchtest.Median(processor)
	return out
}

// measure runs a command, which is ended when it takes too much.
func measure(command []string, home string) (usage, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), peerTime, errors.New("it takes too long"))
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.Dir = os.TempDir()
	cmd.Env = append(os.Environ(), "SYFT_CHECK_FOR_APP_UPDATE=false", "GOTRACEBACK=none")
	if home != "" {
		cmd.Env = append(cmd.Env, "HOME="+home)
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return usage{}, err
	}
	var largest int64
	var tooLarge bool
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(3 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			now := resident(cmd.Process.Pid)
			largest = max(largest, now)
			if now > peerMemory && !tooLarge {
				tooLarge = true
				_ = cmd.Process.Kill()
			}
		}
	})
	err := cmd.Wait()
	u := usage{wall: time.Since(begun).Seconds()}
	close(done)
	watch.Wait()
	u.processor = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	u.memory = (largest + 1<<20 - 1) >> 20
	switch {
	case tooLarge:
		err = fmt.Errorf("it takes more than %d MiB", int64(peerMemory)>>20)
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err != nil:
		first, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
		err = fmt.Errorf("%w: %.200s", err, first)
	}
	return u, err
}

// resident is the sum of the largest resident sets so far of a process and of those
// below it, in bytes.
func resident(pid int) int64 {
	var sum int64
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64); err == nil {
				sum = n << 10
			}
		}
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range threads {
		text, _ := os.ReadFile(file)
		for field := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				sum += resident(child)
			}
		}
	}
	return sum
}

// holdAgainst names what osv-scalibr finds and Ironpost does not, by its reader, and
// fails when no reason is known for it, or when there are fewer packages of an
// ecosystem without one.
func holdAgainst(t *testing.T, tree, set string, own map[string]bool, text []byte) {
	t.Helper()
	theirs, err := scalibrFound(text)
	if err != nil {
		t.Errorf("%s: osv-scalibr's list: %v", tree, err)
		return
	}
	ours, all, excused := map[string]int{}, map[string]int{}, map[string]int{}
	for key := range own {
		ours[ecosystemOf(key)]++
	}
	missing := map[string][]string{}
	for key, f := range theirs {
		all[ecosystemOf(key)]++
		if own[key] {
			continue
		}
		reason := f.reason(own)
		if reason == "" {
			t.Errorf("%s: %s of osv-scalibr finds %s in %s, Ironpost does not", tree, f.By, key, f.Path)
			continue
		}
		excused[ecosystemOf(key)]++
		missing[f.By+": "+reason] = append(missing[f.By+": "+reason], key)
	}
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	fmt.Printf("\n%s: packages by ecosystem beside osv-scalibr's (%s)\n", tree, set)
	for _, name := range names {
		fmt.Printf("  %-24s ours %5d, its %5d, %d of them left out for a reason\n", name, ours[name], all[name], excused[name])
		if ours[name] < all[name]-excused[name] {
			t.Errorf("%s: %s: got %d packages, osv-scalibr finds %d, and %d have a reason", tree, name, ours[name], all[name], excused[name])
		}
	}
	var why []string
	for reason, keys := range missing {
		slices.Sort(keys)
		why = append(why, fmt.Sprintf("  %d of %s, such as %s", len(keys), reason, keys[0]))
	}
	slices.Sort(why)
	fmt.Println(strings.Join(why, "\n"))
}
