package receiver

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/sdk"
)

func TestPace(t *testing.T) {
	for _, c := range []struct {
		name            string
		messages, bytes int
		size            int
		// In ten seconds of 1,000 messages each, how many pass.
		low, high int
	}{
		{"no bound", 0, 0, 1000, 10_000, 10_000},
		{"messages", 100, 0, 10, 1000, 1110},
		{"bytes", 0, 10_000, 100, 1000, 1110},
		{"the tighter one", 500, 10_000, 100, 1000, 1110},
		{"a message above the rate", 0, 10, 50, 2, 4},
	} {
		p := newPace(&Config{MaxMessages: c.messages, MaxBytes: sdk.Size(c.bytes)})
		now := time.Unix(1000, 0)
		passed := 0
		for range 10_000 {
			if p.admit(c.size, now) {
				passed++
			}
			now = now.Add(time.Millisecond)
		}
		if passed < c.low || passed > c.high {
			t.Errorf("%s: %d of 10,000 passed, want %d to %d", c.name, passed, c.low, c.high)
		}
	}
	p := newPace(&Config{MaxMessages: 10})
	now := time.Unix(1000, 0)
	for range 40 {
		now = now.Add(p.delay(10, now))
	}
	if took := now.Sub(time.Unix(1000, 0)); took < 2900*time.Millisecond || took > 3*time.Second {
		t.Errorf("40 messages at 10 a second with a burst of a second took %s, want about 3s", took)
	}
}

func TestUDPRateLimit(t *testing.T) {
	h := newHost()
	address, _ := start(t, h, func(c *Config) { c.MaxMessages = 5 })
	conn := dial(t, "udp", address)
	const sent = 200
	for range sent {
		send(t, conn, "<1>a")
	}
	until(t, "every datagram to be counted", func() bool {
		return get(h, func() bool {
			return len(h.lines[udpStream])+int(h.drops["rate_limited"])+int(h.drops["kernel_udp"]) == sent
		})
	})
	if n := get(h, func() int { return len(h.lines[udpStream]) }); n < 5 || n > 100 {
		t.Errorf("%d of %d datagrams passed at 5 a second", n, sent)
	}
}

func TestTCPRateLimit(t *testing.T) {
	h := newHost()
	_, address := start(t, h, func(c *Config) { c.MaxMessages = 50 })
	conn := dial(t, "tcp", address)
	var want []string
	begin := time.Now()
	for i := range 75 {
		want = append(want, fmt.Sprintf("<1>%d", i))
	}
	if _, err := io.WriteString(conn, strings.Join(want, "\n")+"\n"); err != nil {
		t.Fatal(err)
	}
	h.want(t, tcpStream, want...) // late, and nothing is lost
	if took := time.Since(begin); took < 400*time.Millisecond {
		t.Errorf("75 messages at 50 a second with a burst of a second took %s", took)
	}
	if n := get(h, func() uint64 { return h.counts["tcp_messages_delayed"] }); n == 0 {
		t.Error("nothing was counted as delayed")
	}
}
