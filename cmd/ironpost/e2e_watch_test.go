package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// found is how many alerts the scanner of the test raises. It looks at a package of
// the host and at one of a container for each; see testdata/plugins/scanner-watch.
const found = 300

// inventoryLine is one package as "inventory list -o json" prints it, and sink-file.
type inventoryLine struct {
	Kind       string `json:"kind"`
	ID         string `json:"id"`
	Target     string `json:"target"`
	TargetName string `json:"target_name"`
	Package    string `json:"package"`
	Version    string `json:"version"`
	Ecosystem  string `json:"ecosystem"`
	PURL       string `json:"purl"`
	InUse      bool   `json:"in_use"`
	Removed    bool   `json:"removed"`
	Findings   []struct {
		ID      string   `json:"id"`
		Aliases []string `json:"aliases"`
		Fixed   string   `json:"fixed"`
	} `json:"findings"`
}

func (l *inventoryLine) String() string {
	var flaws []string
	for _, f := range l.Findings {
		flaws = append(flaws, f.ID+" "+strings.Join(f.Aliases, ",")+" "+f.Fixed)
	}
	return fmt.Sprintf("%s %s %v %v", l.PURL, l.Ecosystem, l.InUse, flaws)
}

// wantInventory is what the scanner says in the end, by target.
func wantInventory() map[string]map[string]string {
	host, container := map[string]string{}, map[string]string{}
	for i := range found {
		text := fmt.Sprintf("pkg:npm/p%d@1.0.%d npm %v [GHSA-1 CVE-2026-%d 2.0.0]", i, i, i%2 == 0, 1000+i)
		if i%5 != 0 {
			host[fmt.Sprintf("p%d", i)] = text
		}
		if i%3 != 0 {
			container[fmt.Sprintf("p%d", i)] = text
		}
	}
	return map[string]map[string]string{"host": host, "container:" + strings.Repeat("a", 64): container}
}

func inventoryByTarget(lines []inventoryLine) map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, l := range lines {
		if out[l.Target] == nil {
			out[l.Target] = map[string]string{}
		}
		out[l.Target][l.Package] = l.String()
	}
	return out
}

// TestScannerFindsByItself kills the scanner, and then the host, while the scanner
// looks: every alert is journaled once, and the inventory is what the scanner says.
func TestScannerFindsByItself(t *testing.T) {
	needRoot(t)
	t.Parallel()
	plugins := filepath.Join(writeFiles(t, nil), "plugins")
	if err := os.Mkdir(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	hosttest.Duplicate(t, hosttest.Compile(t, "./cmd/ironpost/testdata/plugins/scanner-watch"), plugins, "scanner-watch")
	h := hosttest.Start(t, hosttest.Options{Plugins: []string{"sink-sqlite", "sink-file"}, PluginDirs: []string{plugins}, NoStart: true})
	events := filepath.Join(h.Dir, "events", "log")
	appendConfig(t, h, fmt.Sprintf("[scanner_watch]\nalerts = %d\npause = \"3ms\"\n[sink_file]\npath = %q\nkinds = [\"alert\", \"inventory\"]\n",
		found, events))
	h.Start()
	if _, err := h.CLI("plugin", "enable", "scanner-watch"); err != nil {
		t.Fatal(err)
	}
	raised := func() int {
		var s statusLine
		h.JSON(&s, "status")
		return int(s.Alerts)
	}
	h.Wait(10*time.Second, "a fifth of the alerts", func() bool { return raised() >= found/5 })
	if n := raised(); n >= found {
		t.Fatalf("all %d alerts are there before the scanner was killed", n)
	}
	if err := syscall.Kill(h.Plugin("scanner-watch").PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.Wait(10*time.Second, "half of the alerts", func() bool { return raised() >= found/2 })
	if n := raised(); n >= found {
		t.Fatalf("all %d alerts are there before the host was killed", n)
	}
	if p := h.Plugin("scanner-watch"); p.Restarts != 1 {
		t.Errorf("the scanner was started again %d times, want 1", p.Restarts)
	}
	h.Kill()
	h.Start()
	var info struct {
		Counters map[string]uint64 `json:"counters"`
		Plugin   struct {
			Events uint64 `json:"events"`
			Alerts uint64 `json:"alerts"`
		} `json:"status"`
	}
	h.Wait(20*time.Second, "the scanner has found everything", func() bool {
		h.JSON(&info, "plugin", "info", "scanner-watch")
		return info.Counters["found"] == 1
	})

	var alerts []struct {
		ID       string            `json:"id"`
		Detector string            `json:"detector"`
		Group    string            `json:"group"`
		Entities map[string]string `json:"entities"`
		Evidence string            `json:"evidence"`
		Trace    string            `json:"trace_id"`
	}
	h.Wait(10*time.Second, "every alert is stored", func() bool {
		h.JSON(&alerts, "alerts", "list", "--limit", "10000")
		return len(alerts) >= found
	})
	groups := map[string]bool{}
	for _, a := range alerts {
		groups[a.Group] = true
		if a.Detector != "scanner-watch" || a.Evidence != "confirmed" || a.Entities["package"] != "p"+a.Group || len(a.Trace) != 32 {
			t.Errorf("got alert %+v", a)
		}
	}
	if len(alerts) != found || len(groups) != found {
		t.Errorf("got %d alerts of %d groups, want %d", len(alerts), len(groups), found)
	}
	if p := info.Plugin; p.Alerts != found || p.Events != found*4+found/5+1 {
		t.Errorf("plugin info counts %d alerts and %d events of this life, want %d and %d", p.Alerts, p.Events, found, found*4+found/5+1)
	}

	want := wantInventory()
	var list []inventoryLine
	h.Wait(10*time.Second, "the inventory is what the scanner says", func() bool {
		h.JSON(&list, "inventory", "list", "--limit", "10000")
		return cmp.Equal(want, inventoryByTarget(list))
	})
	if n := len(want["host"]) + len(want["container:"+strings.Repeat("a", 64)]); len(list) != n {
		t.Errorf("got %d packages, want %d", len(list), n)
	}
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"--cve", "CVE-2026-1001"}, 2},
		{[]string{"--cve", "GHSA-1", "--target", "web1"}, found * 2 / 3},
		{[]string{"--target", "aaaaaaaaaaaa", "--package", "p7"}, 1},
		{[]string{"--in-use", "--target", "host"}, found * 2 / 5},
		{[]string{"--in-use=false", "--target", "host"}, found * 2 / 5},
		{[]string{"--ecosystem", "Debian"}, 0},
		{[]string{"--limit", "5"}, 5},
	} {
		h.JSON(&list, append([]string{"inventory", "list", "--limit", "10000"}, c.args...)...)
		if len(list) != c.want {
			t.Errorf("inventory list %v: got %d packages, want %d", c.args, len(list), c.want)
		}
	}
	wantFile(t, h, events, want)
}

// wantFile looks at what sink-file wrote, which leaves out what comes to it again:
// each alert was journaled once, and the last word about each package is the right one.
func wantFile(t *testing.T, h *hosttest.Host, path string, want map[string]map[string]string) {
	t.Helper()
	var written map[string]int
	last := map[string]inventoryLine{}
	read := func() bool {
		written = map[string]int{}
		clear(last)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			var l inventoryLine
			if err := json.Unmarshal(s.Bytes(), &l); err != nil {
				return false // it is being written
			}
			if l.Kind == "alert" {
				written[l.ID]++
				continue
			}
			if l.Removed && l.PURL == "" {
				for id, other := range last {
					if other.Target == l.Target {
						delete(last, id)
					}
				}
			} else if last[l.ID] = l; l.Removed {
				delete(last, l.ID)
			}
		}
		var lines []inventoryLine
		for _, l := range last {
			lines = append(lines, l)
		}
		return len(written) == found && cmp.Equal(want, inventoryByTarget(lines))
	}

	h.Wait(10*time.Second, "sink-file has it too", read)
	for id, n := range written {
		if n != 1 {
			t.Errorf("alert %s was written %d times", id, n)
		}
	}
}
