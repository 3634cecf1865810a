package tail

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// auditStory makes events of audit whose lines several processors wrote at a time,
// each of which writes one event after the other: the events, and the lines as they
// come to stand in the file.
func auditStory(r *rand.Rand, processors, each int) (events, lines []string) {
	type cpu struct{ left []string }
	cpus := make([]cpu, processors)
	serial := 100
	begin := func() []string {
		serial++
		id := fmt.Sprintf("msg=audit(1700000000.%03d:%d):", serial%1000, serial)
		if r.IntN(4) == 0 {
			return []string{fmt.Sprintf("type=USER_LOGIN %s pid=%d", id, serial)}
		}
		e := []string{"type=SYSCALL " + id + " syscall=59"}
		for i := range r.IntN(4) {
			e = append(e, fmt.Sprintf("type=PATH %s item=%d", id, i))
		}
		return append(e, fmt.Sprintf("type=PROCTITLE %s proctitle=%d", id, serial))
	}
	for begun := 0; ; {
		open := 0
		for i := range cpus {
			if len(cpus[i].left) > 0 {
				open++
			}
		}
		if open == 0 && begun == processors*each {
			return events, lines
		}
		c := &cpus[r.IntN(processors)]
		if len(c.left) == 0 {
			if begun == processors*each {
				continue
			}
			begun++
			c.left = begin()
			events = append(events, strings.Join(c.left, "\n"))
		}
		lines = append(lines, c.left[0])
		c.left = c.left[1:]
	}
}

// TestInterleavedAudit: however many events are written at a time, whatever part of
// the file is there when it is read, and wherever the reader is killed, each event
// comes whole, and once: what was durable does not come again, and what comes has the
// number that it had.
func TestInterleavedAudit(t *testing.T) {
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 3))
		events, lines := auditStory(r, 1+r.IntN(4), 1+r.IntN(12))
		path := filepath.Join(t.TempDir(), "audit.log")
		write(t, path, "")
		config := beginning(path)
		config.MultilineTimeout = time.Minute // no event is cut here
		config.PollInterval = 5 * time.Millisecond
		l := newLedger()
		var got []string
		text := strings.Join(lines, "\n") + "\n"
		for len(text) > 0 {
			n := min(1+r.IntN(400), len(text))
			add(t, path, text[:n])
			text = text[n:]
			_, stop := l.run(t, config)
			want := ended(lines, text)
			until(t, fmt.Sprintf("seed %d: %d of %d events", seed, want, len(events)), func() bool { return len(got)+len(l.lines(path)) >= want })
			stop()
			fresh := l.lines(path)
			kept := len(fresh)
			if kept > 0 && r.IntN(2) == 0 {
				kept = 1 + r.IntN(kept) // the others were emitted, and are not durable
			}
			if kept > 0 {
				l.settleAt(path, kept)
			}
			got = append(got, fresh[:kept]...)
			l.forget(path)
		}
		_, stop := l.run(t, config)
		until(t, fmt.Sprintf("seed %d: the last of %d events", seed, len(events)), func() bool { return len(got)+len(l.lines(path)) >= len(events) })
		stop()
		got = append(got, l.lines(path)...)
		slices.SortFunc(got, byID)
		if !slices.Equal(got, events) {
			t.Fatalf("seed %d: got\n%s\nwant\n%s", seed, strings.Join(got, "\n\n"), strings.Join(events, "\n\n"))
		}
		if n := l.counted("multiline_split"); n != 0 {
			t.Errorf("seed %d: %d events were cut", seed, n)
		}
	}
}

func byID(a, b string) int {
	return cmp.Compare(string(auditID([]byte(a))), string(auditID([]byte(b))))
}

// ended returns how many of the events have all of their lines in the file, when
// rest of it has not come.
func ended(lines []string, rest string) (n int) {
	whole := strings.Count(strings.Join(lines, "\n")+"\n", "\n") - strings.Count(rest, "\n")
	for _, l := range lines[:whole] {
		if strings.HasPrefix(l, "type=PROCTITLE") || strings.HasPrefix(l, "type=USER") {
			n++
		}
	}
	return n
}

// TestAuditCut: a region that was ended by silence is ended at the same place after
// a restart, and what comes later is an event of its own: no line is lost.
func TestAuditCut(t *testing.T) {
	line := func(kind string, serial int) string {
		return fmt.Sprintf("type=%s msg=audit(1700000000.000:%d): x", kind, serial)
	}
	begun := []string{line("SYSCALL", 1), line("SYSCALL", 2), line("SYSCALL", 3), line("PATH", 1), line("PROCTITLE", 3)}
	want := []string{line("SYSCALL", 3) + "\n" + line("PROCTITLE", 3), line("SYSCALL", 1) + "\n" + line("PATH", 1), line("SYSCALL", 2)}
	late := []string{line("PATH", 2), line("PROCTITLE", 2), line("PROCTITLE", 1)}
	wantLate := []string{line("PATH", 2) + "\n" + line("PROCTITLE", 2), line("PROCTITLE", 1)}
	for kept := 1; kept <= len(want); kept++ {
		path := filepath.Join(t.TempDir(), "audit.log")
		write(t, path, strings.Join(begun, "\n")+"\n")
		config := beginning(path)
		config.MultilineTimeout = 20 * time.Millisecond
		l := newLedger()
		_, stop := l.run(t, config)
		l.wantLines(t, path, want...)
		stop()
		l.settleAt(path, kept)
		l.forget(path)
		add(t, path, strings.Join(late, "\n")+"\n")
		again := slices.Clone(want[kept:])
		if kept == 1 {
			// Nothing that silence cut is durable: the event goes on.
			again = []string{line("SYSCALL", 2) + "\n" + wantLate[0], want[1] + "\n" + line("PROCTITLE", 1)}
		} else {
			again = append(again, wantLate...)
		}
		l.run(t, config)
		l.wantLines(t, path, again...)
	}
}

// TestAuditBounds: an event that never ends holds up a region of enoughRegion bytes, or
// of so many unfinished events, and no others.
func TestAuditBounds(t *testing.T) {
	stuck := "type=BPF msg=audit(1700000000.000:1): prog-id=1"
	t.Run("bytes", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit.log")
		var text strings.Builder
		var want []string
		fmt.Fprintln(&text, stuck)
		for i := range 30 {
			l := fmt.Sprintf("type=USER_LOGIN msg=audit(1700000001.999:%d): %s", i+2, strings.Repeat("x", 5000))
			if text.Len() > enoughRegion && !slices.Contains(want, stuck) {
				want = append(want, stuck)
			}
			fmt.Fprintln(&text, l)
			want = append(want, l)
		}
		write(t, path, text.String())
		config := beginning(path)
		config.MultilineTimeout = time.Minute
		l := newLedger()
		l.run(t, config)
		l.wantLines(t, path, want...)
		until(t, "the count", func() bool { return l.counted("multiline_split") == 1 })
	})
	t.Run("one that takes long cuts no other", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit.log")
		var lines, want []string
		lines = append(lines, stuck)
		// Each two events lie in one another, and are half of a region away.
		for i := 2; i < 60; i += 2 {
			line := func(kind string, serial int) string {
				return fmt.Sprintf("type=%s msg=audit(1700000001.000:%d): %s", kind, serial, strings.Repeat("x", 2000))
			}
			lines = append(lines, line("SYSCALL", i), line("SYSCALL", i+1), line("PROCTITLE", i), line("PROCTITLE", i+1))
			want = append(want, line("SYSCALL", i)+"\n"+line("PROCTITLE", i), line("SYSCALL", i+1)+"\n"+line("PROCTITLE", i+1))
		}
		want = append(want, stuck)
		write(t, path, strings.Join(lines, "\n")+"\n")
		config := beginning(path)
		config.MultilineTimeout = 50 * time.Millisecond
		l := newLedger()
		l.run(t, config)
		until(t, "all events", func() bool { return len(l.lines(path)) >= len(want) })
		got := l.lines(path)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || l.counted("multiline_split") != 1 {
			t.Errorf("got %d records and %d splits, want each event whole and one split", len(got), l.counted("multiline_split"))
		}
	})
	t.Run("a long event", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit.log")
		line := "type=PATH msg=audit(1700000000.000:1): " + strings.Repeat("x", 30_000)
		write(t, path, strings.Repeat(line+"\n", 3))
		config := beginning(path)
		config.MultilineTimeout = 50 * time.Millisecond
		l := newLedger()
		l.run(t, config)
		l.wantLines(t, path, line+"\n"+line, line)
	})
	t.Run("events", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit.log")
		var want []string
		for i := range maxUnfinished + 3 {
			want = append(want, fmt.Sprintf("type=BPF msg=audit(1700000000.000:%d): prog-id=1", i))
		}
		write(t, path, strings.Join(want, "\n")+"\n")
		config := beginning(path)
		config.MultilineTimeout = 50 * time.Millisecond
		l := newLedger()
		l.run(t, config)
		l.wantLines(t, path, want...)
	})
	t.Run("blank lines", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit.log")
		write(t, path, stuck+strings.Repeat("\n", maxEvents+100))
		config := beginning(path)
		config.MultilineTimeout = 50 * time.Millisecond
		l := newLedger()
		l.run(t, config)
		until(t, "all lines", func() bool { return len(l.lines(path)) == maxEvents+100 })
	})
}

// TestAuditRotation: what has begun when the file is rotated comes in two parts, and
// nothing is lost.
func TestAuditRotation(t *testing.T) {
	first, rest, _ := strings.Cut(auditA, "\n")
	path := filepath.Join(t.TempDir(), "audit.log")
	write(t, path, first+"\n"+auditB+"\n")
	config := beginning(path)
	config.MultilineTimeout = time.Minute
	l := newLedger()
	l.run(t, config)
	l.wantLines(t, path, auditB)
	rename(t, path, path+".1")
	write(t, path, rest+"\n")
	l.wantLines(t, path, auditB, first, rest)
}

// TestOldPosition: a position of the version before is taken up.
func TestOldPosition(t *testing.T) {
	var p position
	p.set([]*segment{{mark: mark{inode: 1, offset: 10, leadLen: 10, headLen: 10}}, {mark: mark{inode: 2}}})
	old := []byte{withoutEvents, 2}
	for i := range 2 {
		old = append(old, p.buf[prefixSize+i*markSize:][:oldMarkSize]...)
	}
	got, err := decodePosition(old)
	want, _ := decodePosition(p.buf)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := decodePosition(old[:len(old)-1]); err == nil {
		t.Error("a position that is cut is accepted")
	}
}

// FuzzAuditRegion: whatever the file holds, and however it is cut into reads, every
// line comes once, in one record or another, and a restart behind any record goes on
// with the next.
func FuzzAuditRegion(f *testing.F) {
	f.Add([]byte(auditA+"\n"+auditB+"\n"+auditC+"\n"), 3)
	first, rest, _ := strings.Cut(auditA, "\n")
	f.Add([]byte(first+"\n"+auditC+"\n\n"+rest+"\nx"), 1)
	f.Add([]byte("type=X msg=audit(:\n\x00\x00\nnode= type=BPF msg=audit(1):\n"), 2)
	f.Fuzz(func(t *testing.T, text []byte, kept int) {
		if len(text) > 2*event.MaxRecord || len(text) == 0 {
			return
		}
		// read emits the regions of text behind a place, by force where they do not end.
		read := func(m mark) (records []string, marks []mark) {
			g := segment{audit: new(auditEvents), mark: m}
			for pos := int(m.offset); pos < len(text); {
				emit := func(b []byte) error {
					records, marks = append(records, string(b)), append(marks, g.mark)
					return nil
				}
				force := int(g.mark.until)
				end, err := g.region(text, pos, 0, force, emit)
				if err == nil && end == pos {
					end, err = g.region(text, pos, 0, len(text)-pos, emit)
				}
				if err != nil || end <= pos {
					t.Fatalf("region at %d: got %d, %v", pos, end, err)
				}
				pos = end
			}
			return records, marks
		}
		all, marks := read(mark{})
		lines := func(records []string) []string {
			var out []string
			for _, r := range records {
				out = append(out, strings.Split(r, "\n")...)
			}
			slices.Sort(out)
			return out
		}
		want := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		for i := range want {
			want[i] = strings.TrimSuffix(want[i], "\r")
		}
		slices.Sort(want)
		if got := lines(all); !slices.Equal(got, want) {
			t.Fatalf("got lines %q, want %q", got, want)
		}
		if kept = kept % len(all); kept < 1 {
			return
		}
		again, _ := read(marks[kept-1])
		if !slices.Equal(again, all[kept:]) {
			t.Fatalf("behind record %d: got %q, want %q", kept, again, all[kept:])
		}
	})
}

// TestRealAudit reads what auditd 3.0.9 wrote on two processors (log_format RAW,
// rules for execve and openat; eight loops of short programs), of which folders were
// renamed: the lines of each event, which the log has in their order, are a record.
func TestRealAudit(t *testing.T) {
	path, err := filepath.Abs(filepath.Join("testdata", "interleaved-audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	events, apart, last := map[string]string{}, 0, ""
	for line := range strings.Lines(string(data)) {
		id := string(auditID([]byte(line)))
		if events[id] != "" && id != last {
			apart++
		}
		events[id] += line
		last = id
	}
	if apart < 10 {
		t.Fatalf("%d lines stand apart from their event, want 10 or more", apart)
	}
	config := beginning(path)
	config.MultilineTimeout = 200 * time.Millisecond
	l := newLedger()
	l.run(t, config)
	until(t, "all events", func() bool { return len(l.lines(path)) >= len(events) })
	for _, got := range l.lines(path) {
		if want := events[string(auditID([]byte(got)))]; want != got+"\n" {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	t.Logf("%d events, %d of their lines apart", len(events), apart)
}
