package resident

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// BenchmarkBehind looks for this process behind a listener of its own on the
// system as it is: without anything known, and from memory.
func BenchmarkBehind(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	at := netip.MustParseAddrPort(l.Addr().String())
	to := Endpoint{at.Addr(), at.Port(), TCP}
	// A clock that stands still: no budget ends.
	now := time.Now()
	finder := func() *Finder {
		f := System()
		f.now = func() time.Time { return now }
		return f
	}
	look := func(b *testing.B, f *Finder) {
		if a, err := f.Behind(to); err != nil || !a.Found() {
			b.Fatalf("got %+v, %v", a, err)
		}
	}
	b.Run("cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			look(b, finder())
		}
	})
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		f := finder()
		look(b, f)
		for b.Loop() {
			look(b, f)
		}
	})
	b.Run("busy", func(b *testing.B) {
		b.ReportAllocs()
		f := finder()
		f.behind.left = 0
		for b.Loop() {
			if _, err := f.Behind(to); err == nil {
				b.Fatal("no error without any time left")
			}
		}
	})
	b.Run("gone", func(b *testing.B) {
		b.ReportAllocs()
		f := finder()
		for b.Loop() {
			if a, err := f.Process(1<<22+1, "sshd", now); err != nil || a.Found() { // beyond any number
				b.Fatalf("got %+v, %v", a, err)
			}
		}
	})
}
