//go:build quiet && linux

package main_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// TestQuietDay: a day on which nobody attacks raises no alert, of whatever
// severity, and nobody is cut off. Real programs make its traffic, a million
// packets and more in each mode, and its log lines; each has to succeed.
//
//	make quiet-day
func TestQuietDay(t *testing.T) {
	for _, tool := range []string{
		"unshare", "nsenter", "ip", "iptables", "openssl", "nginx", "sshd", "rsyslogd", "dnsmasq", "chronyd", "redis-server",
		"prometheus", "prometheus-node-exporter", "haproxy", "iperf3", "avahi-daemon", "udhcpc", "cron", "apt-ftparchive", "dpkg-deb",
		"git", "go", "rsync", "ssh", "sudo", "dnsperf", "dig", "fping", "mtr", "traceroute", "curl", "redis-cli", "logger",
	} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%v; see .ci/deps quiet-day", err)
		}
	}
	for _, mode := range []string{"simulate", "enforce"} {
		t.Run(mode, func(t *testing.T) { quietDay(t, mode) })
	}
}

func quietDay(t *testing.T, mode string) {
	begun := time.Now()
	w := newTown(t, mode)
	done := make([]string, len(kinds))
	for round := range 2 {
		began := time.Now()
		w.round(round, done)
		t.Logf("round %d took %v", round, time.Since(began).Round(time.Second))
		if round == 0 {
			w.endLearning()
		}
	}
	for i, k := range kinds {
		if k.check != nil {
			said, err := k.check(t.Context(), w)
			if err != nil {
				t.Errorf("%s: %v", k.name, err)
			}
			done[i] = strings.TrimPrefix(done[i]+"; "+said, "; ")
		}
	}
	w.report(mode, done, time.Since(begun))
}

// endLearning makes new listeners tell: all that listens is known by now.
func (w *town) endLearning() {
	w.t.Helper()
	text, err := os.ReadFile(w.ConfigFile())
	if err != nil {
		w.t.Fatal(err)
	}
	w.WriteConfig(strings.Replace(string(text), learning, "1s", 1))
	if _, err := w.CLI("config", "reload"); err != nil {
		w.t.Fatal(err)
	}
	w.Wait(time.Minute, "the detector to run", func() bool { return w.Plugin("detector-network").State == "running" })
}

// round runs all kinds of traffic at the same time.
func (w *town) round(round int, done []string) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Minute)
	defer cancel()
	var group sync.WaitGroup
	for i, k := range kinds {
		if k.run == nil {
			continue
		}
		group.Go(func() {
			began := time.Now()
			said, err := k.run(ctx, w, round)
			if err != nil {
				w.t.Errorf("%s: %v", k.name, err)
			}
			done[i] = said
			w.t.Logf("round %d: %s: %.0f s", round, k.name, time.Since(began).Seconds())
		})
	}
	group.Wait()
}

// quietFilter is what the test reads of ebpf status.
type quietFilter struct {
	Interface string            `json:"interface"`
	Packets   uint64            `json:"packets"`
	Bytes     uint64            `json:"bytes"`
	Dropped   uint64            `json:"dropped"`
	WouldDrop uint64            `json:"would_drop"`
	Counters  map[string]uint64 `json:"counters"`
}

// report prints what was seen, and fails for what must not be.
func (w *town) report(mode string, done []string, took time.Duration) {
	t := w.t
	var filters struct {
		Filters []quietFilter `json:"filters"`
	}
	w.JSON(&filters, "ebpf", "status")
	alerts, blocks := w.alerts(), w.blocks()
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\nA quiet day in mode %s\n\nTRAFFIC\tPACKETS\tCONNECTIONS\tALERTS\tDONE\n", mode)
	seen := w.tallies()
	var sum tally
	for i, k := range append(slices.Clone(kinds), traffic{name: otherTraffic}) {
		one, said := seen[k.name], ""
		if i < len(done) {
			said = done[i]
		}
		sum.packets += one.packets
		sum.connections += one.connections
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%s\n", k.name, one.packets, one.connections, w.blamed(k, alerts), said)
		if k.name != otherTraffic && one.packets == 0 {
			t.Errorf("%s: got no packet", k.name)
		}
	}
	fmt.Fprintf(table, "sum\t%d\t%d\t%d\t\n", sum.packets, sum.connections, len(alerts))
	_ = table.Flush()
	var packets uint64
	for _, f := range filters.Filters {
		packets += f.Packets
		fmt.Fprintf(&out, "\nfilter of %s: %d packets, %d bytes, dropped %d, would drop %d", f.Interface, f.Packets, f.Bytes, f.Dropped, f.WouldDrop)
		for _, name := range slices.Sorted(maps.Keys(f.Counters)) {
			fmt.Fprintf(&out, "\n  %s %d", name, f.Counters[name])
		}
		if f.Dropped+f.WouldDrop > 0 {
			t.Errorf("%s: got %d packets dropped and %d that would be, want none", f.Interface, f.Dropped, f.WouldDrop)
		}
	}
	fmt.Fprintf(&out, "\n\n%s\n%d packets in %v, %d alerts, %d blocks\n", w.logged(), packets, took.Round(time.Second), len(alerts), len(blocks))
	t.Log(out.String())
	if len(filters.Filters) != 2 || packets < 1_000_000 {
		t.Errorf("got %d packets at %d interfaces, want a million at two", packets, len(filters.Filters))
	}
	for _, a := range alerts {
		t.Errorf("got alert %s (%s): %v, %d events, %v", a.RuleID, a.Severity, a.Entities, a.Count, a.Details)
	}
	if len(blocks) > 0 {
		t.Errorf("got blocks %+v, want none", blocks)
	}
	if actions := w.actions(); len(actions) > 0 {
		t.Errorf("got actions %+v, want none", actions)
	}
}

// blamed counts the alerts about a machine, and a port where one is told, of a
// kind of traffic.
func (w *town) blamed(k traffic, alerts []alert) (n int) {
	for _, a := range alerts {
		for name, addrs := range w.addrs {
			from := a.Entities["src_ip"]
			if from != addrs[0].String() && from != addrs[1].String() {
				continue
			}
			if slices.ContainsFunc(k.matches, func(match string) bool {
				words := strings.Fields(match)
				ports := slices.IndexFunc(words, func(word string) bool { return strings.HasPrefix(word, "--dport") })
				return slices.Contains(words, "@"+name) && (ports < 0 || slices.Contains(strings.Split(words[ports+1], ","), a.Entities["dst_port"]))
			}) {
				n++
			}
		}
	}
	return n
}

// logged says how many lines each program wrote, and checks that the host has
// read the file to its end.
func (w *town) logged() string {
	b, err := os.ReadFile(filepath.Join(w.shared, "syslog"))
	if err != nil {
		w.t.Fatal(err)
	}
	count := make(map[string]int)
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 {
			name, _, _ := strings.Cut(strings.TrimSuffix(f[4], ":"), "[")
			count[name]++
		}
	}
	parts := make([]string, 0, len(count))
	for _, name := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, count[name]))
	}
	for _, name := range []string{"sshd", "sudo", "CRON", "nginx", "dnsmasq"} {
		if count[name] == 0 {
			w.t.Errorf("got no log line of %s", name)
		}
	}
	return "log lines of the host: " + strings.Join(parts, ", ")
}

// modules lists modules that lie in this machine's cache and are not large, to be
// downloaded from the mirror.
func modules(t *testing.T) (cache string, list []string) {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	cache = filepath.Join(strings.TrimSpace(string(out)), "cache", "download")
	found, err := filepath.Glob(filepath.Join(cache, "golang.org", "x", "*", "@v", "*.zip"))
	if err != nil || len(found) == 0 {
		t.Fatalf("find modules in %s: got %d, %v", cache, len(found), err)
	}
	for _, path := range found {
		rel, _ := filepath.Rel(cache, path)
		name, version, _ := strings.Cut(strings.TrimSuffix(rel, ".zip"), "/@v/")
		if _, err := os.Stat(strings.TrimSuffix(path, ".zip") + ".info"); err == nil {
			list = append(list, name+"@"+version)
		}
	}
	return cache, list
}
