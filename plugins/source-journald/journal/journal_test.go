package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func entry(c, message string) string {
	return fmt.Sprintf("{\"MESSAGE\":%q,\"__CURSOR\":%q,\"_PID\":\"1\"}\n", message, c)
}

// play runs a source over the script for a while of the bubble's time.
func play(t *testing.T, h *host, s *script, config Config, long time.Duration) error {
	t.Helper()
	src := New(&config)
	env := sdk.Env{Counter: h.count}
	if s != nil {
		s.from = time.Now()
		env.Commands = s
	}
	if err := src.Setup(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	var health error
	time.AfterFunc(long-time.Millisecond, func() { health = src.Health(ctx) })
	err := src.Run(ctx, h)
	synctest.Wait()
	if err != nil {
		return err
	}
	return health
}

const exit1 = "journalctl ended with exit code 1"

func TestFirstStartAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		s := &script{runs: []func(context.Context) (sdk.Output, error){
			gives(io.EOF, entry("s=1;i=1", "old")),
			gives(nil, entry("s=1;i=2", "a"), entry("s=1;i=3", "b")),
		}}
		config := Defaults()
		config.Units = []string{"ssh.service", "sudo.service"}
		health := play(t, h, s, config, time.Minute)
		if health != nil {
			t.Errorf("Health: got %v, want nil", health)
		}
		wantArgs := [][]string{
			{"--output=json", "--quiet", "--no-pager", "--lines=1"},
			{
				"--output=json", "--all", "--quiet", "--no-pager", "--follow", "--no-tail",
				"--after-cursor=s=1;i=1", "--unit=ssh.service", "--unit=sudo.service",
			},
		}
		if diff := cmp.Diff(wantArgs, s.args); diff != "" {
			t.Errorf("arguments (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"s=1;i=2", "s=1;i=3"}, h.positions); diff != "" {
			t.Errorf("positions (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"s=1;i=1"}, h.marked); diff != "" {
			t.Errorf("marks (-want +got):\n%s", diff)
		}
		if got := strings.TrimSpace(entry("s=1;i=2", "a")); h.lines[0] != got {
			t.Errorf("entry: got %q, want %q", h.lines[0], got)
		}
		want := sdk.StreamConfig{Name: "journal", Format: "json", Provenance: event.ProvenanceHost}
		if h.config != want {
			t.Errorf("stream: got %+v, want %+v", h.config, want)
		}
	})
}

func TestResumeAndRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		h.resume = []byte("c0")
		s := &script{runs: []func(context.Context) (sdk.Output, error){
			gives(io.EOF, entry("c1", "a")),
			gives(errors.New(exit1), entry("c2", "b"), `{"MESSAGE":"cut in`),
			gives(nil),
		}}
		health := play(t, h, s, Defaults(), time.Minute)
		if health != nil {
			t.Errorf("Health: got %v, want nil: it runs for long", health)
		}
		var cursors []string
		for _, args := range s.args {
			cursors = append(cursors, args[slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "--after-cursor=") })])
		}
		want := []string{"--after-cursor=c0", "--after-cursor=c1", "--after-cursor=c2"}
		if diff := cmp.Diff(want, cursors); diff != "" {
			t.Errorf("cursors (-want +got):\n%s", diff)
		}
		if len(h.lines) != 2 {
			t.Errorf("entries: got %q, want 2", h.lines)
		}
	})
}

func TestAbsentJournal(t *testing.T) {
	for _, c := range []struct {
		name string
		s    *script
		want string
	}{
		{"no command granted", nil, "journald is absent: the host runs no commands"},
		{"no journalctl", &script{runs: []func(context.Context) (sdk.Output, error){
			fails(errors.New("run journalctl: executable file not found in $PATH")),
		}}, "journald is absent: run journalctl: executable file not found"},
		{"journalctl fails", &script{runs: []func(context.Context) (sdk.Output, error){
			gives(errors.New(exit1)),
		}}, "the journal cannot be followed: " + exit1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				health := play(t, newHost(), c.s, Defaults(), 10*time.Minute)
				if health == nil || !strings.HasPrefix(health.Error(), c.want) {
					t.Errorf("Health: got %v, want %q", health, c.want)
				}
				if c.s == nil {
					return
				}
				if n := len(c.s.at); n < 10 || n > 25 {
					t.Errorf("starts in ten minutes: got %d at %v, want 10 to 25", n, c.s.at)
				}
			})
		})
	}
}

func TestInvalidCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		h.resume = []byte("bad")
		s := &script{runs: []func(context.Context) (sdk.Output, error){
			gives(errors.New(exit1)),
			gives(errors.New(exit1)),
			gives(errors.New("the disk is gone")), // not the cursor's fault this time
			gives(errors.New(exit1)),
			gives(errors.New(exit1)),
			gives(io.EOF, entry("c1", "a"), entry("c2", "b")),
			gives(nil, entry("c3", "c")),
		}}
		health := play(t, h, s, Defaults(), 10*time.Minute)
		if health != nil {
			t.Errorf("Health: got %v, want nil", health)
		}
		var how []string
		for _, args := range s.args {
			how = append(how, args[len(args)-1])
		}
		want := []string{
			"--after-cursor=bad", "--after-cursor=bad", "--boot",
			"--after-cursor=bad", "--after-cursor=bad", "--boot", "--after-cursor=c2",
		}
		if diff := cmp.Diff(want, how); diff != "" {
			t.Errorf("runs (-want +got):\n%s", diff)
		}
		if len(h.lines) != 3 || h.counts["cursor_invalid"] != 1 {
			t.Errorf("entries %q, counters %v, want 3 entries and cursor_invalid 1", h.lines, h.counts)
		}
	})
}

func TestBadOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		h.resume = []byte("c0")
		huge := `{"MESSAGE":"` + strings.Repeat("x", 3<<20) + `","__CURSOR":"late"}` + "\n"
		long := `{"MESSAGE":"` + strings.Repeat("x", 100<<10) + `","__CURSOR":"c2"}` + "\n"
		s := &script{runs: []func(context.Context) (sdk.Output, error){
			gives(nil, "-- No entries --\n\n", entry("c1", "a"), long, huge, entry("c3", "b"), `{"MESSAGE":"no cursor"}`+"\n"),
		}}
		if health := play(t, h, s, Defaults(), time.Minute); health != nil {
			t.Errorf("Health: got %v, want nil", health)
		}
		if diff := cmp.Diff([]string{"c1", "c2", "c2", "c3", "c3"}, h.positions); diff != "" {
			t.Errorf("positions (-want +got):\n%s", diff)
		}
		for _, i := range []int{1, 2} {
			if n := len(h.lines[i]); n != event.MaxRecord+1 {
				t.Errorf("entry %d: got %d bytes, want %d", i, n, event.MaxRecord+1)
			}
		}
		if h.drops["not_json"] != 1 || h.counts["entries_without_cursor"] != 2 {
			t.Errorf("drops %v, counters %v", h.drops, h.counts)
		}
	})
}

func TestDisabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := Defaults()
		config.Enabled = false
		s := &script{}
		if health := play(t, newHost(), s, config, time.Minute); health != nil || len(s.args) > 0 {
			t.Errorf("health %v, runs %v, want neither", health, s.args)
		}
	})
}

func TestHostRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		h.resume = []byte("c0")
		h.refuse = errors.New("the link is gone")
		s := &script{runs: []func(context.Context) (sdk.Output, error){gives(nil, entry("c1", "a"))}}
		if err := play(t, h, s, Defaults(), time.Minute); !errors.Is(err, h.refuse) {
			t.Errorf("Run: got %v, want %v", err, h.refuse)
		}
	})
}

func TestFollowArguments(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Config)
		want []string
	}{
		{"boot", func(c *Config) { c.Start = "boot" }, []string{"--no-tail", "--boot"}},
		{"beginning", func(c *Config) { c.Start = "beginning" }, []string{"--follow", "--no-tail"}},
		{"since", func(c *Config) { c.Since = "-1h" }, []string{"--no-tail", "--since=-1h"}},
	} {
		config := Defaults()
		c.edit(&config)
		args := config.follow("")
		if got := args[len(args)-2:]; !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q at the end, want %q", c.name, got, c.want)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Config)
		ok   bool
	}{
		{"defaults", func(*Config) {}, true},
		{"start", func(c *Config) { c.Start = "now" }, false},
		{"empty unit", func(c *Config) { c.Units = []string{""} }, false},
		{"unit with a newline", func(c *Config) { c.Units = []string{"a\nb"} }, false},
	} {
		config := Defaults()
		c.edit(&config)
		if err := config.Validate(); (err == nil) != c.ok {
			t.Errorf("%s: got %v, want ok %v", c.name, err, c.ok)
		}
	}
}

func TestCursor(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"first", `{"__CURSOR":"s=1;i=2","MESSAGE":"m"}`, "s=1;i=2"},
		{"last", `{"MESSAGE":"m","__CURSOR":"s=1"}`, "s=1"},
		{"with spaces", `{ "__CURSOR" : "s=1" }`, "s=1"},
		{"forged in a message", `{"MESSAGE":"\"__CURSOR\":\"evil\"","__CURSOR":"s=1"}`, "s=1"},
		{"forged as a value", `{"A":"__CURSOR","__CURSOR":"s=1"}`, "s=1"},
		{"forged before a colon", `{"A":"x\"__CURSOR","B":"y","__CURSOR":"s=1"}`, "s=1"},
		{"none", `{"MESSAGE":"m"}`, ""},
		{"no string", `{"__CURSOR":1}`, ""},
		{"without end", `{"__CURSOR":"s=1`, ""},
		{"empty", `{"__CURSOR":""}`, ""},
		{"too long", `{"__CURSOR":"` + strings.Repeat("x", 2000) + `"}`, ""},
		{"escaped", `{"__CURSOR":"a\"b"}`, ""},
	} {
		if got := string(cursor([]byte(c.in))); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\n\nc"), false)
	f.Add([]byte(strings.Repeat("x", 70<<10)+"\ny\n"), true)
	f.Fuzz(func(t *testing.T, in []byte, slow bool) {
		var src io.Reader = strings.NewReader(string(in))
		if slow {
			src = iotest.HalfReader(src)
		}
		var got []string
		l := newLines(src)
		for {
			line, err := l.next()
			if err != nil {
				break
			}
			got = append(got, string(line))
			_ = cursor(line)
		}
		var want []string
		rest := string(in)
		for {
			line, after, ok := strings.Cut(rest, "\n")
			if !ok {
				break
			}
			want, rest = append(want, line[:min(len(line), maxLine)]), after
		}
		if len(rest) >= maxLine {
			want = append(want, rest[:maxLine])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("lines (-want +got):\n%.1000s", diff)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	text := strings.Repeat(entry("s=ecdb9a3786ad4604aaf8530983d554bd;i=1a5;b=f954e9dddbfb4cab91eed3ef42bdd9cc;m=106d3b344;t=660d28d23831f;x=93dd500db6b2a073",
		strings.Repeat("m", 600)), 1000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		l := newLines(strings.NewReader(text))
		n := 0
		for {
			line, err := l.next()
			if err != nil {
				break
			}
			if cursor(line) == nil {
				b.Fatal("no cursor")
			}
			n++
		}
		if n != 1000 {
			b.Fatalf("lines: got %d", n)
		}
	}
}
