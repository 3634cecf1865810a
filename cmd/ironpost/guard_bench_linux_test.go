//go:build bench

package main

import (
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/benchtest"
)

const (
	guardRuns = 50 // IRONPOST_BENCH_GUARD_RUNS has another number, for a try
	// guardBudget is what an answer may take beyond what Docker needs to take a
	// container off its network.
	guardBudget = 50 * time.Millisecond
)

// TestBenchGuard measures the time from a container's writing a line to its being cut
// off, without evidence and with, beside what Docker's own disconnect takes. They
// take turns, each on a container of its own.
func TestBenchGuard(t *testing.T) {
	d := guardDocker(t)
	dir := writeFiles(t, map[string]string{
		"rules/bench.yaml":     "id: bench\ntitle: A line of the benchmark\nseverity: high\ndetection:\n  conditions:\n    - field: message\n      operator: contains\n      value: guard-bench\n",
		"policies/bare.yaml":   "name: bare\norder: 1\nmode: enforce\nmatch:\n  rule: [bench]\n  name: [\"bare-*\"]\nactions: [net-isolate]\nttl: 1h\n",
		"policies/proofs.yaml": "name: proofs\norder: 2\nmode: enforce\nmatch:\n  rule: [bench]\n  name: [\"proof-*\"]\nactions: [evidence, net-isolate]\nttl: 1h\n",
	})
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-docker", "parser-json", "detector-rules", "enforcer-docker", "sink-sqlite"},
		Config: fmt.Sprintf("docker_socket = %q\n[rules]\npaths = [%q]\n[container]\npolicies = [%q]\n[guard]\nmax_per_minute = 10000\nmax_at_once = 1000\nmax_share = 100\nmax_alike = 1000\n",
			d.Socket, filepath.Join(dir, "rules"), filepath.Join(dir, "policies")),
	})
	if _, err := h.CLI("mode", "enforce"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"source-docker", "enforcer-docker", "detector-rules"} {
		h.Wait(time.Minute, name+" runs", func() bool { return h.Plugin(name).State == "running" })
	}
	b := &guardBench{t: t, docker: d, host: h, log: witness(t, d)}
	runs := guardRuns
	if n, err := strconv.Atoi(os.Getenv("IRONPOST_BENCH_GUARD_RUNS")); err == nil {
		runs = n
	}
	var bare, proof, engine []time.Duration
	for i := range runs + 2 {
		one, two, three := b.answered(fmt.Sprintf("bare-%d", i)), b.disconnected(fmt.Sprintf("plain-%d", i)), b.answered(fmt.Sprintf("proof-%d", i))
		if i >= 2 { // the first ones load programs
			bare, engine, proof = append(bare, one), append(engine, two), append(proof, three)
		}
	}
	r := &benchtest.Report{Name: "guard"}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	for _, c := range []struct {
		name  string
		times []time.Duration
	}{{"Docker's own disconnect", engine}, {"line written -> isolated", bare}, {"line written -> evidence kept -> isolated", proof}} {
		slices.Sort(c.times)
		for _, p := range []int{50, 99} {
			got := percentile(c.times, p)
			r.Add(c.name, fmt.Sprintf("p%d", p), ms(got), "ms")
			if c.name == "Docker's own disconnect" {
				continue
			}
			ours := got - percentile(engine, p)
			r.Target(t, c.name, fmt.Sprintf("p%d less Docker's", p), ms(ours), "ms", p != 99 || ours <= guardBudget, fmt.Sprintf("<= %v", guardBudget))
		}
	}
	r.Write(t)
}

// percentile is the nearest rank of sorted times.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[int(math.Ceil(float64(len(sorted)*p)/100))-1]
}

type guardBench struct {
	t      *testing.T
	docker *hosttest.Docker
	host   *hosttest.Host
	log    *chronicle
}

// container starts a container that writes to its output what comes in a pipe.
func (b *guardBench) container(name string) (id string, pipe *os.File) {
	b.t.Helper()
	dir := b.t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "lines"), 0o666); err != nil {
		b.t.Fatal(err)
	}
	// Opened for both, so that neither side waits for the other.
	pipe, err := os.OpenFile(filepath.Join(dir, "lines"), os.O_RDWR, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	var made struct{ ID string }
	b.docker.Call(&made, http.MethodPost, "/containers/create?name="+name, strings.NewReader(fmt.Sprintf(
		`{"Image":"busybox:local","Cmd":["/busybox","cat","/in/lines"],"StopSignal":"SIGKILL","HostConfig":{"NetworkMode":"front","Binds":["%s:/in"]}}`, dir)), "application/json")
	b.docker.Call(nil, http.MethodPost, "/containers/"+made.ID+"/start", http.NoBody, "")
	return made.ID, pipe
}

func (b *guardBench) remove(id string, pipe *os.File) {
	b.t.Helper()
	_ = pipe.Close()
	b.docker.Call(nil, http.MethodDelete, "/containers/"+id+"?force=1", http.NoBody, "")
}

// answered returns the time from a line of a container's to its isolation.
func (b *guardBench) answered(name string) time.Duration {
	b.t.Helper()
	id, pipe := b.container(name)
	defer b.remove(id, pipe)
	var now, before struct {
		Received uint64 `json:"received"`
	}
	b.host.JSON(&before, "status")
	b.write(pipe, `{"message":"all is well"}`)
	b.host.Wait(time.Minute, "the output of "+name+" is followed", func() bool {
		return b.host.Try(&now, "status") == nil && now.Received > before.Received
	})
	begun := time.Now()
	b.write(pipe, `{"message":"guard-bench"}`)
	return b.cut(id, begun)
}

func (b *guardBench) write(pipe *os.File, line string) {
	b.t.Helper()
	if _, err := pipe.WriteString(line + "\n"); err != nil {
		b.t.Fatal(err)
	}
}

// disconnected returns how long Docker takes to disconnect a container by itself.
func (b *guardBench) disconnected(name string) time.Duration {
	b.t.Helper()
	id, pipe := b.container(name)
	defer b.remove(id, pipe)
	begun := time.Now()
	go b.docker.Call(nil, http.MethodPost, "/networks/front/disconnect", strings.NewReader(fmt.Sprintf(`{"Container":%q,"Force":true}`, id)), "application/json")
	return b.cut(id, begun)
}

// cut returns when Docker says that a container has left its network: the time is
// Docker's own, and nobody asks it anything meanwhile.
func (b *guardBench) cut(id string, begun time.Time) time.Duration {
	b.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if left := b.log.of(id, begun, "disconnect"); len(left) > 0 {
			if on := endpoints(b.docker, id); len(on) > 0 {
				b.t.Fatalf("%.12s is on %v", id, on)
			}
			return left[0].at.Sub(begun)
		}
		if time.Since(begun) > time.Minute {
			b.t.Fatalf("%.12s is not cut off within a minute", id)
		}
		<-tick.C
	}
}
