//go:build bench

package main_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/host/benchtest"
)

// benchNetworks is how long the lists of the benchmark are.
const benchNetworks = 1_000_000

// TestBenchImport imports lists of a million networks into a host in enforce mode
// that watches an interface. An import takes from the start of the verb to its end:
// then it is in the kernel and on the disk.
func TestBenchImport(t *testing.T) {
	a := newImporter(t, 1<<21)
	report := &benchtest.Report{Name: "import"}
	defer report.Write(t)
	idle := benchResident(t, a.PID())
	rng := rand.New(rand.NewPCG(1, 1))
	seen := make(map[uint32]bool, benchNetworks)
	random := func(int) string {
		for {
			n := rng.Uint32N(0x7f000000-0x0b000000) + 0x0b000000
			if !seen[n] {
				seen[n] = true
				return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}).String()
			}
		}
	}
	hosts := writeNetworks(t, a.Host, "hosts.txt", 0, benchNetworks, random)
	networks := writeNetworks(t, a.Host, "networks.txt", 0, benchNetworks, func(i int) string {
		return fmt.Sprintf("%d.%d.%d.0/24", 11+i>>16, i>>8&255, i&255)
	})
	timed := func(args ...string) float64 {
		t.Helper()
		start := time.Now()
		if _, err := a.CLI(args...); err != nil {
			t.Fatal(err)
		}
		return time.Since(start).Seconds()
	}
	imports := func(c, file string, more ...string) {
		t.Helper()
		took := timed(append([]string{"block", "import", file, "--list", c[:4], "--ttl", "1h"}, more...)...)
		report.Target(t, c, "until in force and on the disk", took, "s", took <= 2, "at most 2 s")
	}
	imports("host addresses, at random", hosts)
	report.Add("host addresses, at random", "resident memory of the host for each", float64(benchResident(t, a.PID())-idle)/benchNetworks, "B")
	imports("host addresses, the same again, for longer", hosts, "--ttl", "2h")
	imports("host addresses, dry run", hosts, "--dry-run")
	imports("netw: /24", networks)
	report.Add("list of 2 million", "block list --limit 10", timed("block", "list", "--limit", "10"), "s")
	report.Add("list of 2 million", "block list --count", timed("block", "list", "--count"), "s")
	report.Add("list of a million", "block remove --list", timed("block", "remove", "--list", "netw"), "s")
	a.Kill()
	start := time.Now()
	a.Start()
	took := time.Since(start).Seconds()
	report.Target(t, "host addresses", "start of a killed host", took, "s", took <= 2, "at most 2 s")
	if n, _ := a.inKernel(); n != benchNetworks {
		t.Errorf("got %d addresses in the kernel, want %d", n, benchNetworks)
	}
}

// benchResident returns the resident memory of a process in bytes.
func benchResident(t *testing.T, pid int) int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(raw))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
