package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimEnv); dir != "" {
		victim(dir)
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, dir string, change ...func(*Config)) *Log {
	t.Helper()
	c := Config{Dir: dir, Note: "host h1"}
	for _, f := range change {
		f(&c)
	}
	l, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // it is closed again
	return l
}

func change(n int) Record {
	uid := uint32(1000)
	return Record{
		Kind: KindChange, User: "alice", UID: &uid, PID: 4711, Action: "block add", Outcome: OutcomeDone,
		Request: json.RawMessage(fmt.Sprintf(`{"prefix":"192.0.2.%d/32","reason":"a <b> & \"c\""}`, n)),
	}
}

func add(t *testing.T, l *Log, records ...Record) Head {
	t.Helper()
	h, err := l.Append(records...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func closed(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// verified verifies a log that has to be in order.
func verified(t *testing.T, dir string, heads ...Head) *Report {
	t.Helper()
	r, err := Verify(dir, heads...)
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK {
		t.Fatalf("got the problem %+v", r.Problem)
	}
	return r
}

func TestAppendAndRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := open(t, dir)
	add(t, l, change(1), change(2))
	head := add(t, l, Record{Kind: KindAction, Journal: 17, Event: json.RawMessage(`{"action":"block"}`)})
	if head.Sequence != 4 || l.Head() != head || l.Journal() != 17 {
		t.Errorf("got the head %v and journal %d, want record 4 and 17", head, l.Journal())
	}
	closed(t, l)
	if _, err := l.Append(change(3)); !errors.Is(err, ErrClosed) {
		t.Errorf("append after Close: got %v, want ErrClosed", err)
	}
	closed(t, l)

	l = open(t, dir)
	if l.Head() != head || l.Journal() != 17 || len(l.Findings()) != 0 {
		t.Errorf("opened again: got %v, journal %d, %q", l.Head(), l.Journal(), l.Findings())
	}
	add(t, l, change(3))
	records, unreadable, err := Read(dir, Query{})
	if err != nil || unreadable != 0 {
		t.Fatal(err, unreadable)
	}
	want := []Record{{Sequence: 1, Kind: KindBegin, Note: "host h1"}, change(1), change(2), {Kind: KindAction, Journal: 17, Event: json.RawMessage(`{"action":"block"}`)}, change(3)}
	if diff := cmp.Diff(want, records, cmpopts.IgnoreFields(Record{}, "Sequence", "Time", "Prev", "Hash")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i, r := range records {
		if r.Sequence != uint64(i+1) || i > 0 && r.Prev != records[i-1].Hash || time.Since(r.Time) > time.Minute {
			t.Errorf("record %d is %+v", i+1, r)
		}
	}
	report := verified(t, dir, head)
	if report.Records != 5 || report.First != 1 || report.Last != l.Head() || report.Heads != 2 {
		t.Errorf("got %+v", report)
	}
}

// What the documentation says about checking a record by hand is so.
func TestHashIsThatOfTheLineWithoutItsEnd(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	add(t, l, change(1))
	text, err := os.ReadFile(filepath.Join(dir, "00000000000000000001.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	prev := strings.Repeat("0", 64)
	for line := range bytes.Lines(text) {
		sum := sha256.Sum256(line[:len(line)-76])
		var r struct{ Prev, Hash string }
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if r.Hash != hex.EncodeToString(sum[:]) || r.Prev != prev {
			t.Errorf("got %+v, want prev %s", r, prev)
		}
		prev = r.Hash
	}
}

func TestQueries(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := open(t, dir, func(c *Config) {
		c.FileBytes = 1000
		c.Now = func() time.Time { now = now.Add(time.Minute); return now }
	})
	for n := range 20 {
		r := change(n)
		if n%2 == 0 {
			r.User = "bob"
		}
		add(t, l, r)
	}
	late, _, err := Read(dir, Query{From: 20})
	if err != nil || len(late) != 2 {
		t.Fatal(late, err)
	}
	for _, tt := range []struct {
		name string
		q    Query
		want []uint64
	}{
		{"from", Query{From: 19}, []uint64{19, 20, 21}},
		{"a page", Query{From: 5, Limit: 3}, []uint64{5, 6, 7}},
		{"the last", Query{Last: true, Limit: 2}, []uint64{20, 21}},
		{"of a user", Query{Users: []string{"bob"}, Last: true, Limit: 2}, []uint64{18, 20}},
		{"of a kind", Query{Kinds: []string{KindBegin, KindStart}}, []uint64{1}},
		{"since", Query{Since: late[0].Time}, []uint64{20, 21}},
		{"none", Query{Users: []string{"eve"}}, nil},
	} {
		records, _, err := Read(dir, tt.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, r := range records {
			got = append(got, r.Sequence)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestRotationAndRetention(t *testing.T) {
	dir := t.TempDir()
	small := func(c *Config) { c.FileBytes, c.KeepBytes = 1000, 3000 }
	l := open(t, dir, small)
	var heads []Head
	for n := range 100 {
		heads = append(heads, add(t, l, change(n)))
		if n%10 == 0 { // over restarts too
			closed(t, l)
			l = open(t, dir, small)
		}
	}
	files, err := list(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) > 5 || files[0] == 1 {
		t.Errorf("got the files %d, want the newest few", files)
	}
	report := verified(t, dir, heads...)
	if report.First != files[0] || report.Last != l.Head() || report.Unknown == 0 || report.Heads+report.Unknown < len(heads) {
		t.Errorf("got %+v, and the files %d", report, files)
	}
	// The oldest file that is kept cannot go unnoticed, nor come from elsewhere.
	if err := os.Remove(filepath.Join(dir, fileName(files[0]))); err != nil {
		t.Fatal(err)
	}
	if r, err := Verify(dir); err != nil || r.OK || r.Problem.Fault != FaultDropped || r.Problem.Sequence != 1 {
		t.Errorf("without its oldest file: got %+v, %v", r.Problem, err)
	}
}

// A log whose end was cut off at a record's end, which a crash cannot do, is told
// from one that was torn, and the gap stays.
func TestCutOffEndIsNoticedAtTheNextStart(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	add(t, l, change(1), change(2), change(3))
	closed(t, l)
	path := filepath.Join(dir, fileName(1))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	short := bytes.Join(bytes.SplitAfter(text, []byte("\n"))[:2], nil)
	if err := os.WriteFile(path, short, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Verify(dir)
	if err != nil || r.OK || r.Problem.Fault != FaultTruncated || r.Problem.Sequence != 3 || r.Problem.Line != 2 {
		t.Fatalf("got %+v, %v; want record 3 and more truncated behind line 2", r.Problem, err)
	}
	l = open(t, dir)
	if len(l.Findings()) != 1 || !strings.Contains(l.Findings()[0], "it ends at record 2, and record 4 had been written") {
		t.Errorf("findings: got %q", l.Findings())
	}
	add(t, l, change(4))
	r, err = Verify(dir)
	if err != nil || r.OK || r.Problem.Fault != FaultDropped || r.Problem.Sequence != 3 {
		t.Errorf("after a start: got %+v, %v; want record 3 dropped", r.Problem, err)
	}
	records, _, err := Read(dir, Query{From: 5})
	if err != nil || len(records) != 2 || records[0].Kind != KindDamaged || records[0].Sequence != 5 {
		t.Errorf("got %+v, %v; want the damage recorded as 5", records, err)
	}
}

// A damaged record stops no host, and is not hidden by what comes later.
func TestDamageIsKept(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	add(t, l, change(1), change(2), change(3))
	closed(t, l)
	path := filepath.Join(dir, fileName(1))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edited := bytes.Replace(text, []byte("192.0.2.1"), []byte("192.0.2.9"), 1)
	if err := os.WriteFile(path, edited, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		l = open(t, dir)
		add(t, l, change(4))
		closed(t, l)
	}
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(edited, again) {
		t.Errorf("the damaged file was changed: %v", err)
	}
	r, err := Verify(dir)
	if err != nil || r.OK || r.Problem.Fault != FaultEdited || r.Problem.Sequence != 2 || r.Problem.Line != 2 {
		t.Errorf("got %+v, %v; want record 2 edited", r.Problem, err)
	}
	records, unreadable, err := Read(dir, Query{Kinds: []string{KindDamaged}})
	if err != nil || len(records) != 1 || unreadable != 1 {
		t.Errorf("got %d records of damage and %d lines unreadable, %v; want 1 and 1", len(records), unreadable, err)
	}
}

func TestRemovedLogIsNoticed(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	head := add(t, l, change(1))
	closed(t, l)
	if err := os.Remove(filepath.Join(dir, fileName(1))); err != nil {
		t.Fatal(err)
	}
	if r, err := Verify(dir); err != nil || r.OK || r.Problem.Fault != FaultTruncated {
		t.Errorf("got %+v, %v", r, err)
	}
	l = open(t, dir)
	if h := l.Head(); h.Sequence != head.Sequence+1 || len(l.Findings()) != 1 {
		t.Errorf("got the head %v and %q", h, l.Findings())
	}
	if r, err := Verify(dir); err != nil || r.OK || r.Problem.Fault != FaultDropped {
		t.Errorf("after a start: got %+v, %v", r, err)
	}
}

func TestLargePartsAreCut(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	r := change(1)
	r.Request = json.RawMessage(`"` + strings.Repeat("x", 2<<20) + `"`)
	broken := change(2)
	broken.Request = json.RawMessage(`{"prefix":`)
	add(t, l, r, broken, Record{Kind: KindAction, Journal: 1, Event: json.RawMessage(strings.Repeat("\xff", 3<<20))})
	verified(t, dir)
	records, unreadable, err := Read(dir, Query{From: 2})
	if err != nil || unreadable != 0 || len(records) != 3 {
		t.Fatalf("got %d records, %d unreadable, %v", len(records), unreadable, err)
	}
	var cut struct {
		Cut   string
		Bytes int
	}
	if err := json.Unmarshal(records[1].Request, &cut); err != nil || cut.Cut != `{"prefix":` || cut.Bytes != 10 {
		t.Errorf("got %s, %v", records[1].Request, err)
	}
}

func TestParseHead(t *testing.T) {
	h := Head{7, sha256.Sum256(nil)}
	if got, err := ParseHead(h.String()); err != nil || got != h {
		t.Errorf("got %v, %v; want %v", got, err, h)
	}
	for _, text := range []string{"", "@", "7", strings.ToUpper(h.Hash.String()) + "@7", h.Hash.String() + "@0", h.Hash.String() + "@-1", h.Hash.String()[1:] + "@7", h.String() + " "} {
		if _, err := ParseHead(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
