package xdp

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestConfigValidate(t *testing.T) {
	for _, test := range []struct {
		name   string
		config Config
		want   string // of the error; empty for none
	}{
		{"defaults", Config{Interface: "eth0"}, ""},
		{"no interface", Config{}, "interface"},
		{"mode", Config{Interface: "eth0", Mode: "offload"}, "auto, native or generic"},
		{"owner", Config{Interface: "eth0", Owner: "a@b"}, "letters and digits"},
		{"flush too often", Config{Interface: "eth0", FlushInterval: time.Millisecond}, "10ms and 10s"},
		{"flush too rarely", Config{Interface: "eth0", FlushInterval: time.Minute}, "10ms and 10s"},
		{"entries", Config{Interface: "eth0", MaxEntries: -1}, "max entries"},
		{"sources", Config{Interface: "eth0", SourceSlots: 1 << 30}, "source slots"},
		{"destinations", Config{Interface: "eth0", DestinationSlots: -5}, "destination slots"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.config.Validate()
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if c := test.config; c.FlushInterval != DefaultFlushInterval || c.Mode != ModeAuto || c.FirstSequence != 1 || c.Logger == nil {
					t.Errorf("got defaults %+v", c)
				}
				return
			}
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %v that says %q", err, ErrInvalid, test.want)
			}
		})
	}
}

func TestCanonical(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"10.1.2.3/8", "10.0.0.0/8"},
		{"::ffff:10.1.2.3/128", "10.1.2.3/32"},
		{"::ffff:10.1.2.3/104", "10.0.0.0/8"},
		{"::ffff:0:0/96", "0.0.0.0/0"},
		{"::ffff:0:0/95", ""},
		{"2001:db8::1/64", "2001:db8::/64"},
	} {
		got, err := canonical(netip.MustParsePrefix(test.in))
		if test.want == "" {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: got error %v, want %v", test.in, err, ErrInvalid)
			}
			continue
		}
		if err != nil || got.String() != test.want {
			t.Errorf("%s: got %v, %v, want %s", test.in, got, err, test.want)
		}
	}
}

func TestBusyError(t *testing.T) {
	for _, test := range []struct {
		err  BusyError
		want string
	}{
		{BusyError{Interface: "eth0", ProgramID: 7, ProgramName: "cil_xdp"}, `to eth0 ("cil_xdp", program id 7): detach it`},
		{BusyError{Interface: "eth0", ProgramID: 7}, "to eth0 (program id 7): detach it"},
		{BusyError{Interface: "eth0"}, "to eth0: detach it"},
		{BusyError{Interface: "lan0", ProgramName: programName, Pins: Pins{Interface: "eth0", Owner: "a", Dir: "/b/eth0@1@a"}}, "pinned in /b/eth0@1@a: stop that host if it runs; then ironpost ebpf detach eth0 with its --config"},
	} {
		if got := test.err.Error(); !strings.Contains(got, test.want) || !errors.Is(&test.err, ErrBusy) {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
