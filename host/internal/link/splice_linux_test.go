package link

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// sockets returns both ends of a connection.
func sockets(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: filepath.Join(t.TempDir(), "s")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	a, err = net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	b, err = l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(); _ = b.Close() })
	return a, b
}

// noise returns bytes that no two places have alike.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func frame(payload []byte) *pb.Frame {
	records := bytes.Clone(payload)
	return pb.NewFrame(pb.Header{Stream: 7, FirstSequence: 1, Kind: pb.Kind_KIND_RAW, Count: 1, Checkpoint: []byte("here")}, &records, nil)
}

// keeping returns a connection whose large frames p keeps, and the plugin's end.
func keeping(t *testing.T, p *Pipes) (host *pb.FrameConn, plugin *net.UnixConn) {
	t.Helper()
	a, b := sockets(t)
	host = pb.NewFrameConn(a, new(pb.Pool))
	host.Keeper = p.keeper(a)
	return host, b
}

func (p *Pipes) inUse() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}

// whole is the wire form of a frame.
func whole(t *testing.T, f *pb.Frame) []byte {
	t.Helper()
	var out memory
	if err := pb.NewFrameConn(&out, nil).Send(f); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// memory is a connection into memory.
type memory struct {
	net.Conn
	bytes.Buffer
}

func (m *memory) Read(b []byte) (int, error)  { return m.Buffer.Read(b) }
func (m *memory) Write(b []byte) (int, error) { return m.Buffer.Write(b) }

// TestParcels passes frames from a plugin through the host to two others, however
// the first one writes them.
func TestParcels(t *testing.T) {
	for name, size := range map[string]int{
		"small":          100,
		"just too small": minParcel,
		"usual":          200_000,
		"the largest":    pb.MaxBatchBytes,
	} {
		for how, write := range map[string]func(io.Writer, []byte) error{
			"at once": func(w io.Writer, b []byte) error { _, err := w.Write(b); return err },
			"the header cut": func(w io.Writer, b []byte) error {
				return pieces(w, b, 5, len(b))
			},
			"in pieces of 3000 bytes": func(w io.Writer, b []byte) error { return pieces(w, b, 3000, 3000) },
			"the end byte by byte": func(w io.Writer, b []byte) error {
				cut := max(0, len(b)-4000)
				if _, err := w.Write(b[:cut]); err != nil {
					return err
				}
				return pieces(w, b[cut:], 1, 1)
			},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				p := new(Pipes)
				host, plugin := keeping(t, p)
				payload := noise(size)
				errs := make(chan error, 1)
				go func() { errs <- write(plugin, whole(t, frame(payload))) }()
				f := new(pb.Frame)
				if err := host.Recv(f); err != nil {
					t.Fatal(err)
				}
				if err := <-errs; err != nil {
					t.Fatal(err)
				}
				if string(f.Checkpoint) != "here" || f.Size() != size {
					t.Errorf("got checkpoint %q and %d bytes, want %q and %d", f.Checkpoint, f.Size(), "here", size)
				}
				for range 2 {
					out, consumer := keeping(t, p)
					go func() { errs <- out.Send(f) }()
					g := new(pb.Frame)
					if err := pb.NewFrameConn(consumer, new(pb.Pool)).Recv(g); err != nil {
						t.Fatal(err)
					}
					if err := <-errs; err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(g.Payload(), payload) {
						t.Error("the consumer got other bytes than were sent")
					}
					g.Free()
				}
				if !bytes.Equal(f.Payload(), payload) {
					t.Error("the host reads other bytes than were sent")
				}
				f.Free()
				if n := p.inUse(); n != 0 {
					t.Errorf("%d pipes are in use at the end", n)
				}
			})
		}
	}
}

// pieces writes b in pieces, of which the first may be of another length.
func pieces(w io.Writer, b []byte, first, others int) error {
	for n := first; len(b) > 0; n = others {
		n = min(n, len(b))
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// TestParcelIsKeptOutOfMemory holds the test above to what it is for.
func TestParcelIsKeptOutOfMemory(t *testing.T) {
	p := new(Pipes)
	host, plugin := keeping(t, p)
	go func() { _, _ = plugin.Write(whole(t, frame(noise(200_000)))) }()
	f := new(pb.Frame)
	if err := host.Recv(f); err != nil {
		t.Fatal(err)
	}
	if n := p.inUse(); n != 1 {
		t.Errorf("%d pipes are in use, want 1", n)
	}
	g := f.With(f.Header)
	f.Free()
	if n := p.inUse(); n != 1 {
		t.Errorf("%d pipes are in use while a frame is held, want 1", n)
	}
	g.Free()
	if n := p.inUse(); n != 0 {
		t.Errorf("%d pipes are in use when none is held, want 0", n)
	}
}

// TestParcelsBeyondTheLimit: the batch that no pipe is left for is in memory.
func TestParcelsBeyondTheLimit(t *testing.T) {
	p := new(Pipes)
	if !p.reserve() {
		t.Fatal("no pipe at all")
	}
	p.limit = 3
	host, plugin := keeping(t, p)
	payload := noise(100_000)
	data := whole(t, frame(payload))
	var held []*pb.Frame
	for range 5 {
		go func() { _, _ = plugin.Write(data) }()
		f := new(pb.Frame)
		if err := host.Recv(f); err != nil {
			t.Fatal(err)
		}
		held = append(held, f)
	}
	if n := p.inUse(); n != 3 {
		t.Errorf("%d pipes are in use, want all 3", n)
	}
	if n := p.Missed(); n != 3 { // one pipe is the reserved one
		t.Errorf("%d batches are counted as in memory, want 3", n)
	}
	for _, f := range held {
		if !bytes.Equal(f.Payload(), payload) {
			t.Error("the host reads other bytes than were sent")
		}
		f.Free()
	}
}

// TestParcelOfOneThatGoes: a plugin that dies within a batch costs no pipe.
func TestParcelOfOneThatGoes(t *testing.T) {
	p := new(Pipes)
	host, plugin := keeping(t, p)
	data := whole(t, frame(noise(200_000)))
	go func() {
		_, _ = plugin.Write(data[:100_000])
		_ = plugin.Close()
	}()
	err := host.Recv(new(pb.Frame))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got error %v, want %v", err, io.ErrUnexpectedEOF)
	}
	if n := p.inUse(); n != 0 {
		t.Errorf("%d pipes are in use at the end", n)
	}
}

// TestParcelToOneThatDoesNotRead: a consumer that stands still holds nobody up, and
// its end ends the call.
func TestParcelToOneThatDoesNotRead(t *testing.T) {
	p := new(Pipes)
	host, plugin := keeping(t, p)
	payload := noise(pb.MaxBatchBytes)
	go func() { _, _ = plugin.Write(whole(t, frame(payload))) }()
	f := new(pb.Frame)
	if err := host.Recv(f); err != nil {
		t.Fatal(err)
	}
	defer f.Free()
	stuck, consumer := keeping(t, p)
	ended := make(chan error, 1)
	go func() { ended <- stuck.Send(f) }()

	other, reads := keeping(t, p)
	go func() { _ = other.Send(f) }()
	g := new(pb.Frame)
	if err := pb.NewFrameConn(reads, new(pb.Pool)).Recv(g); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(g.Payload(), payload) || !bytes.Equal(f.Payload(), payload) {
		t.Error("got other bytes than were sent")
	}
	select {
	case err := <-ended:
		t.Fatalf("sending to one that does not read ended: %v", err)
	default:
	}
	_ = consumer.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("sending to one that is gone succeeded")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("sending to one that is gone does not end")
	}
}

// TestParcelsLeaveNoDescriptors counts what is open.
func TestParcelsLeaveNoDescriptors(t *testing.T) {
	p := new(Pipes)
	host, plugin := keeping(t, p)
	data := whole(t, frame(noise(100_000)))
	round := func(n int) {
		for range n {
			go func() { _, _ = plugin.Write(data) }()
			f := new(pb.Frame)
			if err := host.Recv(f); err != nil {
				t.Fatal(err)
			}
			f.Free()
		}
	}
	round(2)
	before := descriptors(t)
	round(200)
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors are open, before it were %d", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
