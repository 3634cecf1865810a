//go:build bench

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/cmd/ironpost/testdata/bench/lines"
	"github.com/ironpost/ironpost/host/benchtest"
)

const (
	benchLines  = 4_000_000 // in one round
	benchRounds = 5         // of every contestant, in turns
	roundLimit  = 2 * time.Minute
)

// TestBenchPipeline compares source -> host -> parser -> host -> detector over
// four processes with the same work over channels inside one.
func TestBenchPipeline(t *testing.T) {
	p := startBenchHost(t)
	channels := hosttest.Compile(t, "./cmd/ironpost/testdata/bench/channels")
	p.round(t, benchLines/10, "") // warm

	values := make(map[string][]float64)
	record := func(c, metric string, v float64) { values[c+"/"+metric] = append(values[c+"/"+metric], v) }
	inProcess := []string{"single", "recycled", "batch"}
	objects := p.pluginObjects(t)
	for range benchRounds {
		s := p.round(t, benchLines, "")
		record("processes", "rate", s.rate)
		record("processes", "allocations", s.allocations)
		total := 0.0
		for name, ns := range s.cpu {
			record("processes", name, ns)
			total += ns
		}
		record("processes", "cpu", total)
		for _, mode := range inProcess {
			r := runChannels(t, channels, mode, p.rules)
			record(mode, "rate", r.rate)
			record(mode, "cpu", r.cpu)
			record("ratio "+mode, "rate", s.rate/r.rate)
			record("ratio "+mode, "cpu", r.cpu/total)
		}
	}

	undisturbed := p.pluginObjects(t)
	attack := p.round(t, benchLines/4, " attack")
	attackedObjects := p.pluginObjects(t)

	r := &benchtest.Report{Name: "pipeline"}
	m := func(key string) float64 { return benchtest.Median(values[key]) }
	const processes = "processes (gRPC)"
	r.Add(processes, "events_per_second", m("processes/rate"), "1/s")
	r.Add(processes, "cpu_total", m("processes/cpu"), "ns/event")
	for _, name := range []string{"source", "host", "parser", "detector"} {
		r.Add(processes, "cpu_"+name, m("processes/"+name), "ns/event")
	}
	r.Target(t, processes, "host_allocations", m("processes/allocations"), "objects/event", m("processes/allocations") <= 0.1, "<= 0.1")
	for _, name := range benchPlugins {
		v := float64(undisturbed[name]-objects[name]) / (benchRounds * benchLines)
		r.Target(t, processes, name+"_allocations", v, "objects/event", v <= 0.05, "<= 0.05")
	}
	const attacked = "processes (gRPC), one line in four a failed login"
	r.Add(attacked, "events_per_second", attack.rate, "1/s")
	r.Add(attacked, "host_allocations", attack.allocations, "objects/event")
	for _, name := range benchPlugins {
		r.Add(attacked, name+"_allocations", float64(attackedObjects[name]-undisturbed[name])/(benchLines/4), "objects/event")
	}
	for _, name := range []string{"source", "host", "parser", "detector"} {
		r.Add(attacked, "cpu_"+name, attack.cpu[name], "ns/event")
	}
	names := map[string]string{
		"single": "channel, one event a send", "recycled": "channel, one event a send, memory used again", "batch": "channel, batches of 1024",
	}
	for _, mode := range inProcess {
		r.Add(names[mode], "events_per_second", m(mode+"/rate"), "1/s")
		r.Add(names[mode], "cpu_total", m(mode+"/cpu"), "ns/event")
	}
	for _, mode := range inProcess {
		r.Add("processes : "+names[mode], "cpu_ratio", m("ratio "+mode+"/cpu"), "x")
	}
	for mode, least := range map[string]float64{"single": 1.1, "batch": 0.30} {
		ratio := m("ratio " + mode + "/rate")
		r.Target(t, "processes : "+names[mode], "rate_ratio", ratio, "x", ratio >= least, fmt.Sprintf(">= %.2f", least))
	}
	r.Add("processes : "+names["recycled"], "rate_ratio", m("ratio recycled/rate"), "x")
	r.Write(t)
}

// channelRun is a run of an in-process contestant.
type channelRun struct{ rate, cpu float64 }

func runChannels(t *testing.T, program, mode, rules string) channelRun {
	t.Helper()
	out, err := exec.Command(program, "-mode", mode, "-rules", rules, "-n", strconv.Itoa(benchLines)).Output()
	if err != nil {
		t.Fatalf("channels -mode %s: %v", mode, err)
	}
	var r struct {
		Events     int     `json:"events"`
		Seconds    float64 `json:"seconds"`
		CPUSeconds float64 `json:"cpu_seconds"`
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	if r.Events != benchLines {
		t.Fatalf("channels -mode %s: got %d events at the end, want %d", mode, r.Events, benchLines)
	}
	return channelRun{rate: float64(r.Events) / r.Seconds, cpu: r.CPUSeconds * 1e9 / float64(r.Events)}
}

// benchHost is a host with a source that emits on order.
type benchHost struct {
	*hosttest.Host
	orders, rules string
	order         int
	pids          map[string]int
	markers       <-chan benchMarker
}

// benchMarker is an alert about a marker line; at is when the host received it.
type benchMarker struct {
	text string
	at   time.Time
}

func startBenchHost(t *testing.T) *benchHost {
	t.Helper()
	dir, err := os.MkdirTemp("", "ipbench") // the sandbox opens what is granted, if others may reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &benchHost{orders: filepath.Join(dir, "orders"), rules: filepath.Join(dir, "rules")}
	plugins := filepath.Join(dir, "plugins")
	for _, d := range []string{dir, p.orders, p.rules, plugins} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	shipped, err := filepath.Glob(filepath.Join(hosttest.Root(), "rules", "*.yaml"))
	if err != nil || len(shipped) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	for _, f := range shipped {
		hosttest.Copy(t, f, filepath.Join(p.rules, filepath.Base(f)))
	}
	if err := os.WriteFile(filepath.Join(p.rules, "bench_marker.yaml"), []byte(lines.MarkerRule), 0o644); err != nil {
		t.Fatal(err)
	}
	hosttest.Copy(t, hosttest.Compile(t, "./cmd/ironpost/testdata/plugins/source-bench"), filepath.Join(plugins, "source-bench"))
	p.Host = hosttest.Start(t, hosttest.Options{
		Plugins:    []string{"parser-syslog", "detector-rules"},
		PluginDirs: []string{plugins},
		Config:     fmt.Sprintf("[rules]\npaths = [%q]\n[source_bench]\norders = %q\n", p.rules, p.orders),
	})
	p.followMarkers(t)
	if _, err := p.CLI("plugin", "enable", "source-bench"); err != nil {
		t.Fatal(err)
	}
	p.pids = map[string]int{"host": p.PID()}
	p.Wait(20*time.Second, "every plugin runs", func() bool {
		for short, name := range map[string]string{"source": "source-bench", "parser": "parser-syslog", "detector": "detector-rules"} {
			got := p.Plugin(name)
			if p.pids[short] = got.PID; got.State != "running" {
				return false
			}
		}
		return true
	})
	// Until the reader of the alerts listens.
	p.Wait(20*time.Second, "the alert about a marker", func() bool {
		p.send(t, "0")
		select {
		case <-p.markers:
			return true
		case <-time.After(500 * time.Millisecond):
			return false
		}
	})
	return p
}

// send gives an order to the source.
func (p *benchHost) send(t *testing.T, order string) {
	t.Helper()
	p.order++
	// Written aside and renamed: the source never sees half an order.
	aside := filepath.Join(p.orders, ".order")
	if err := os.WriteFile(aside, []byte(order), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, filepath.Join(p.orders, strconv.Itoa(p.order))); err != nil {
		t.Fatal(err)
	}
}

// followMarkers reads the alerts as they pass.
func (p *benchHost) followMarkers(t *testing.T) {
	t.Helper()
	markers := make(chan benchMarker, 64)
	p.markers = markers
	benchFollow(t, p.Host, "alert", func(_ context.Context, line []byte) {
		var a struct {
			RuleID   string    `json:"rule_id"`
			Observed time.Time `json:"observed_time"`
			Events   []struct {
				Message string `json:"message"`
			} `json:"events"`
		}
		if json.Unmarshal(line, &a) == nil && a.RuleID == "bench_marker" && len(a.Events) == 1 {
			markers <- benchMarker{strings.TrimPrefix(a.Events[0].Message, "bench marker "), a.Observed}
		}
	})
}

// benchPlugins are the plugins under measurement, by the names of the figures.
var benchPlugins = []string{"source", "parser", "detector"}

// pluginObjects is how many objects each plugin has allocated. A plugin tells
// the host with its health: what is returned is no older than the call.
func (p *benchHost) pluginObjects(t *testing.T) map[string]uint64 {
	t.Helper()
	read := func() map[string]uint64 {
		var plugins []struct {
			PID     int    `json:"pid"`
			Objects uint64 `json:"heap_objects_allocated"`
		}
		p.JSON(&plugins, "plugin", "list")
		objects := make(map[string]uint64)
		for name, pid := range p.pids {
			for _, one := range plugins {
				if one.PID == pid {
					objects[name] = one.Objects
				}
			}
		}
		return objects
	}
	old := read()
	var objects map[string]uint64
	p.Wait(20*time.Second, "every plugin's health", func() bool {
		objects = read()
		return !slices.ContainsFunc(benchPlugins, func(name string) bool { return objects[name] == old[name] }) // answering allocates
	})
	return objects
}

// benchSample is what one round cost.
type benchSample struct {
	rate        float64            // events per second
	allocations float64            // of the host, objects per event
	cpu         map[string]float64 // ns per event, by process
}

// round has the source emit n lines and waits for the alert about what follows
// them.
func (p *benchHost) round(t *testing.T, n int, log string) benchSample {
	t.Helper()
	var before, after benchStatus
	p.JSON(&before, "status")
	used := make(map[string]time.Duration)
	for name, pid := range p.pids {
		used[name] = benchProcessTime(t, pid)
	}
	p.send(t, strconv.Itoa(n)+log)
	began := p.await(t, fmt.Sprintf("begin %d", p.order))
	ended := p.await(t, fmt.Sprintf("end %d", p.order))
	s := benchSample{rate: float64(n) / ended.Sub(began).Seconds(), cpu: make(map[string]float64)}
	for name, pid := range p.pids {
		s.cpu[name] = float64((benchProcessTime(t, pid) - used[name]).Nanoseconds()) / float64(n)
	}
	p.JSON(&after, "status")
	after.clean(t)
	want := uint64(n) + 2 // the markers
	if got := after.Received - before.Received; got != want {
		t.Errorf("got %d records received, want %d", got, want)
	}
	if got := after.Parsed - before.Parsed; got != want {
		t.Errorf("got %d records parsed, want %d", got, want)
	}
	s.allocations = float64(after.HeapObjects-before.HeapObjects) / float64(n)
	return s
}

// await returns when the host received the alert about a marker.
func (p *benchHost) await(t *testing.T, text string) time.Time {
	t.Helper()
	limit := time.NewTimer(roundLimit)
	defer limit.Stop()
	for {
		select {
		case m := <-p.markers:
			if m.text == text {
				return m.at
			}
		case <-limit.C:
			t.Fatalf("no alert about the marker %q within %v; the host says:\n%s", text, roundLimit, p.Output())
		}
	}
}
