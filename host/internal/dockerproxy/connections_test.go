package dockerproxy

import (
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// sockets counts the descriptors of this process that are sockets.
func sockets(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && len(to) > 7 && to[:7] == "socket:" {
			n++
		}
	}
	return n
}

// ping asks on a connection, and waits for the answer.
func ping(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	var answer [15]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil || string(answer[:]) != "HTTP/1.1 200 OK" {
		t.Fatalf("got %q, %v", answer, err)
	}
}

// TestConnections: a plugin that opens connections and says nothing takes a bounded number of the host's
// descriptors, and is served again when it closes some.
func TestConnections(t *testing.T) {
	_, c, path := serve(t, daemon(t, echo), "read")
	before := sockets(t)
	const opened = maxConnections + 100
	var own []net.Conn
	defer func() {
		for _, one := range own {
			_ = one.Close()
		}
	}()
	for range opened {
		one, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		own = append(own, one)
	}
	// They are accepted in their order: when the last of as many as there may be is served, so are
	// all before it.
	ping(t, own[maxConnections-1])
	// The two ends of the proxy's connection to the daemon are here as well.
	if got := sockets(t) - before - opened; got < maxConnections || got > maxConnections+2 {
		t.Errorf("got %d connections of the host, want %d", got, maxConnections)
	}
	_ = own[0].Close()
	ping(t, own[maxConnections]) // which waited
	for _, one := range own {
		_ = one.Close()
	}
	if status, got := ask(t, c, "GET", "/_ping", ""); status != 200 {
		t.Errorf("got %d %s, want it served again", status, got)
	}
}
