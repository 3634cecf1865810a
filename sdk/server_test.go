package sdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// connect serves a plugin in memory and returns a connection to it.
func connect(t testing.TB, p Plugin) *grpc.ClientConn {
	t.Helper()
	p.Name, p.Summary = "test-plugin", "s"
	if len(p.Kinds()) == 0 {
		p.Parser = ParseFunc("f", func(event.RawLog, *event.LogEvent) error { return nil })
	}
	server, err := NewServer(p, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	l := bufconn.Listen(1 << 16)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:p", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(pb.Codec{Pool: new(pb.Pool)})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); server.Stop(); <-done })
	return conn
}

type settings struct {
	Path    string            `config:"path" help:"where"`
	N       int               `config:"n" min:"1" max:"9"`
	Big     int64             `config:"big"`
	U       uint32            `config:"u"`
	On      bool              `config:"on"`
	Ratio   float64           `config:"ratio"`
	Every   time.Duration     `config:"every"`
	Room    Size              `config:"room"`
	Names   []string          `config:"names"`
	Labels  map[string]string `config:"labels"`
	Key     string            `config:"key" secret:"true"`
	Choice  string            `config:"choice" oneof:"a,b"`
	Private string
	invalid error
}

func (s *settings) Validate() error { return s.invalid }

func settingsDefaults() *settings {
	return &settings{Path: "/x", N: 3, Every: time.Minute, Room: 64 << 10, Names: []string{"one", "two"}, Labels: map[string]string{"k": "v", "a": "b"}, Choice: "a"}
}

func TestDescribeConfig(t *testing.T) {
	conn := connect(t, Plugin{Section: "test", Config: settingsDefaults()})
	d, err := pb.NewPluginClient(conn).Describe(t.Context(), &pb.DescribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range d.Config {
		got = append(got, fmt.Sprintf("%s %v %q %s%s %v %v", f.Key, f.Type, f.Default, f.Min, f.Max, f.Allowed, f.Secret))
	}
	want := []string{
		`path TYPE_STRING "/x"  [] false`, `n TYPE_INT "3" 19 [] false`, `big TYPE_INT "0"  [] false`, `u TYPE_INT "0"  [] false`,
		`on TYPE_BOOL "false"  [] false`, `ratio TYPE_FLOAT "0"  [] false`, `every TYPE_DURATION "1m0s"  [] false`, `room TYPE_SIZE "65536"  [] false`,
		`names TYPE_STRINGS "one,two"  [] false`, `labels TYPE_MAP "a=b,k=v"  [] false`, `key TYPE_STRING ""  [] true`, `choice TYPE_STRING "a"  [a b] false`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestConfigure(t *testing.T) {
	tests := []struct {
		name, json string
		want       func(*settings)
		code       codes.Code
		says       string
	}{
		{"nothing keeps the defaults", ``, func(*settings) {}, codes.OK, ""},
		{"an empty section too", `{}`, func(*settings) {}, codes.OK, ""},
		{"null keeps a default", `{"n":null,"names":null}`, func(*settings) {}, codes.OK, ""},
		{
			"everything", `{"path":"p","n":7,"big":-9007199254740993,"u":4294967295,"on":true,"ratio":0.5,"every":"90s","room":10,"names":["x"],"labels":{"z":"y"},"key":"s","choice":"b"}`,
			func(s *settings) {
				*s = settings{Path: "p", N: 7, Big: -9007199254740993, U: 1<<32 - 1, On: true, Ratio: 0.5, Every: 90 * time.Second, Room: 10, Names: []string{"x"}, Labels: map[string]string{"z": "y"}, Key: "s", Choice: "b"}
			}, codes.OK, "",
		},
		{"a duration in nanoseconds", `{"every":5}`, func(s *settings) { s.Every = 5 }, codes.OK, ""},
		{"an empty list replaces the default", `{"names":[],"labels":{}}`, func(s *settings) { s.Names, s.Labels = []string{}, map[string]string{} }, codes.OK, ""},
		{"unknown keys are the host's business", `{"other":1}`, func(*settings) {}, codes.OK, ""},
		{"a wrong type names the key", `{"n":"x"}`, nil, codes.InvalidArgument, "key n:"},
		{"a bad duration names the key", `{"every":"soon"}`, nil, codes.InvalidArgument, "key every:"},
		{"a number that does not fit", `{"u":-1}`, nil, codes.InvalidArgument, "key u:"},
		{"no JSON", `{`, nil, codes.InvalidArgument, "decode the configuration"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := settingsDefaults()
			setup := 0
			conn := connect(t, Plugin{Section: "test", Config: got, Setup: func(_ context.Context, env Env) error {
				setup++
				if env.HostID != "h" || env.Mode != "detect" || env.Logger == nil || env.Commands == nil || env.Counter == nil {
					t.Errorf("Env lacks something: %+v", env)
				}
				return nil
			}})
			req := &pb.ConfigureRequest{ConfigJson: []byte(test.json), HostId: "h", Mode: "detect"}
			_, err := pb.NewPluginClient(conn).Configure(t.Context(), req)
			if status.Code(err) != test.code || !strings.Contains(fmt.Sprint(err), test.says) {
				t.Fatalf("got %v, want %v with %q", err, test.code, test.says)
			}
			if test.want == nil {
				if setup != 0 {
					t.Error("Setup was called with a configuration that was refused")
				}
				return
			}
			want := settingsDefaults()
			test.want(want)
			if d := cmp.Diff(want, got, cmp.AllowUnexported(settings{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if _, err := pb.NewPluginClient(conn).Configure(t.Context(), req); status.Code(err) != codes.FailedPrecondition {
				t.Errorf("configured again: %v", err)
			}
			if setup != 1 {
				t.Errorf("Setup was called %d times", setup)
			}
		})
	}
}

func TestConfigureAsksValidateAndSetup(t *testing.T) {
	bad := settingsDefaults()
	bad.invalid = errors.New("n and u do not go together \xff")
	_, err := pb.NewPluginClient(connect(t, Plugin{Section: "test", Config: bad})).Configure(t.Context(), &pb.ConfigureRequest{})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "do not go together") {
		t.Errorf("got %v", err)
	}
	p := Plugin{Setup: func(context.Context, Env) error { return errors.New("no database") }}
	_, err = pb.NewPluginClient(connect(t, p)).Configure(t.Context(), &pb.ConfigureRequest{})
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "no database") {
		t.Errorf("got %v", err)
	}
}

func TestConfigOfAnotherShape(t *testing.T) {
	for name, config := range map[string]any{
		"no pointer": settings{},
		"no struct":  new(int),
		"a type of no kind": &struct {
			C chan int `config:"c"`
		}{},
		"an unexported field": &struct {
			c int `config:"c"`
		}{},
	} {
		if _, err := configFields(config); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// loader notes the bundles that it gets.
type loader struct{ got []string }

func (l *loader) LoadBundle(_ context.Context, name string, files fs.FS, check bool) (BundleReport, error) {
	r := BundleReport{Loaded: 1}
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			data, readErr := fs.ReadFile(files, path)
			l.got = append(l.got, fmt.Sprintf("%s/%s %d check %v", name, path, len(data), check))
			r.Files++
			return readErr
		}
		return err
	})
	r.Rejected = []BundleProblem{{File: "bad\xff", Line: 3, Code: "syntax", Reason: "why\xff"}}
	return r, err
}

func TestBundles(t *testing.T) {
	l := &loader{}
	conn := connect(t, Plugin{Bundles: []Bundle{{Name: "rules"}}, Loader: l, Detector: nopDetector{}})
	send := func(stream grpc.ClientStreamingClient[pb.BundleChunk, pb.BundleResponse], chunks ...*pb.BundleChunk) (*pb.BundleResponse, error) {
		for _, c := range chunks {
			if err := stream.Send(c); err != nil {
				break // CloseAndRecv tells why
			}
		}
		return stream.CloseAndRecv()
	}
	push := func(chunks ...*pb.BundleChunk) (*pb.BundleResponse, error) {
		stream, err := pb.NewPluginClient(conn).PushBundle(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return send(stream, chunks...)
	}
	half := bytes.Repeat([]byte("x"), 100)
	got, err := push(&pb.BundleChunk{Name: "rules"}, &pb.BundleChunk{Path: "a/b.yaml", Data: half}, &pb.BundleChunk{Path: "a/b.yaml", Data: half}, &pb.BundleChunk{Path: "empty.yaml"})
	if err != nil || got.Files != 2 || len(got.Rejected) != 1 || got.Rejected[0].File != "bad\uFFFD" || got.Rejected[0].Line != 3 {
		t.Errorf("got %v, error %v", got, err)
	}
	stream, err := pb.NewDetectorClient(conn).ValidateRules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := send(stream, &pb.BundleChunk{Name: "rules", Path: "c.yaml"}); err != nil {
		t.Error(err)
	}
	want := []string{"rules/a/b.yaml 200 check false", "rules/empty.yaml 0 check false", "rules/c.yaml 0 check true"}
	if d := cmp.Diff(want, l.got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, path := range []string{"../x", "/etc/passwd", "a/../b", "a//b", "."} {
		if _, err := push(&pb.BundleChunk{Path: path, Data: half}); status.Code(err) != codes.InvalidArgument && path != "." {
			t.Errorf("path %q: %v, want InvalidArgument", path, err)
		}
	}
	if _, err := push(); err != nil {
		t.Errorf("an empty bundle: %v", err)
	}
	if _, err := func() (*pb.BundleResponse, error) {
		stream, err := pb.NewPluginClient(connect(t, Plugin{})).PushBundle(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return send(stream)
	}(); status.Code(err) != codes.Unimplemented {
		t.Errorf("a plugin without a loader: %v", err)
	}
}

type nopDetector struct{}

func (nopDetector) Detect(context.Context, Batch, func(*event.AlertEvent)) error { return nil }

func TestCommands(t *testing.T) {
	var env Env
	conn := connect(t, Plugin{Setup: func(_ context.Context, e Env) error { env = e; return nil }})
	base := pb.NewPluginClient(conn)
	if _, err := base.Configure(t.Context(), &pb.ConfigureRequest{}); err != nil {
		t.Fatal(err)
	}
	hostCtx, hostGone := context.WithCancel(t.Context())
	stream, err := base.HostServices(hostCtx)
	if err != nil {
		t.Fatal(err)
	}
	// The host: "slow" starts when it is told to; output comes in two parts.
	slow, stopped := make(chan struct{}), make(chan uint64, 8)
	hostDone := make(chan struct{})
	go func() {
		defer close(hostDone)
		reads := map[uint64]int{}
		for {
			c, err := stream.Recv()
			if err != nil {
				return
			}
			r := &pb.HostReply{Id: c.Id}
			switch x := c.Call.(type) {
			case *pb.HostCall_Run:
				switch x.Run.Command {
				case "denied":
					r.Error = "command denied was not granted"
				case "slow":
					<-slow
					r.Handle = 77
				case "fails":
					r.Handle = 2
				default:
					r.Handle = 1
				}
			case *pb.HostCall_Read:
				h := x.Read.Handle
				switch reads[h]++; {
				case h == 3: // never anything
					continue
				case reads[h] == 1:
					r.Data = []byte("hello ")
				case h == 2:
					r.Data, r.EndOfFile, r.ExitCode = []byte("oops"), true, 3
				default:
					r.Data, r.EndOfFile = []byte("world"), true
				}
			case *pb.HostCall_Stop:
				stopped <- x.Stop.Handle
			}
			if stream.Send(r) != nil {
				return
			}
		}
	}()

	out, err := env.Commands.Run(t.Context(), "journalctl", "-f")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(out); string(data) != "hello world" || err != nil {
		t.Errorf("read %q, error %v", data, err)
	}
	if err := out.Close(); err != nil || <-stopped != 1 {
		t.Errorf("Close: %v", err)
	}
	out, err = env.Commands.Run(t.Context(), "fails")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(out); string(data) != "hello oops" || err == nil || !strings.Contains(err.Error(), "exit code 3") {
		t.Errorf("read %q, error %v", data, err)
	}
	if _, err := env.Commands.Run(t.Context(), "denied"); err == nil || !strings.Contains(err.Error(), "was not granted") {
		t.Errorf("got %v", err)
	}
	// Given up before the host had started it: it is stopped when it has.
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := env.Commands.Run(short, "slow"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	close(slow)
	select {
	case h := <-stopped:
		if h != 77 {
			t.Errorf("stopped %d, want 77", h)
		}
	case <-time.After(10 * time.Second):
		t.Error("a command that nobody wants goes on")
	}
	waiting := func(calls int) {
		waitUntil(t, func() bool {
			c := env.Commands.(*commands)
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(c.waiting) == calls
		})
	}
	waiting(0) // the stop was answered
	// The host goes away while a call waits, and before one.
	gone := make(chan error, 1)
	go func() {
		o := &output{ctx: context.Background(), commands: env.Commands.(*commands), name: "c", handle: 3}
		_, err := o.Read(make([]byte, 1))
		gone <- err
	}()
	waiting(1)
	hostGone()
	if err := <-gone; !errors.Is(err, errHostGone) {
		t.Errorf("a call that waited: %v, want errHostGone", err)
	}
	<-hostDone
	if _, err := env.Commands.Run(t.Context(), "late"); err == nil {
		t.Error("a call without a host: got no error")
	}
	waiting(0) // none is remembered for ever
}

// waitUntil polls with a deadline.
func waitUntil(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("not within 10 s")
		}
	}
}

// memorySink answers queries.
type memorySink struct{ asked Query }

func (*memorySink) Write(context.Context, Batch) error { return nil }

func (m *memorySink) Query(_ context.Context, q Query, yield func(Record) bool) error {
	m.asked = q
	s := &event.Stream{ID: 9, Name: "n\xff", Peer: "\xff", Provenance: event.ProvenanceNetwork}
	for _, r := range []Record{
		{Log: &event.LogEvent{Stream: s, Sequence: 1 << 40, Message: "m\xff"}},
		{Packet: &event.PacketEvent{Stream: s, Sequence: 2, Packets: 3}},
		{},
		{Alert: &event.AlertEvent{ID: "a"}, State: "open\xff"},
		{Action: &event.ActionEvent{ID: "x"}},
	} {
		if !yield(r) {
			return nil
		}
	}
	return errors.New("the disk\xff is gone")
}

func (*memorySink) UpdateAlert(_ context.Context, id, state, actor, note string) (bool, error) {
	if id == "bad" {
		return false, errors.New("no\xff")
	}
	return id == "a" && state == "closed" && actor == "me" && note == "n", nil
}

func TestQuery(t *testing.T) {
	sink := &memorySink{}
	client := pb.NewSinkClient(connect(t, Plugin{Sink: sink}))
	stream, err := client.Query(t.Context(), &pb.QueryRequest{
		Kind: pb.Kind_KIND_ALERT, Id: "id", Since: 1, Until: 2, MinSeverity: pb.Severity_SEVERITY_LOW, Limit: 3, Skip: 4, State: "open", Equal: []*pb.Field{{Key: "k", Value: "v"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		b, err := stream.Recv()
		if err != nil {
			if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "the disk\uFFFD is gone") {
				t.Errorf("ended with %v", err)
			}
			break
		}
		switch {
		case len(b.Logs) == 1:
			got = append(got, fmt.Sprint("log ", b.Stream, b.FirstSequence, b.Origin.Name, b.Logs[0].Message, b.Provenance))
		case len(b.Packets) == 1:
			got = append(got, fmt.Sprint("packet ", b.FirstSequence, b.Packets[0].Packets))
		case len(b.Alerts) == 1:
			got = append(got, "alert "+b.Alerts[0].Id+b.Alerts[0].State)
		case len(b.Actions) == 1:
			got = append(got, "action "+b.Actions[0].Id)
		}
	}
	want := []string{"log 9 1099511627776n\uFFFDm\uFFFDPROVENANCE_NETWORK", "packet 2 3", "alert aopen\uFFFD", "action x"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	wantQuery := Query{Kind: event.KindAlert, ID: "id", Since: 1, Until: 2, MinSeverity: event.SeverityLow, Limit: 3, Skip: 4, State: "open", Equal: []event.Field{{Key: "k", Value: "v"}}}
	if d := cmp.Diff(wantQuery, sink.asked); d != "" {
		t.Errorf("query (-want +got):\n%s", d)
	}
	r, err := client.Update(t.Context(), &pb.UpdateRequest{AlertId: "a", State: "closed", Actor: "me", Note: "n"})
	if err != nil || !r.Found {
		t.Errorf("Update: %v, %v", r, err)
	}
	if _, err := client.Update(t.Context(), &pb.UpdateRequest{AlertId: "bad"}); status.Code(err) != codes.Internal {
		t.Errorf("an update that fails: %v", err)
	}
}

func TestPluginValidate(t *testing.T) {
	ok := Plugin{Name: "ok-1", Summary: "s", Parser: ParseFunc("f", nil)}
	if err := ok.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Plugin){
		"no name":                  func(p *Plugin) { p.Name = "" },
		"a name with a slash":      func(p *Plugin) { p.Name = "a/b" },
		"a name with a zero byte":  func(p *Plugin) { p.Name = "a\x00b" },
		"a name that is too long":  func(p *Plugin) { p.Name = strings.Repeat("a", 49) },
		"a name of upper case":     func(p *Plugin) { p.Name = "Abc" },
		"no kind":                  func(p *Plugin) { p.Parser = nil },
		"bundles without a loader": func(p *Plugin) { p.Bundles = []Bundle{{Name: "b"}} },
		"config without a section": func(p *Plugin) { p.Config = settingsDefaults() },
	} {
		p := ok
		change(&p)
		if err := p.Validate(); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
