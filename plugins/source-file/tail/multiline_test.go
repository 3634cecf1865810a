package tail

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

func multiline(path, expression string) Config {
	c := beginning(path)
	c.Multiline = map[string]string{path: expression}
	c.MultilineTimeout = 100 * time.Millisecond
	return c
}

func TestMultiline(t *testing.T) {
	half := strings.Repeat("x", event.MaxRecord/2)
	for _, c := range []struct {
		name, expression, text string
		want                   []string
	}{
		{
			"stack trace", `^\d{4}-`, "2026-01-01 a\n  at b\n  at c\n2026-01-02 d\n",
			[]string{"2026-01-01 a\n  at b\n  at c", "2026-01-02 d"},
		},
		{"indented", `^\S`, "a\n b\n\tc\nd\n", []string{"a\n b\n\tc", "d"}},
		{"it begins in the middle", `^\d`, "  at b\n1 a\n", []string{"  at b", "1 a"}},
		{"CRLF", `^\d$`, "1\r\n b\r\n2\r\n", []string{"1\r\n b", "2"}},
		{"empty lines belong to it", `^\d`, "1\n\n\n2\n", []string{"1\n\n", "2"}},
		{"every line", ``, "1\n 2\n", []string{"1", " 2"}},
		{
			"too long for one record", `^\d`, "1" + half + "\n" + half + "\n" + half + "\n2\n",
			[]string{"1" + half, half, half, "2"},
		},
		{
			"as long as a record may be", `^\d`, "1" + half[1:] + "\n" + half[1:] + "\n2\n",
			[]string{"1" + half[1:] + "\n" + half[1:], "2"},
		},
		{
			"a line too long behind it", `^\d`, "1\n" + half + half + half + "\n2\n",
			[]string{"1", (half + half + half)[:event.MaxRecord+1], "2"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.log")
			write(t, path, c.text)
			config := multiline(path, c.expression)
			if c.expression == "" {
				config.Multiline = nil
			}
			l := newLedger()
			l.run(t, config)
			l.wantLines(t, path, c.want...)
		})
	}
}

func TestMultilineWaitsForTheRest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	config := multiline(path, `^\d`)
	config.MultilineTimeout = time.Minute
	write(t, path, "1 a\n")
	l := newLedger()
	_, stop := l.run(t, config)
	add(t, path, "  b\n")
	add(t, path, "  c")
	add(t, path, "\n2 d\n")
	l.wantLines(t, path, "1 a\n  b\n  c")
	// 2 d was not emitted, so its position was not taken over: it comes whole
	// after a restart.
	stop()
	l.settle()
	l.forget(path)
	add(t, path, "  e\n3\n")
	l.run(t, config)
	l.wantLines(t, path, "2 d\n  e")
}

func TestMultilineTimeout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	config := multiline(path, `^\d`)
	write(t, path, "1\n a\nunfinished")
	l := newLedger()
	l.run(t, config)
	l.wantLines(t, path, "1\n a")
	add(t, path, " line\n")
	l.wantLines(t, path, "1\n a", "unfinished line")
}

func TestMultilineRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	config := multiline(path, `^\d`)
	config.MultilineTimeout = time.Minute
	write(t, path, "1\n a\n")
	l := newLedger()
	l.run(t, config)
	until(t, "the first sight of the file", func() bool { return len(l.names()) == 1 })
	rename(t, path, path+".1")
	add(t, path+".1", " b\n")
	write(t, path, "2\n a\n3\n")
	l.wantLines(t, path, "1\n a\n b", "2\n a")
}

func TestMultilinePattern(t *testing.T) {
	config := beginning("/var/log/app/*.log")
	config.Multiline = map[string]string{"/var/log/app/*.log": "a", "/var/log/app/x*.log": "b", "/var/log/app/y.log": "c"}
	for path, want := range map[string]string{
		"/var/log/app/w.log": "a", "/var/log/app/x1.log": "b", "/var/log/app/y.log": "a", "/var/log/other": "",
	} {
		got := ""
		if b, ok := config.bounds(path).(expression); ok {
			got = b.String()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestValidateMultiline(t *testing.T) {
	for _, c := range []struct {
		name, path, expression, want string
	}{
		{"relative", "a.log", "^a", "relative"},
		{"look-behind", "/a.log", "(?<!a)b", "look-around"},
		{"empty", "/a.log", "", "1 to 1024"},
		{"long", "/a.log", strings.Repeat("a", 2000), "1 to 1024"},
		{"bad glob", "/a[", "a", "syntax error"},
	} {
		config := beginning("/a.log")
		config.Multiline = map[string]string{c.path: c.expression}
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want something about %q", c.name, err, c.want)
		}
	}
}

// FuzzMultiline compares the records of a file that arrives in two pieces, with
// a restart between them, with those of a plain reading of the contract.
func FuzzMultiline(f *testing.F) {
	f.Add([]byte("1\n a\n2\n3\n"), 3)
	f.Add([]byte("1\n"+strings.Repeat("x", event.MaxRecord-2)+"\n a\n2\n"), 5)
	f.Add([]byte(strings.Repeat("x", event.MaxRecord+10)+"\n a\n1\n"), event.MaxRecord+5)
	starts := expression{regexp.MustCompile(`^\d`)}
	f.Fuzz(func(t *testing.T, content []byte, cut int) {
		if strings.Contains(string(content), "\x00") {
			return // holes are FuzzRead's
		}
		cut = max(0, min(cut, len(content)))
		path := filepath.Join(t.TempDir(), "f")
		buf := make([]byte, chunk)
		var got []string
		var place *mark
		for _, text := range [][]byte{content[:cut], content} {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			g, _, err := openSegment(path)
			if err != nil {
				t.Fatal(err)
			}
			if place == nil {
				err = g.check(buf)
			} else {
				err = g.adopt(place, buf)
			}
			g.bounds = starts
			if err == nil {
				err = g.read(context.Background(), buf, func(line []byte) error {
					got = append(got, string(line))
					m := g.mark
					place = &m
					return nil
				})
			}
			g.close()
			if err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(plainRecords(string(content)), got); diff != "" {
			t.Errorf("records (-want +got):\n%.2000s", diff)
		}
	})
}

// plainRecords puts lines together, without the last record, which is not
// complete.
func plainRecords(content string) []string {
	var records []string
	text, open := "", false
	end := func() {
		if open {
			records = append(records, strings.TrimSuffix(text, "\r"))
		}
		text, open = "", false
	}
	for {
		line, rest, ok := strings.Cut(content, "\n")
		switch {
		case !ok:
			if open && len(text)+1+len(line) > event.MaxRecord {
				end()
			}
			if !open && len(line) > event.MaxRecord+1 {
				records = append(records, line[:event.MaxRecord+1])
			}
			return records
		case open && (line != "" && '0' <= line[0] && line[0] <= '9' || len(text)+1+len(line) > event.MaxRecord):
			end()
		}
		switch {
		case open:
			text += "\n" + line
		case len(line) > event.MaxRecord:
			records = append(records, strings.TrimSuffix(line[:min(len(line), event.MaxRecord+1)], "\r"))
		default:
			text, open = line, true
		}
		content = rest
	}
}
