package network

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

// logins sends n short connections of a source within an interval.
func (f *feed) logins(at time.Duration, src netip.Addr, n uint64) {
	f.source(at, src, event.PacketEvent{Packets: 7 * n, Bytes: 900 * n, SYN: n, ACK: 5 * n, RST: n, PortSample: []uint16{22}})
}

// received sends the summary of what all sources sent to SSH.
func (f *feed) received(at time.Duration, n uint64) {
	f.destination(at, host4, 22, event.PacketEvent{Packets: 7 * n, Bytes: 900 * n, SYN: n, ACK: 5 * n, RST: n, Peers: uint32(n)})
}

func TestOneLoginSourceHidesNoOthers(t *testing.T) {
	one := "brute_force 198.51.100.7:22 src_ip=198.51.100.7 dst_ip=192.0.2.1 dst_port=22"
	all := "brute_force 192.0.2.1:22 dst_ip=192.0.2.1 dst_port=22"
	for _, tt := range []struct {
		name  string
		own   uint64        // connections a second of one source
		crowd uint64        // of all others
		after time.Duration // when the others begin
		want  []string
	}{
		{"alone", 2, 0, 0, []string{one}},
		{"alone and fast", 1000, 0, 0, []string{one}},
		{"beside a few people", 4, 1, 0, []string{one}},
		{"before an attack of many", 2, 20, 3 * time.Minute, []string{one, all}},
		{"in an attack of many", 2, 20, 0, []string{all, one}},
		{"as strong as many", 20, 20, 0, []string{one, all}},
		{"no crowd without the one", 2, 3, 0, []string{one}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f feed
			f.logins(0, peer4, 1)
			for at := time.Duration(0); at < 10*time.Minute; at += time.Second {
				now, others := settling+time.Minute+at, uint64(0)
				f.logins(now, peer4, tt.own)
				if at >= tt.after {
					others = tt.crowd
				}
				for i := range int(others) {
					n := int(at/time.Second)*20 + i
					f.logins(now, addr4(45, 1, n%1000/250, n%250), 1)
				}
				f.received(now, tt.own+others)
			}
			if diff := cmp.Diff(tt.want, summary(run(newDetector(t, Config{}), f.events))); diff != "" {
				t.Errorf("alerts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHoldEndsWithRemind(t *testing.T) {
	d := newDetector(t, Config{Remind: 10 * time.Minute})
	var q quiet
	begin := start.UnixNano()
	for at := time.Duration(0); at < 10*time.Minute; at += time.Second {
		d.hold(&q, begin+int64(at), begin+int64(at+time.Minute))
	}
	if got := time.Duration(q.until - begin); got != 10*time.Minute {
		t.Errorf("held for %s, want 10m", got)
	}
	// The clock was set back.
	begin -= int64(time.Hour)
	d.hold(&q, begin, begin+int64(time.Minute))
	if got := time.Duration(q.until - begin); got != time.Minute {
		t.Errorf("with the clock set back: held for %s, want 1m", got)
	}
}

func TestSuppressedListenerIsToldLater(t *testing.T) {
	d := newDetector(t, Config{ListenerLearning: time.Minute})
	contact := func(at time.Duration, ports int) int {
		var f feed
		for i := range ports {
			f.destination(at, host4, uint16(5000+i), event.PacketEvent{Packets: 4, SYN: 1, ACK: 3})
		}
		return len(run(d, f.events))
	}
	var got []int
	var f feed
	f.destination(0, host4, 80, event.PacketEvent{Packets: 4, SYN: 1, ACK: 3})
	run(d, f.events)
	for _, at := range []time.Duration{10 * time.Minute, 20 * time.Minute, 70 * time.Minute, 80 * time.Minute, 130 * time.Minute} {
		got = append(got, contact(at, 15))
	}
	if diff := cmp.Diff([]int{10, 0, 5, 0, 0}, got); diff != "" {
		t.Errorf("alerts of 15 listeners (-want +got):\n%s", diff)
	}
}

// TestSmallClockSetBack: what comes from before a window is not taken for its
// last step.
func TestSmallClockSetBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		send func(f *feed, at time.Duration)
	}{
		{"two logins a minute", func(f *feed, at time.Duration) {
			if at%(30*time.Second) == 0 {
				f.logins(at, peer4, 1)
				f.received(at, 1)
			}
		}},
		{"four unanswered SYN a second", func(f *feed, at time.Duration) {
			f.destination(at, host4, 443, event.PacketEvent{SYN: 4})
		}},
		{"a hundred in one second of thirty", func(f *feed, at time.Duration) {
			n := uint64(4)
			if at%(30*time.Second) == 0 {
				n = 100
			}
			f.destination(at, host4, 443, event.PacketEvent{SYN: n})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f feed
			for at := time.Duration(0); at < 2*time.Hour; at += time.Second {
				tt.send(&f, at)
			}
			for at := 80 * time.Minute; at < 3*time.Hour; at += time.Second {
				tt.send(&f, at)
			}
			if got := run(newDetector(t, Config{SlowFloodRate: 20}), f.events); len(got) > 0 {
				t.Errorf("got %q %v, want no alert", summary(got), got[0].Details)
			}
		})
	}
}

func TestLateStepsKeepTheirPlace(t *testing.T) {
	d := newDetector(t, Config{})
	var f feed
	for _, at := range []time.Duration{60, 66, 63, 60, 3} {
		at *= time.Second
		f.logins(at, peer4, 1)
		f.destination(at, host4, 443, event.PacketEvent{SYN: 100})
	}
	run(d, f.events)
	var got []int64
	for _, v := range d.logins.get(netip.AddrPortFrom(peer4, 22)).visits {
		got = append(got, v.number-start.UnixNano()/int64(3*time.Second), int64(v.syn))
	}
	if diff := cmp.Diff([]int64{20, 2, 21, 1, 22, 1}, got); diff != "" {
		t.Errorf("steps of logins and their SYN (-want +got):\n%s", diff)
	}
	got = nil
	for _, v := range d.destinations.get(netip.AddrPortFrom(host4, 443)).slow {
		got = append(got, (v.number-start.UnixNano()/int64(1500*time.Millisecond))*3/2, int64(v.syn))
	}
	if diff := cmp.Diff([]int64{60, 200, 63, 100, 66, 100}, got); diff != "" {
		t.Errorf("steps of a slow flood, in seconds, and their SYN (-want +got):\n%s", diff)
	}
}

func TestReflectionWithoutPackets(t *testing.T) {
	var f feed
	for i := range 8 {
		f.source(time.Duration(i)*tick, peer4, event.PacketEvent{Bytes: math.MaxUint32, Reflected: 1, UDP: 1, Service: 53})
	}
	got := run(newDetector(t, Config{}), f.events)
	want := []string{fmt.Sprintf("%s %s dst_ip=%s", RuleAmplification, host4, host4)}
	if diff := cmp.Diff(want, summary(got)); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
}
