package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/bus"
	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test.
const patience = 10 * time.Second

// world is a pipeline with a real store and a real journal.
type world struct {
	*Pipeline
	t       *testing.T
	dir     string
	store   *state.Store
	journal *state.Journal
}

// newWorld opens a host's state in dir; what alerts and actions there are goes
// into the journal.
func newWorld(t *testing.T, dir string, change func(*Config)) *world {
	t.Helper()
	store, err := state.Open(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	journal, err := state.OpenJournal(dir+"/journal", 1<<24, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, store: store, journal: journal}
	keep := func(kind pb.Kind, m proto.Message) (uint64, error) {
		data, err := proto.Marshal(m)
		if err != nil {
			return 0, err
		}
		return journal.Append(uint8(kind), data)
	}
	c := Config{
		HostID: "test", Logger: hclog.NewNullLogger(), Pool: new(pb.Pool), Store: store, Journal: journal,
		Alert: func(a *pb.AlertEvent) (uint64, error) { return keep(pb.Kind_KIND_ALERT, a) },
		Decide: func(ctx context.Context, _ string, a *pb.ActionEvent) error {
			index, err := keep(pb.Kind_KIND_ACTION, a)
			if err != nil {
				return err
			}
			return journal.Wait(ctx, index)
		},
		Credits: 8, RetainedBytes: 1 << 20, BatchEvents: 64,
	}
	if change != nil {
		change(&c)
	}
	w.Pipeline = New(c)
	t.Cleanup(w.stop)
	return w
}

// stop ends this life of the host. It may be called more than once.
func (w *world) stop() {
	w.Close()
	w.mu.RLock()
	var names []string
	for name := range w.members {
		names = append(names, name)
	}
	w.mu.RUnlock()
	for _, name := range names {
		w.Remove(name)
	}
	if err := errors.Join(w.journal.Close(), w.store.Close()); err != nil {
		w.t.Error(err)
	}
}

func (w *world) add(d *pb.Description) *Member {
	w.t.Helper()
	m, err := w.Add(d)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func source() *pb.Description {
	return &pb.Description{Name: "src", Kinds: []string{"source"}}
}

func parser(name, format string) *pb.Description {
	return &pb.Description{Name: name, Kinds: []string{"parser"}, Format: format}
}

func sink(consumes ...pb.Kind) *pb.Description {
	return &pb.Description{Name: "out", Kinds: []string{"sink"}, Consumes: consumes}
}

// peer is a plugin's process: it speaks the wire, and does as the test says.
type peer struct {
	t      *testing.T
	member *Member
	links  map[string]*wire
	ended  chan error
	cancel context.CancelFunc
}

// wire is one link. Like gRPC it passes bytes, and ends with its context.
type wire struct {
	ctx      context.Context
	toPlugin chan []byte
	toHost   chan []byte
	number   uint64
}

func (w *wire) Send(f *pb.Frame) error {
	b, err := pb.Codec{}.Marshal(f)
	if err != nil {
		return err
	}
	defer b.Free()
	select {
	case w.toPlugin <- b.Materialize():
		return nil
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	}
}

func (w *wire) Recv() (*pb.Frame, error) {
	select {
	case b, open := <-w.toHost:
		if !open {
			return nil, io.EOF
		}
		f := new(pb.Frame)
		return f, pb.Codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, f)
	case <-w.ctx.Done():
		return nil, context.Cause(w.ctx)
	}
}

// start has a process serve the member's place, and waits until its links are
// ready.
func start(t *testing.T, m *Member) *peer {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &peer{t: t, member: m, links: make(map[string]*wire), ended: make(chan error, 1), cancel: cancel}
	var mu sync.Mutex
	opened := make(chan struct{}, len(m.desc.Kinds))
	go func() {
		p.ended <- m.serve(ctx, func(ctx context.Context, kind string) (link.Stream, error) {
			w := &wire{ctx: ctx, toPlugin: make(chan []byte, 1024), toHost: make(chan []byte, 1024)}
			mu.Lock()
			defer mu.Unlock()
			p.links[kind] = w
			opened <- struct{}{}
			return w, nil
		})
	}()
	for range m.desc.Kinds {
		<-opened
	}
	t.Cleanup(func() { p.kill() })
	for _, kind := range m.desc.Kinds {
		for f := p.next(kind); !f.Control.GetReady(); f = p.next(kind) {
		}
	}
	return p
}

// next returns what the host sends next.
func (p *peer) next(kind string) *pb.Frame {
	p.t.Helper()
	f, err := p.poll(kind, patience)
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

func (p *peer) poll(kind string, d time.Duration) (*pb.Frame, error) {
	select {
	case b := <-p.links[kind].toPlugin:
		f := new(pb.Frame)
		return f, pb.Codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, f)
	case <-time.After(d):
		return nil, fmt.Errorf("the host sends plugin %s nothing", p.member.desc.Name)
	}
}

// quiet fails the test if the host sends anything.
func (p *peer) quiet(kind string) {
	p.t.Helper()
	if f, err := p.poll(kind, 50*time.Millisecond); err == nil {
		p.t.Errorf("plugin %s got batch %d of kind %v, want nothing", p.member.desc.Name, f.Number, f.Kind)
	}
}

func (p *peer) send(kind string, h pb.Header, payload []byte) {
	p.t.Helper()
	f := pb.NewFrame(h, &payload, nil)
	b, err := pb.Codec{}.Marshal(f)
	if err != nil {
		p.t.Fatal(err)
	}
	p.links[kind].toHost <- b.Materialize()
	f.Free()
}

// streamName is the one stream of every source.
const streamName = "a"

// emit sends a source's next batch; change may spoil it.
func (p *peer) emit(first uint64, lines []string, change func(*pb.Header)) {
	p.t.Helper()
	origin, err := proto.Marshal(&pb.Origin{Name: streamName, Format: "text"})
	if err != nil {
		p.t.Fatal(err)
	}
	var payload []byte
	for _, l := range lines {
		payload = protowire.AppendTag(payload, pb.PayloadTag(pb.Kind_KIND_RAW), protowire.BytesType)
		payload = protowire.AppendString(payload, l)
	}
	w := p.links["source"]
	w.number++
	h := pb.Header{
		Stream: event.StreamID(p.member.desc.Name, streamName), FirstSequence: first, Kind: pb.Kind_KIND_RAW, Count: uint32(len(lines)),
		Number: w.number, ObservedTime: 1, Origin: origin, Checkpoint: fmt.Appendf(nil, "%d", first+uint64(len(lines))),
	}
	if change != nil {
		change(&h)
	}
	p.send("source", h, payload)
}

// logs encodes n log events that count from offset.
func logs(n, offset int) []byte {
	b := &pb.Batch{}
	for i := range n {
		b.Logs = append(b.Logs, &pb.LogEvent{Offset: uint32(offset + i), Message: "parsed"})
	}
	data, err := proto.Marshal(b)
	if err != nil {
		panic(err)
	}
	return data
}

// parse answers a whole batch and calls it durable.
func (p *peer) parse(f *pb.Frame) {
	p.t.Helper()
	from := max(f.FirstSequence, f.SkipBefore)
	end := f.FirstSequence + uint64(f.Count)
	p.send("parser", pb.Header{
		Answers: f.Number, Kind: pb.Kind_KIND_LOG, Count: uint32(end - from), NextSequence: end,
	}, logs(int(end-from), int(from-f.FirstSequence)))
	p.done("parser", f.Number)
}

// done calls everything up to a batch durable.
func (p *peer) done(kind string, number uint64) {
	p.t.Helper()
	p.send(kind, pb.Header{Ack: &pb.Ack{Accepted: number, Durable: number}}, nil)
}

// fails returns the error that ended the links, which the plugin caused.
func (p *peer) fails() error {
	p.t.Helper()
	select {
	case err := <-p.ended:
		p.ended <- err
		return err
	case <-time.After(patience):
		p.t.Fatalf("the host goes on with plugin %s", p.member.desc.Name)
		return nil
	}
}

// kill ends the process.
func (p *peer) kill() {
	p.cancel()
	_ = p.fails() // of its death
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("the test is over")
		}
	}
}

// checkpoint returns the sequence at which the stream of the plugin src resumes
// after a restart.
func (w *world) checkpoint() uint64 {
	w.t.Helper()
	list, err := w.store.SourcePositions("src")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range list {
		if p.Stream == streamName {
			return p.NextSequence
		}
	}
	return 0
}

// flags returns the flags of every log event of a frame.
func flags(t *testing.T, f *pb.Frame) []uint32 {
	t.Helper()
	b, err := f.Batch()
	if err != nil {
		t.Fatal(err)
	}
	var out []uint32
	for _, l := range b.Logs {
		out = append(out, l.Flags)
	}
	return out
}

func protocolError(err error) bool { return errors.Is(err, bus.ErrProtocol) }
