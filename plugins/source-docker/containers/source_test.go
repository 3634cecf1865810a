package containers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/plugins/source-docker/dockertest"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// at is a time of the tests: n nanoseconds after a moment of today.
func at(n int64) int64 { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano() + n }

const second = int64(time.Second)

func TestRecord(t *testing.T) {
	d := dockertest.New(t)
	c := d.Add(&dockertest.Container{
		ID: id("a"), Name: "web", Image: "nginx:1", Labels: map[string]string{"com.example/team": "blue", "secret": "x"},
	})
	c.Print(at(5), true, "a \"line\"\t\x00\xff\u2028")
	l := newLedger()
	l.run(t, d, func(config *Config) { config.Labels = []string{"com.example*"} })
	until(t, "the line", func() bool { return len(l.records(streamPrefix+id("a"))) == 1 })
	want := record{
		Time: time.Unix(0, at(5)).UTC(), Log: "a \"line\"\t\x00\ufffd\u2028", Stream: "stderr",
		ID: id("a"), Name: "web", Image: "nginx:1", Labels: map[string]string{"com.example/team": "blue"},
	}
	if diff := cmp.Diff(want, l.records(streamPrefix + id("a"))[0]); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	wantConfig := sdk.StreamConfig{
		Name: streamPrefix + id("a"), Format: "json", Provenance: event.ProvenanceContainer, Peer: "container:" + id("a"),
	}
	if got := l.streams[streamPrefix+id("a")].config; got != wantConfig {
		t.Errorf("stream: got %+v, want %+v", got, wantConfig)
	}
	c.Rename("web2")
	until(t, "the new name", func() bool {
		c.Print(time.Now().UnixNano(), false, "x")
		all := l.records(streamPrefix + id("a"))
		return all[len(all)-1].Name == "web2"
	})
}

func TestTerminalAndLongLines(t *testing.T) {
	d := dockertest.New(t)
	tty := d.Add(&dockertest.Container{ID: id("a"), Name: "tty", Terminal: true})
	plain := d.Add(&dockertest.Container{ID: id("b"), Name: "plain"})
	tty.Print(at(1), false, "from a terminal")
	tty.Print(at(2), false, strings.Repeat("t", 40<<10))
	long := strings.Repeat("0123456789", 5000)
	plain.Print(at(1), false, long)
	plain.Print(at(2), true, "short")
	plain.Print(at(3), false, strings.Repeat("\"", 60<<10))
	l := newLedger()
	l.run(t, d, nil)
	l.want(t, id("a"), "from a terminal", strings.Repeat("t", 40<<10))
	until(t, "the lines", func() bool { return len(l.records(streamPrefix+id("b"))) == 3 })
	got := l.records(streamPrefix + id("b"))
	if got[0].Log != long || got[0].Cut || got[1].Log != "short" {
		t.Errorf("got lines of %d bytes and %q, want %d and short", len(got[0].Log), got[1].Log, len(long))
	}
	if n := len(got[2].Log); !got[2].Cut || n < 30<<10 || n > 33<<10 {
		t.Errorf("a line that doubles when it is escaped: got %d bytes, cut %v", n, got[2].Cut)
	}
	if l.counted("lines_cut") != 1 {
		t.Errorf("lines_cut: got %d, want 1", l.counted("lines_cut"))
	}
}

func TestStartAtTheEnd(t *testing.T) {
	d := dockertest.New(t)
	old := d.Add(&dockertest.Container{ID: id("a"), Name: "old"})
	gone := d.Add(&dockertest.Container{ID: id("b"), Name: "gone"})
	old.Print(time.Now().UnixNano(), false, "before")
	gone.Print(time.Now().UnixNano(), false, "before")
	gone.Stop()
	l := newLedger()
	_, stop := l.run(t, d, func(c *Config) { c.Start = "end" })
	until(t, "the container", func() bool { return len(l.Positions()) == 2 })
	stop()
	old.Print(time.Now().UnixNano(), false, "while down")
	l.run(t, d, func(c *Config) { c.Start = "end" })
	l.want(t, id("a"), "while down")
	young := d.Add(&dockertest.Container{ID: id("c"), Name: "young"})
	young.Print(time.Now().UnixNano(), false, "first")
	l.want(t, id("c"), "first")
	if got := l.records(streamPrefix + id("b")); len(got) != 0 {
		t.Errorf("a container that ended before: got %v, want nothing", got)
	}
}

// TestReconnect loses the connection, and everything behind some line, at every
// place of an output with stamps that are shared and out of order.
func TestReconnect(t *testing.T) {
	stamps := []int64{0, 0, 0, 5, 3, 4, 10, 10, second, 3 * second, 3*second - 5, 3 * second, 6 * second, 6 * second, 6*second + 1, 60 * second}
	for n := 1; n <= len(stamps); n++ {
		d := dockertest.New(t)
		c := d.Add(&dockertest.Container{ID: id("a"), Name: "web"})
		var want []string
		for i, s := range stamps[:n] {
			want = append(want, fmt.Sprint("line ", i))
			c.Print(at(s), i%3 == 1, want[i])
		}
		l := newLedger()
		_, stop := l.run(t, d, nil)
		l.want(t, id("a"), want...)
		stop()
		for back := 1; back <= n; back++ {
			l.settleAt(id("a"), back)
			_, stop := l.run(t, d, nil)
			l.want(t, id("a"), want...)
			stop()
		}
		l.run(t, d, nil)
		for i, s := range stamps[n:] {
			if i%2 == 0 {
				d.Cut(false)
			}
			want = append(want, fmt.Sprint("line ", n+i))
			c.Print(at(s), i%3 == 1, want[n+i])
		}
		l.want(t, id("a"), want...)
	}
}

func TestRotationWhileAway(t *testing.T) {
	for _, c := range []struct {
		name    string
		deleted int
		want    []string
		lost    uint64
	}{
		{"nothing", 0, []string{"0", "1", "2", "3", "4", "5", "6", "7"}, 0},
		{"lines that were read", 2, []string{"0", "1", "2", "3", "4", "5", "6", "7"}, 0},
		{"the last that was read, too", 4, []string{"0", "1", "2", "3", "4", "5", "6", "7"}, 1},
		{"one that was not read", 5, []string{"0", "1", "2", "3", "5", "6", "7"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := dockertest.New(t)
			web := d.Add(&dockertest.Container{ID: id("a"), Name: "web"})
			for i := range 4 {
				web.Print(at(int64(i)), false, fmt.Sprint(i))
			}
			l := newLedger()
			_, stop := l.run(t, d, nil)
			l.want(t, id("a"), "0", "1", "2", "3")
			stop()
			for i := 4; i < 8; i++ {
				web.Print(at(int64(i)), false, fmt.Sprint(i))
			}
			web.Rotate(c.deleted)
			l.run(t, d, nil)
			l.want(t, id("a"), c.want...)
			if away, renumbered := l.counted("rotated_away"), l.counted("renumbered"); away != c.lost || renumbered != c.lost {
				t.Errorf("rotated_away: got %d, and %d times other numbers, want %d of both", away, renumbered, c.lost)
			}
		})
	}
}

func TestStopStartRemove(t *testing.T) {
	d := dockertest.New(t)
	c := d.Add(&dockertest.Container{ID: id("a"), Name: "web"})
	l := newLedger()
	src, _ := l.run(t, d, nil)
	c.Print(at(1), false, "1")
	l.want(t, id("a"), "1")
	c.Stop()
	c.Print(at(2), false, "the last word")
	c.Start()
	c.Stop()
	l.want(t, id("a"), "1", "the last word")
	c.Start()
	c.Print(at(3), false, "again")
	l.want(t, id("a"), "1", "the last word", "again")
	c.Remove()
	until(t, "the stream to close", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.streams[streamPrefix+id("a")].closed
	})
	if err := src.Health(t.Context()); err != nil {
		t.Errorf("Health: got %v, want nil", err)
	}
}

func TestDockerAbsent(t *testing.T) {
	d := dockertest.New(t)
	c := d.Add(&dockertest.Container{ID: id("a"), Name: "web"})
	l := newLedger()
	src, _ := l.run(t, d, nil)
	c.Print(at(1), false, "1")
	l.want(t, id("a"), "1")
	d.Cut(true)
	until(t, "the health", func() bool {
		err := src.Health(t.Context())
		return err != nil && strings.Contains(err.Error(), "Docker is absent: list the containers: Docker does not answer")
	})
	c.Print(at(2), false, "2")
	d.Cut(false)
	l.want(t, id("a"), "1", "2")
	until(t, "good health", func() bool { return src.Health(t.Context()) == nil })
}

func TestUnreadable(t *testing.T) {
	d := dockertest.New(t)
	c := d.Add(&dockertest.Container{ID: id("a"), Name: "web"})
	c.Refuse("configured logging driver does not support reading")
	l := newLedger()
	src, _ := l.run(t, d, nil)
	until(t, "the health", func() bool {
		err := src.Health(t.Context())
		return err != nil && strings.Contains(err.Error(), "the output of web cannot be read")
	})
}

func TestChoice(t *testing.T) {
	d := dockertest.New(t)
	for i, name := range []string{"web", "db", "noise"} {
		d.Add(&dockertest.Container{ID: id(string(rune('a' + i))), Name: name, Image: "registry.example/team/" + name + ":1"}).Print(at(1), false, name)
	}
	l := newLedger()
	src, _ := l.run(t, d, func(c *Config) {
		c.Exclude, c.MaxContainers = []string{"*/team/noise:*"}, 1
	})
	until(t, "the refusal in the health", func() bool {
		err := src.Health(t.Context())
		return err != nil && strings.Contains(err.Error(), "1 containers beyond max_containers")
	})
	until(t, "one container", func() bool {
		return len(l.records(streamPrefix+id("a")))+len(l.records(streamPrefix+id("b"))) == 1
	})
	if n := len(l.records(streamPrefix + id("c"))); n != 0 {
		t.Errorf("an excluded container: got %d lines", n)
	}
}

func TestEvents(t *testing.T) {
	d := dockertest.New(t)
	l := newLedger()
	_, stop := l.run(t, d, nil)
	until(t, "the mark", func() bool { return len(l.Positions()) == 1 })
	c := d.Add(&dockertest.Container{ID: id("a"), Name: "web", Image: "nginx:1"})
	until(t, "the event", func() bool { return len(l.records(eventsStream)) == 1 })
	got := l.records(eventsStream)[0]
	if got.Message != "container start web" || got.ID != id("a") || got.Image != "nginx:1" || got.Action != "start" || got.Attributes["name"] != "web" {
		t.Errorf("event: got %+v", got)
	}
	stop()
	c.Stop()
	c.Start()
	_, stop = l.run(t, d, nil)
	until(t, "the events while away", func() bool { return len(l.records(eventsStream)) == 3 })
	d.Cut(false)
	c.Stop()
	until(t, "the event after the cut", func() bool { return len(l.records(eventsStream)) >= 4 })
	stop()
	for range 300 {
		c.Start()
	}
	l.run(t, d, nil)
	until(t, "what Docker kept", func() bool { return len(l.records(eventsStream)) >= 4+256 })
	if n := len(l.records(eventsStream)); n != 4+256 {
		t.Errorf("events: got %d, want 260", n)
	}
	if n := l.counted("events_gaps"); n != 1 {
		t.Errorf("events_gaps: got %d, want 1", n)
	}
}

func TestBackPressure(t *testing.T) {
	d := dockertest.New(t)
	c := d.Add(&dockertest.Container{ID: id("a"), Name: "web"})
	for i := range 1000 {
		c.Print(at(int64(i)), false, "line")
	}
	l := newLedger()
	l.gate = make(chan struct{})
	_, stop := l.run(t, d, func(c *Config) { c.Events = false })
	l.gate <- struct{}{}
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("stop took %s", took)
	}
}
