package main_test

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/nettest"
)

// writeNetworks writes the networks from to to, as network names them, into a file
// of the host, in an order that is none, and returns its path.
func writeNetworks(t testing.TB, h *hosttest.Host, name string, from, to int, network func(int) string) string {
	t.Helper()
	path := filepath.Join(h.Dir, name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	n := to - from
	for i := range n {
		// A prime: every place comes once, unless n is a multiple of it.
		fmt.Fprintln(w, network(from+i*7919%n))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// hostNumber is an address of 11.0.0.0/8 and what follows.
func hostNumber(i int) string {
	return netip.AddrFrom4([4]byte{11 + byte(i>>24), byte(i >> 16), byte(i >> 8), byte(i)}).String()
}

// imported is what the tests read of block lists and block import.
type imported struct {
	Name      string    `json:"name"`
	Networks  int       `json:"networks"`
	Expires   time.Time `json:"expires"`
	Added     int       `json:"added"`
	Unchanged int       `json:"unchanged"`
	Removed   int       `json:"removed"`
	Refused   int       `json:"refused"`
}

// newImporter starts a host in enforce mode that watches an interface, whose
// filter is pinned, with room for so many entries of each kind.
func newImporter(t *testing.T, room int) *arena {
	t.Helper()
	nettest.Need(t, "ip", "nsenter")
	return newArena(t, nettest.NewPair(t), hosttest.Options{
		Plugins: []string{},
		Env: []string{
			"IRONPOST_EBPF_PIN_DIR=" + nettest.PinDir(t), fmt.Sprint("IRONPOST_EBPF_MAX_ENTRIES=", room), "IRONPOST_GENERAL_MODE=enforce",
		},
	})
}

// inKernel returns how many addresses the filter has, and how many networks.
func (a *arena) inKernel() (hosts, networks int) {
	a.t.Helper()
	var s filterStatus
	a.JSON(&s, "ebpf", "status")
	f := s.only(a.t)
	return f.inUse("hosts4"), f.inUse("nets4")
}

// TestImportEndToEnd blocks a real neighbour by a list, and lets it in again.
func TestImportEndToEnd(t *testing.T) {
	a := newImporter(t, 300_000)
	neighbour := assign(t, a.Attacker, netip.MustParseAddr("10.77.0.7"))
	list := writeNetworks(t, a.Host, "drop.txt", 0, 200_000, func(i int) string {
		switch i {
		case 17:
			return "10.77.0.4/30 ; the neighbour"
		case 18:
			return a.Victim.IP4.String()
		}
		return hostNumber(i)
	})
	var got imported
	a.JSON(&got, "block", "import", list, "--list", "drop", "--ttl", "1h")
	if got.Added != 199_999 || got.Refused != 1 {
		t.Errorf("got %+v, want all but the host's own address", got)
	}
	if hosts, networks := a.inKernel(); hosts != 199_998 || networks != 1 {
		t.Errorf("got %d addresses and %d networks in the kernel, want 199,998 and one", hosts, networks)
	}
	if a.reaches(neighbour, silence) {
		t.Error("the neighbour on the list reaches the host")
	}
	var page []block
	a.JSON(&page, "block", "list", "--prefix", neighbour.String())
	if len(page) != 1 || page[0].Prefix != "10.77.0.4/30" || page[0].Hits == 0 || page[0].Effect != "enforced" {
		t.Errorf("got %+v, want the one network with its hits", page)
	}
	before := page[0].Expires

	a.Kill()
	a.Start()
	a.JSON(&page, "block", "list", "--limit", "2")
	if len(page) != 2 || page[0].Prefix != "10.77.0.4/30" || page[1].Prefix != "11.0.0.0/32" {
		t.Errorf("got %+v, want the first two", page)
	}
	// What is left is the lesser of two clocks' accounts, which tick apart.
	if d := before.Sub(page[0].Expires); d < -time.Second || d > time.Second {
		t.Errorf("it expires at %v after a restart, want %v as before", page[0].Expires, before)
	}
	if a.reaches(neighbour, silence) {
		t.Error("the neighbour on the list reaches the host after a restart")
	}
	out, err := a.CLI("block", "list")
	if n := strings.Count(out, "\n"); err != nil || n != 200_000 {
		t.Errorf("got %d lines, %v, want a line for each and a header", n, err)
	}

	// Another list of that name, without it.
	list = writeNetworks(t, a.Host, "drop.txt", 100_000, 250_000, hostNumber)
	a.JSON(&got, "block", "import", list, "--list", "drop", "--ttl", "1h")
	if got.Added != 50_000 || got.Unchanged != 100_000 || got.Removed != 99_999 {
		t.Errorf("got %+v, want 50,000 added, 99,999 removed", got)
	}
	if !a.reaches(neighbour, patience) {
		t.Error("the neighbour does not reach the host, who is off the list")
	}
	// One that the kernel has no room for changes nothing.
	list = writeNetworks(t, a.Host, "large.txt", 0, 400_000, hostNumber)
	if out, err := a.CLI("block", "import", list); hosttest.ExitCode(err) != 1 || !strings.Contains(err.Error(), "max_entries") {
		t.Errorf("got %q %v, want that there is no room, and how to make it", out, err)
	}
	if hosts, networks := a.inKernel(); hosts != 150_000 || networks != 0 {
		t.Errorf("got %d addresses and %d networks in the kernel, want 150,000", hosts, networks)
	}
	if _, err := a.CLI("block", "remove", "--list", "drop"); err != nil {
		t.Error(err)
	}
	if hosts, _ := a.inKernel(); hosts != 0 {
		t.Errorf("got %d addresses in the kernel after the list was removed", hosts)
	}
}

// TestImportSurvivesKill kills the host at many points of an import: what is in
// force after the restart is the list before or the list after, and the one after
// if the verb had said so.
func TestImportSurvivesKill(t *testing.T) {
	a := newImporter(t, 300_000)
	const n = 100_000
	files := []string{
		writeNetworks(t, a.Host, "even.txt", 0, n, hostNumber),
		writeNetworks(t, a.Host, "odd.txt", n, 2*n-1, hostNumber),
	}
	sizes := []int{n, n - 1}
	start := time.Now()
	if _, err := a.CLI("block", "import", files[0], "--list", "drop", "--ttl", "1h"); err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	current, seen := 0, map[string]int{}
	const points = 10
	for i := range points {
		next := 1 - current
		answer := make(chan error, 1)
		go func() {
			_, err := a.CLI("block", "import", files[next], "--list", "drop", "--ttl", "1h")
			answer <- err
		}()
		<-time.After(took * time.Duration(i+points/2) / points)
		a.Kill()
		err := <-answer
		a.Start()
		var lists []imported
		a.JSON(&lists, "block", "lists")
		hosts, _ := a.inKernel()
		if len(lists) != 1 || lists[0].Networks != hosts || hosts != sizes[current] && hosts != sizes[next] {
			t.Fatalf("point %d: got %+v and %d in the kernel, want %d or %d", i, lists, hosts, sizes[current], sizes[next])
		}
		switch {
		case err == nil && hosts != sizes[next]:
			t.Fatalf("point %d: the import was done, and is gone after the restart", i)
		case hosts == sizes[next]:
			current = next
			seen["after"]++
		default:
			seen["before"]++
		}
		// Which addresses: the first of each half.
		var page []block
		a.JSON(&page, "block", "list", "--limit", "1")
		if want := hostNumber(current*n) + "/32"; len(page) != 1 || page[0].Prefix != want {
			t.Fatalf("point %d: got %+v first, want %s", i, page, want)
		}
		if left, err := os.ReadDir(filepath.Join(a.Dir, "data", "lists")); err != nil || len(left) != 1 {
			t.Errorf("point %d: got files %v, %v, want one", i, left, err)
		}
	}
	t.Logf("killed at %d points of %v: %v", points, took.Round(time.Millisecond), seen)
}
