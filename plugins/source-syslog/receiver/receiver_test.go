package receiver

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for: %s", what)
		}
		<-tick.C
	}
}

// start runs a source on one loopback socket of each kind and returns their
// addresses.
func start(t *testing.T, h *host, edit func(*Config)) (udpAddr, tcpAddr string) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := Defaults()
	config.Listen = []string{"udp://127.0.0.1:514", "tcp://127.0.0.1:514"}
	if edit != nil {
		edit(&config)
	}
	src := New(&config)
	err = src.Setup(t.Context(), sdk.Env{
		Listeners: map[string]sdk.Listener{
			config.Listen[0]: {Packet: pc},
			config.Listen[1]: {Stream: ln},
		},
		Counter: h.count,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Health(t.Context()); err != nil {
		t.Errorf("Health: got %v, want nil", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- src.Run(ctx, h) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run did not end with its context")
		}
	})
	return pc.LocalAddr().String(), ln.Addr().String()
}

func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

const (
	udpStream = "udp://127.0.0.1:514 127.0.0.1"
	tcpStream = "tcp://127.0.0.1:514 127.0.0.1"
)

func (h *host) want(t *testing.T, name string, want ...string) {
	t.Helper()
	until(t, fmt.Sprintf("%d messages on %s", len(want), name), func() bool {
		return get(h, func() bool { return len(h.lines[name]) >= len(want) })
	})
	if got := get(h, func() []string { return slices.Clone(h.lines[name]) }); !slices.Equal(got, want) {
		t.Errorf("messages of %s: got %.300q, want %.300q", name, got, want)
	}
}

func (h *host) wantDrop(t *testing.T, reason string, n uint64) {
	t.Helper()
	until(t, fmt.Sprintf("%d drops for %s", n, reason), func() bool {
		return get(h, func() bool { return h.drops[reason] == n })
	})
}

func TestUDP(t *testing.T) {
	h := newHost()
	address, _ := start(t, h, nil)
	conn := dial(t, "udp", address)
	long := strings.Repeat("x", 60<<10)
	for _, text := range []string{"<1>a", "<2>b\n", "<3>two\nlines", long, "\n"} {
		send(t, conn, text)
	}
	h.want(t, udpStream, "<1>a", "<2>b", "<3>two\nlines", long)
	h.wantDrop(t, "empty_datagram", 1)
	got := get(h, func() sdk.StreamConfig { return h.configs[udpStream] })
	want := sdk.StreamConfig{Name: udpStream, Format: "syslog", Provenance: event.ProvenanceNetwork, Peer: "udp:127.0.0.1"}
	if got != want {
		t.Errorf("stream: got %+v, want %+v", got, want)
	}
}

func TestUDPDropsWhatTheHostDoesNotTake(t *testing.T) {
	h := newHost()
	h.full = true
	address, _ := start(t, h, nil)
	conn := dial(t, "udp", address)
	for range 10 {
		send(t, conn, "<1>a")
	}
	h.wantDrop(t, "full", 10)
}

func TestUDPManySenders(t *testing.T) {
	h := newHost()
	config := Defaults()
	src := New(&config)
	u := &udp{source: src, address: "udp://x", out: h}
	u.prepare()
	now := time.Now()
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	take := func(i int, now time.Time) {
		t.Helper()
		if err := u.take([]byte("m"), at(i), now); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxSenders {
		take(i, now)
	}
	take(5000, now.Add(time.Second)) // nobody was silent for long
	if h.opened != maxSenders+1 || h.closed != 0 || h.configs["udp://x"].Peer != "" {
		t.Fatalf("opened %d, closed %d, stream of the others %+v", h.opened, h.closed, h.configs["udp://x"])
	}
	take(0, now.Add(evictAfter)) // the first is heard again, so the second is the oldest
	take(5001, now.Add(evictAfter+time.Second))
	if _, ok := u.senders[at(1)]; ok || h.closed != 1 {
		t.Errorf("closed %d streams, the one silent longest is still open: %v", h.closed, ok)
	}
	u.sweep(now.Add(config.IdleTimeout + time.Second))
	if len(u.senders) != 2 {
		t.Errorf("senders after the sweep: got %d, want the 2 that spoke later", len(u.senders))
	}
}

func TestTCP(t *testing.T) {
	h := newHost()
	_, address := start(t, h, nil)
	conn := dial(t, "tcp", address)
	send(t, conn, "<1>a\n4 <2>b<3>c\x00<4")
	h.want(t, tcpStream, "<1>a", "<2>b", "<3>c")
	send(t, conn, ">d\n")
	h.want(t, tcpStream, "<1>a", "<2>b", "<3>c", "<4>d")
	got := get(h, func() sdk.StreamConfig { return h.configs[tcpStream] })
	want := sdk.StreamConfig{Name: tcpStream, Format: "syslog", Provenance: event.ProvenanceNetwork, Peer: "127.0.0.1"}
	if got != want {
		t.Errorf("stream: got %+v, want %+v", got, want)
	}
}

func TestTCPBadFramingClosesThatClientOnly(t *testing.T) {
	h := newHost()
	_, address := start(t, h, nil)
	good, bad := dial(t, "tcp", address), dial(t, "tcp", address)
	send(t, good, "<1>a\n")
	h.want(t, tcpStream, "<1>a")
	send(t, bad, "99999999999 x")
	wantClosed(t, bad)
	h.wantDrop(t, "bad_framing", 1)
	send(t, good, "<2>b\n")
	h.want(t, tcpStream, "<1>a", "<2>b")
	if n := get(h, func() int { return h.closed }); n != 0 {
		t.Errorf("streams closed: got %d, want 0 while the address is connected", n)
	}
}

func wantClosed(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	var one [1]byte
	if _, err := conn.Read(one[:]); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the connection is open: read gave %v", err)
	}
}

func TestTCPLimits(t *testing.T) {
	t.Run("per address", func(t *testing.T) {
		h := newHost()
		_, address := start(t, h, func(c *Config) { c.MaxClientsPerAddress = 1 })
		first := dial(t, "tcp", address)
		send(t, first, "<1>a\n")
		h.want(t, tcpStream, "<1>a")
		wantClosed(t, dial(t, "tcp", address))
		if n := get(h, func() uint64 { return h.counts["tcp_clients_refused"] }); n != 1 {
			t.Errorf("refused: got %d, want 1", n)
		}
		_ = first.Close()
		until(t, "the stream to close", func() bool { return get(h, func() bool { return h.closed == 1 }) })
	})
	t.Run("the silent one makes room", func(t *testing.T) {
		l := newLimiter(2, 2)
		silent, loud, late := &client{}, &client{}, &client{}
		silent.heard.Store(time.Now().Add(-time.Minute).UnixNano())
		loud.heard.Store(time.Now().UnixNano())
		late.heard.Store(time.Now().UnixNano())
		for _, c := range []*client{silent, loud} {
			if evicted, ok := l.enter(c); evicted != nil || !ok {
				t.Fatalf("enter: got %v %v", evicted, ok)
			}
		}
		if evicted, ok := l.enter(late); evicted != silent || !ok {
			t.Errorf("enter: got %p %v, want the silent one out", evicted, ok)
		}
		l.leave(silent)
		if evicted, ok := l.enter(&client{}); evicted != nil || ok {
			t.Errorf("enter: got %p %v, want a refusal", evicted, ok)
		}
	})
	t.Run("frame timeout", func(t *testing.T) {
		h := newHost()
		_, address := start(t, h, func(c *Config) { c.FrameTimeout = 50 * time.Millisecond })
		conn := dial(t, "tcp", address)
		send(t, conn, "<1>a\n100 <2>never comp")
		h.want(t, tcpStream, "<1>a")
		wantClosed(t, conn)
		h.wantDrop(t, "frame_timeout", 1)
	})
	t.Run("idle timeout", func(t *testing.T) {
		h := newHost()
		_, address := start(t, h, func(c *Config) { c.IdleTimeout = 50 * time.Millisecond })
		wantClosed(t, dial(t, "tcp", address))
		until(t, "the count", func() bool { return get(h, func() bool { return h.counts["tcp_clients_idle"] == 1 }) })
	})
	t.Run("incomplete frame", func(t *testing.T) {
		h := newHost()
		_, address := start(t, h, nil)
		conn := dial(t, "tcp", address)
		send(t, conn, "100 <2>never comp")
		_ = conn.Close()
		h.wantDrop(t, "incomplete_frame", 1)
	})
}

func TestTCPBackPressure(t *testing.T) {
	h := newHost()
	h.gate = make(chan struct{})
	_, address := start(t, h, nil)
	conn := dial(t, "tcp", address)
	line := "<1>" + strings.Repeat("x", 997)
	// The host takes nothing: the sender must come to a halt, long before 64 MiB.
	_ = conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	sent := 0
	for ; sent < 64<<10; sent++ {
		if _, err := io.WriteString(conn, line+"\n"); err != nil {
			break // inside a line, maybe; only whole ones are counted
		}
	}
	if sent == 64<<10 {
		t.Fatal("the sender was never held back")
	}
	close(h.gate)
	until(t, "what was sent", func() bool {
		return get(h, func() bool { return len(h.lines[tcpStream]) >= sent })
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, got := range h.lines[tcpStream][:sent] {
		if len(got) != 1000 {
			t.Fatalf("message %d of %d bytes, want 1000", i, len(got))
		}
	}
}

func TestHealth(t *testing.T) {
	config := Defaults()
	src := New(&config)
	if err := src.Health(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing to listen on") {
		t.Errorf("no addresses: got %v", err)
	}
	config.Listen = []string{"udp://127.0.0.1:514"}
	if err := src.Health(t.Context()); err == nil || !strings.Contains(err.Error(), "not listening on udp://127.0.0.1:514") {
		t.Errorf("no socket: got %v", err)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		listen string
		ok     bool
	}{
		{"udp://127.0.0.1:514", true},
		{"tcp://[::1]:6514", true},
		{"tcp://:601", true},
		{"udp://127.0.0.1", false},
		{"127.0.0.1:514", false},
		{"tls://127.0.0.1:6514", false}, // without a certificate
		{"http://127.0.0.1:6514", false},
		{"udp://127.0.0.1:70000", false},
		{"udp://127.0.0.1:0", false},
		{"udp://127.0.0.1:514/x", false},
	} {
		config := Defaults()
		config.Listen = []string{c.listen}
		if err := config.Validate(); (err == nil) != c.ok {
			t.Errorf("listen %q: got %v, want ok %v", c.listen, err, c.ok)
		}
	}
}
