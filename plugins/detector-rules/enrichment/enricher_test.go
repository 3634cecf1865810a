package enrichment

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listsOf returns what threat.list says about an address.
func listsOf(e *Enricher, address string) string {
	ev := log("src_ip", address)
	e.Log(ev)
	var out []string
	for _, f := range ev.Fields {
		if f.Key == "source.threat.list" {
			out = append(out, f.Value)
		}
	}
	return strings.Join(out, " ")
}

// reasons returns problems as lines without the folder.
func (s *site) reasons(problems []document.Problem) string {
	var out []string
	for _, p := range problems {
		out = append(out, strings.ReplaceAll(p.Error(), s.dir+string(filepath.Separator), ""))
	}
	return filepath.ToSlash(strings.Join(out, "\n"))
}

func TestReload(t *testing.T) {
	s := newSite(t)
	s.write("ip/a.txt", "192.0.2.1\n")
	s.write("ip/b.txt", "192.0.2.1\n")
	e := fresh(t, s)
	// look refreshes as often as a change takes, and says what was new.
	look := func() (problems string, data, placeholders bool) {
		for range 2 {
			c := e.Refresh()
			problems += s.reasons(c.Problems)
			data, placeholders = data || c.Data, placeholders || c.Placeholders
		}
		return problems, data, placeholders
	}
	for _, step := range []struct {
		name               string
		do                 func()
		lists              string
		problem            string
		data, placeholders bool
	}{
		{"nothing", func() {}, "a b", "", false, false},
		{"changed", func() { s.write("ip/a.txt", "192.0.2.2\n") }, "b", "", true, false},
		{"back", func() { s.write("ip/a.txt", "192.0.2.1\n") }, "a b", "", true, false},
		{"touched", func() { s.write("ip/a.txt", "192.0.2.1\n") }, "a b", "", false, false},
		{
			"broken", func() { s.write("ip/a.txt", "<html>\n") }, "a b",
			`ip/a.txt:1: "<html>" is no address, network (192.0.2.0/24) or range; the version before stays in force (malformed)`, false, false,
		},
		{"still broken", func() {}, "a b", "", false, false},
		{
			"empty", func() { s.write("ip/a.txt", "# failed\n") }, "a b",
			"ip/a.txt:1: it holds no entry; a list that is to end is removed, or its path taken out of the configuration; the version before stays in force (malformed)", false, false,
		},
		{
			"mended but for a line", func() { s.write("ip/a.txt", strings.Repeat("192.0.2.3\n", 150)+"odd\n") }, "b",
			`ip/a.txt:151: "odd" is no address, network (192.0.2.0/24) or range; the line is left out (left_out)`, true, false,
		},
		{"mended", func() { s.write("ip/a.txt", "192.0.2.1\n") }, "a b", "", true, false},
		{"gone", func() { s.remove("ip/b.txt") }, "a", "", true, false},
		{"a third", func() { s.write("ip/c.txt", "192.0.2.0/28\n") }, "a c", "", true, false},
		{"not of the kind", func() { s.write("ip/readme.md", "x\n"); s.write("ip/.hidden.txt", "x\n") }, "a c", "", false, false},
		{
			"two of one name", func() { s.write("ip/c.netset", "192.0.2.1\n") }, "a c",
			"ip/c.netset:1: it is claimed twice: a list has the name of its file, and ip/c.txt is one of the same name; rename one (conflict)", false, false,
		},
		{"the first of them gone", func() { s.remove("ip/c.txt"); _, _, _ = look() }, "a c", "", true, false},
		{"placeholders", func() { s.write("expand/x.txt", "v\n") }, "a c", "", true, true},
		{
			"a placeholder twice", func() { s.write("expand/y.yaml", "x: [w]\n") }, "a c",
			"expand/y.yaml:1: it is claimed twice: the placeholder x stands in expand/x.txt too; take out one (conflict)", false, false,
		},
		{"placeholders gone", func() { s.remove("expand/x.txt"); s.remove("expand/y.yaml") }, "a c", "", true, true},
	} {
		step.do()
		problems, data, placeholders := look()
		if got := listsOf(e, "192.0.2.1"); got != step.lists {
			t.Errorf("%s: got lists %q, want %q", step.name, got, step.lists)
		}
		if diff := cmp.Diff(step.problem, problems); diff != "" {
			t.Errorf("%s: problems (-want +got):\n%s", step.name, diff)
		}
		if data != step.data || placeholders != step.placeholders {
			t.Errorf("%s: got changes %v %v, want %v %v", step.name, data, placeholders, step.data, step.placeholders)
		}
	}
	if err := e.Err(); err != nil {
		t.Errorf("got %v, want no problem at the end", err)
	}
	for _, f := range e.Files() {
		if f.Loaded.IsZero() || f.Entries != 1 {
			t.Errorf("got %+v, want it in force with one entry", f)
		}
	}
}

func TestNamedFileThatGoesKeepsItsVersion(t *testing.T) {
	s := newSite(t)
	s.write("one.txt", "192.0.2.1\n")
	c := Defaults()
	c.IPLists = []string{s.path("one.txt"), s.path("two.txt")}
	e := start(t, c)
	if got := s.reasons(e.Refresh().Problems); !strings.HasPrefix(got, "two.txt:1: ") || !strings.HasSuffix(got, " (unreadable)") {
		t.Errorf("got %q, want that two.txt is not there", got)
	}
	s.remove("one.txt")
	if got := e.Refresh().Problems; len(got) > 0 {
		t.Errorf("got %v, want nothing at first: the file may be on its way", got)
	}
	if got := s.reasons(e.Refresh().Problems); !strings.HasPrefix(got, "one.txt:1: ") || !strings.HasSuffix(got, "; the version before stays in force (unreadable)") {
		t.Errorf("got %q, want that one.txt is not there", got)
	}
	if got := listsOf(e, "192.0.2.1"); got != "one" {
		t.Errorf("got lists %q, want one", got)
	}
	s.write("one.txt", "192.0.2.1\n")
	e.Refresh()
	e.Refresh()
	if err := e.Err(); err == nil || strings.Contains(err.Error(), "one.txt") {
		t.Errorf("got %v, want that two.txt alone is missing", err)
	}
}

func TestAFileThatIsBeingWrittenWaits(t *testing.T) {
	s := newSite(t)
	s.write("ip/a.txt", "192.0.2.1\n")
	e := fresh(t, s)
	for i := range 3 {
		s.write("ip/a.txt", strings.Repeat("192.0.2.2\n", i+1))
		if c := e.Refresh(); c.Data {
			t.Errorf("version %d is in force, and the next was written at the next look", i)
		}
	}
	if c := e.Refresh(); !c.Data || listsOf(e, "192.0.2.2") != "a" {
		t.Error("the last version is not in force though it stayed")
	}
}

func TestAFileWrittenWithinATickIsReadAgain(t *testing.T) {
	s := newSite(t)
	s.write("ip/a.txt", "192.0.2.1\n")
	now := time.Now().Add(-time.Second)
	if err := os.Chtimes(s.path("ip/a.txt"), now, now); err != nil {
		t.Fatal(err)
	}
	e := fresh(t, s)
	f := e.sorted()[0]
	if !f.young {
		t.Fatal("a file of a second ago may change within the same tick of the file system")
	}
	old := f.read
	old.modified = now.Add(-coarse)
	f.read = old // as time goes by
	if due := f.due(old, false); !due {
		t.Error("it is not read again when the tick is over")
	}
	if due := f.due(old, false); due {
		t.Error("it is read a third time")
	}
}

func TestBounds(t *testing.T) {
	s := newSite(t)
	s.write("ip/large.txt", strings.Repeat("192.0.2.1\n", 1000))
	s.write("ip/many.txt", func() string {
		var b strings.Builder
		for i := range 100_000 {
			fmt.Fprintf(&b, "%d.%d.%d.%d\n", 20+i>>16, i>>8&255, i&255, 1)
		}
		return b.String()
	}())
	for i := range MaxTables + 1 {
		s.write(fmt.Sprintf("table/t%02d.csv", i), "user,x\na,b\n")
	}
	s.write("table/link.csv", "")
	s.remove("table/link.csv")
	if err := os.Symlink(s.dir, s.path("table/link.csv")); err != nil {
		t.Skip("symbolic links cannot be made here")
	}
	c := s.config()
	c.MaxFile, c.MaxMemory = 4<<10, 1<<20
	e := start(t, c)
	got := s.reasons(e.Refresh().Problems)
	for _, want := range []string{
		"ip/large.txt:1: it has 10000 bytes, at most 4096 are read; raise max_list_file (too_large)",
		"ip/many.txt:1: it has ",
		"table/t32.csv:1: it is claimed twice: there are 32 tables already, which are asked one after the other; join some (conflict)",
		"table/link.csv:1: it is no regular file; name the file itself, or a folder (unreadable)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q among them", got, want)
		}
	}
	c.MaxFile = 2 << 20
	e = start(t, c)
	if got := s.reasons(e.Refresh().Problems); !strings.Contains(got, "ip/many.txt:1: with it everything would take ") || !strings.Contains(got, "raise max_list_memory, or name fewer files (too_large)") {
		t.Errorf("got %q, want that the memory is too small", got)
	}
	if n := e.Stats().Bytes; n == 0 || n > int64(c.MaxMemory) {
		t.Errorf("got %d bytes in force, want some and at most %d", n, c.MaxMemory)
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"defaults", func(*Config) {}, ""},
		{"a path that is not whole", func(c *Config) { c.IPLists = []string{"lists/drop.txt"} }, `ip_lists: "lists/drop.txt" is no whole path`},
		{"a pattern", func(c *Config) { c.Tables = []string{filepath.Join(t.TempDir(), "[a")} }, "close its bracket"},
		{"a field twice", func(c *Config) { c.DomainFields = []string{"src_ip"} }, `domain_fields: "src_ip" is in source_fields already`},
		{"a field without a name", func(c *Config) { c.SourceFields = []string{" "} }, "source_fields: a field has no name"},
		{"too many fields", func(c *Config) { c.SourceFields = make([]string, 33) }, "source_fields: 33 fields; at most 32"},
		{"an interval", func(c *Config) { c.Interval = 0 }, "reload_interval: 0s; write 1s to 24h"},
		{"a size", func(c *Config) { c.MaxFile = 1 }, "max_list_file: 1; write 4KiB to 1GiB"},
		{"memory", func(c *Config) { c.MaxMemory = 1 }, "max_list_memory: 1; write 1MiB to 4GiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Defaults()
			tt.change(&c)
			_, err := New(c)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRun(t *testing.T) {
	s := newSite(t)
	s.write("ip/a.txt", "192.0.2.1\n")
	synctest.Test(t, func(t *testing.T) {
		e := fresh(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		changes := make(chan Change, 10)
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx, func(c Change) { changes <- c }) }()
		s.write("ip/a.txt", "192.0.2.2\n")
		started := time.Now()
		<-changes
		if got := time.Since(started); got != 2*e.config.Interval {
			t.Errorf("the change came after %s, want two intervals", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("got %v, want nil", err)
		}
	})
}

// TestConcurrently is for the race detector.
func TestConcurrently(t *testing.T) {
	s := newSite(t)
	s.fill()
	e := fresh(t, s)
	stop := make(chan struct{})
	done := make(chan int)
	for range 2 {
		go func() {
			n := 0
			for {
				select {
				case <-stop:
					done <- n
					return
				default:
				}
				ev := log("src_ip", "192.0.2.7", "user", "alice")
				if e.Log(ev); listsOf(e, "198.51.100.1") != "level1" {
					n++
				}
			}
		}()
	}
	for i := range 20 {
		s.write("ip/drop.txt", fmt.Sprintf("192.0.2.%d\n", i))
		s.write("expand/admins.txt", fmt.Sprint(i))
		e.Refresh()
		e.Refresh()
		e.Want([]string{"source.threat.list"})
	}
	close(stop)
	for range 2 {
		if n := <-done; n > 0 {
			t.Errorf("an address was off its list %d times", n)
		}
	}
}
