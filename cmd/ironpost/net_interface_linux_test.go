package main_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/nettest"
)

// TestInterfaces names an interface that is not there, one that another program
// has, and lo, which has no native mode: the host runs and says of each how it
// is, and leaves nothing attached, however it ends.
func TestInterfaces(t *testing.T) {
	nettest.Need(t, "ip", "nsenter", "clang")
	pair := nettest.NewPair(t)
	object := filepath.Join(t.TempDir(), "stranger.o")
	source := object[:len(object)-1] + "c"
	if err := os.WriteFile(source, []byte(`__attribute__((section("xdp"), used)) int stranger(void *ctx) { return 2; }`), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("clang", "-O2", "-target", "bpf", "-c", source, "-o", object).CombinedOutput(); err != nil {
		t.Fatalf("clang: %v\n%s", err, out)
	}
	run(t, pair.Victim, 10*time.Second, "ip", "link", "set", "dev", pair.Victim.Interface, "xdpgeneric", "obj", object, "sec", "xdp")

	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"detector-network"},
		Env:     []string{"IRONPOST_EBPF_INTERFACE=nosuch0," + pair.Victim.Interface + ",lo"},
		Command: func(name string, args ...string) *exec.Cmd {
			return pair.Victim.Command(context.Background(), name, args...)
		},
	})
	list := interfaces(h)
	want := []struct{ name, mode, errorHas string }{
		{"nosuch0", "", "there are: lo, " + pair.Victim.Interface},
		{pair.Victim.Interface, "", "stranger"},
		{"lo", "generic", ""},
	}
	if len(list) != len(want) {
		t.Fatalf("got interfaces %+v, want %d", list, len(want))
	}
	for i, w := range want {
		got := list[i]
		if got.Name != w.name || got.Mode != w.mode || (got.Error == "") != (w.errorHas == "") || !strings.Contains(got.Error, w.errorHas) {
			t.Errorf("got interface %+v, want %s, mode %q, an error with %q", got, w.name, w.mode, w.errorHas)
		}
		if w.errorHas != "" && !strings.Contains(h.Output(), "not watched  interface "+w.name) {
			t.Errorf("the first lines do not say that %s is not watched", w.name)
		}
	}
	if line := linkLine(t, pair.Victim, "lo"); !strings.Contains(line, "xdp") {
		t.Fatalf("got %q, want xdp on lo while the host runs", line)
	}
	if err := h.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if line := linkLine(t, pair.Victim, "lo"); strings.Contains(line, "xdp") {
		t.Errorf("got %q after a clean stop, want nothing attached", line)
	}
	if line := linkLine(t, pair.Victim, pair.Victim.Interface); !strings.Contains(line, "xdp") {
		t.Errorf("got %q, want the stranger's program left alone", line)
	}

	h.Start()
	if line := linkLine(t, pair.Victim, "lo"); !strings.Contains(line, "xdp") {
		t.Fatalf("got %q, want xdp on lo while the host runs", line)
	}
	h.Kill()
	// The kernel detaches when the last descriptor is closed, which it may do a
	// moment after the process is gone.
	h.Wait(5*time.Second, "nothing attached after SIGKILL", func() bool {
		return !strings.Contains(linkLine(t, pair.Victim, "lo"), "xdp")
	})
}
