package main_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/ironpost/ironpost/host/nettest"
)

// TestCaptureDropped captures what a filter drops, and would drop.
func TestCaptureDropped(t *testing.T) {
	nettest.Need(t, "ip", "nsenter")
	l := newLife(t)
	l.CLIOrFail("block", "add", l.blocked.String(), "--ttl", "1h")
	l.CLIOrFail("block", "add", l.blocked6.String(), "--ttl", "1h")
	for _, mode := range []struct{ name, verdict string }{{"simulate", "would_drop"}, {"enforce", "dropped"}} {
		l.CLIOrFail("mode", mode.name)
		file := filepath.Join(t.TempDir(), "dropped.pcapng")
		fire := l.fire([]*flow{{from: l.blocked}, {from: l.innocent}, {from: l.blocked6}, {from: l.innocent6}})
		l.CLIOrFail("ebpf", "capture", l.Victim.Interface, "--dropped", "-w", file, "--packets", "40", "--for", "1m")
		fire.finish(0)
		got := readCapture(t, file)
		want := map[string]bool{
			fmt.Sprintf("%v>%v %s: block_host4", l.blocked, l.Victim.IP4, mode.verdict):  true,
			fmt.Sprintf("%v>%v %s: block_host6", l.blocked6, l.Victim.IP6, mode.verdict): true,
		}
		sum := 0
		for what, n := range got {
			if sum += n; !want[what] {
				t.Errorf("%s: got %d packets %s, want none", mode.name, n, what)
			}
		}
		if sum != 40 || len(got) != 2 {
			t.Errorf("%s: got %v, want 40 packets of both blocked addresses", mode.name, got)
		}
	}
}

// readCapture counts the packets of a file by addresses and comment.
func readCapture(t *testing.T, file string) map[string]int {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	for {
		data, info, options, err := r.ReadPacketDataWithOptions()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		p := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.Default)
		if age := time.Since(info.Timestamp); age < 0 || age > time.Minute || p.TransportLayer() == nil || info.Length != len(data) {
			t.Fatalf("got packet %v, %+v", p, info)
		}
		flow := p.NetworkLayer().NetworkFlow()
		got[fmt.Sprintf("%v>%v %s", flow.Src(), flow.Dst(), strings.Join(options.Comments, ","))]++
	}
}
