package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func journal(t *testing.T, dir string, keep int64, visit func(Entry)) *Journal {
	t.Helper()
	j, err := OpenJournal(dir, keep, visit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func appendAll(t *testing.T, j *Journal, texts ...string) uint64 {
	t.Helper()
	var last uint64
	for _, s := range texts {
		i, err := j.Append(1, []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		last = i
	}
	if last > 0 {
		if err := j.Wait(t.Context(), last); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// loaded opens the journal and returns what it holds as "index text".
func loaded(t *testing.T, dir string) (string, *Journal) {
	t.Helper()
	var got []string
	j := journal(t, dir, 1<<30, func(e Entry) { got = append(got, fmt.Sprintf("%d %s", e.Index, e.Data)) })
	return strings.Join(got, ", "), j
}

// follow reads everything that can be read, failing after a while.
func follow(t *testing.T, j *Journal, from uint64, limit int) (string, bool) {
	t.Helper()
	var got []string
	gone := false
	for from < j.Next() {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		entries, err := j.Read(ctx, from, limit)
		cancel()
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return strings.Join(got, ", "), gone
		case errors.Is(err, ErrGone):
			gone = true
		case err != nil:
			t.Fatalf("Read from %d: %v", from, err)
		}
		if len(entries) == 0 || len(entries) > limit {
			t.Fatalf("Read gave %d entries, limit %d", len(entries), limit)
		}
		for i, e := range entries {
			if e.Index < from || i > 0 && e.Index != entries[i-1].Index+1 {
				t.Fatalf("Read from %d gave entry %d at place %d", from, e.Index, i)
			}
			got = append(got, fmt.Sprintf("%d %.20s", e.Index, e.Data))
		}
		from = entries[len(entries)-1].Index + 1
	}
	return strings.Join(got, ", "), gone
}

func TestJournalTornAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	j := journal(t, dir, 1<<30, nil)
	appendAll(t, j, "one", "two", "three")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(j.path(1))
	if err != nil {
		t.Fatal(err)
	}
	ends := []int{0, entryHeader + 3, 2*entryHeader + 6, 3*entryHeader + 11}
	texts := []string{"", "1 one", "1 one, 2 two", "1 one, 2 two, 3 three"}
	for n := range len(whole) + 1 {
		for _, junk := range [][]byte{nil, make([]byte, 40), bytes.Repeat([]byte{0xff}, 40)} {
			sub := filepath.Join(t.TempDir(), "j")
			if err := os.Mkdir(sub, 0o700); err != nil {
				t.Fatal(err)
			}
			torn := append(bytes.Clone(whole[:n]), junk...)
			if err := os.WriteFile(filepath.Join(sub, filepath.Base(j.path(1))), torn, 0o600); err != nil {
				t.Fatal(err)
			}
			k := 0
			for k+1 < len(ends) && ends[k+1] <= n {
				k++
			}
			got, again := loaded(t, sub)
			if got != texts[k] {
				t.Fatalf("cut at byte %d, %d bytes of junk: got %q, want %q", n, len(junk), got, texts[k])
			}
			if i := appendAll(t, again, "next"); i != uint64(k+1) {
				t.Fatalf("cut at byte %d: the next entry has index %d, want %d", n, i, k+1)
			}
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
			want := strings.TrimPrefix(fmt.Sprintf("%s, %d next", texts[k], k+1), ", ")
			got, again = loaded(t, sub)
			if got != want {
				t.Fatalf("cut at byte %d and opened again: got %q, want %q", n, got, want)
			}
			_ = again.Close()
		}
	}
}

// TestJournalDamagedInTheMiddle flips a byte: what cannot be read is a gap, a
// reader passes over it, and no index is given a second time.
func TestJournalDamagedInTheMiddle(t *testing.T) {
	make3 := func(t *testing.T) (string, string) {
		dir := t.TempDir()
		j := journal(t, dir, 1<<30, nil)
		appendAll(t, j, "one", "two", "three", "four")
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		return dir, j.path(1)
	}
	for name, at := range map[string]int64{"in the data": entryHeader + 3 + entryHeader, "in the length": entryHeader + 3 + 1, "in the index": entryHeader + 3 + 9, "in the checksum": entryHeader + 3 + 4} {
		t.Run(name, func(t *testing.T) {
			dir, path := make3(t)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			data[at] ^= 0x40
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			got, j := loaded(t, dir)
			if got != "1 one" {
				t.Errorf("loaded %q, want the entries before the damage", got)
			}
			if i := appendAll(t, j, "five"); i != 5 {
				t.Errorf("the next entry has index %d; 2 to 4 were given before", i)
			}
			for _, limit := range []int{1, 2, 100} {
				if got, gone := follow(t, j, 1, limit); got != "1 one, 5 five" || !gone {
					t.Errorf("limit %d: read %q, gone %v", limit, got, gone)
				}
				if got, gone := follow(t, j, 3, limit); got != "5 five" || !gone {
					t.Errorf("limit %d: read from the gap %q, gone %v", limit, got, gone)
				}
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, data) {
				t.Errorf("the damaged file was changed: %v", err)
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			got, j = loaded(t, dir)
			if got != "1 one, 5 five" {
				t.Errorf("opened again: %q", got)
			}
			if got, gone := follow(t, j, 1, 10); got != "1 one, 5 five" || !gone {
				t.Errorf("opened again: read %q, gone %v", got, gone)
			}
		})
	}
	t.Run("and nothing behind it yet", func(t *testing.T) {
		dir, path := make3(t)
		data, _ := os.ReadFile(path)
		data[entryHeader+3+entryHeader] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, j := loaded(t, dir)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if e, err := j.Read(ctx, 2, 10); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a read in the gap: %v, %v; want it to wait for the next entry", e, err)
		}
	})
}

// fill appends entries of 512 KiB and waits for each, so that segments end where
// they should.
func fill(t *testing.T, j *Journal, n int) {
	t.Helper()
	for range n {
		appendAll(t, j, fmt.Sprintf("%-20d", j.Next())+strings.Repeat("x", 512<<10))
	}
}

// TestJournalStaysFailed: what could not be written is not on disk because of
// anything that happens later.
func TestJournalStaysFailed(t *testing.T) {
	j, err := OpenJournal(t.TempDir(), 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.file.Close(); err != nil { // every write fails from now on
		t.Fatal(err)
	}
	index, err := j.Append(1, []byte("lost"))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Wait(t.Context(), index); err == nil {
		t.Fatal("got no error for an entry that cannot be written")
	}
	// Two rounds more, with nothing to write.
	j.wake <- struct{}{}
	j.wake <- struct{}{}
	_ = j.Close() // the rounds are over
	if err := j.Wait(t.Context(), index); err == nil {
		t.Error("an entry that could not be written is said to be on disk later")
	}
}

func TestJournalSegments(t *testing.T) {
	dir := t.TempDir()
	j := journal(t, dir, 1<<30, nil)
	fill(t, j, 100) // 50 MiB: three full segments and a part
	if got := len(j.segments); got != 4 {
		t.Errorf("%d segments, want 4", got)
	}
	check := func(j *Journal) {
		t.Helper()
		for _, limit := range []int{1, 7, 64, 1000} {
			next := uint64(1)
			for next < j.Next() {
				entries, err := j.Read(t.Context(), next, limit)
				if err != nil {
					t.Fatalf("Read(%d, %d): %v", next, limit, err)
				}
				for _, e := range entries {
					if e.Index != next || !strings.HasPrefix(string(e.Data), fmt.Sprint(next, " ")) {
						t.Fatalf("entry %d, want %d", e.Index, next)
					}
					next++
				}
			}
		}
	}
	check(j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	n := uint64(1)
	j = journal(t, dir, 1<<30, func(e Entry) {
		if e.Index != n {
			t.Errorf("visited %d, want %d", e.Index, n)
		}
		n++
	})
	check(j)
}

func TestJournalExpires(t *testing.T) {
	dir := t.TempDir()
	j := journal(t, dir, 32<<20, nil)
	fill(t, j, 200) // 100 MiB
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 {
		t.Errorf("%d files, want 3 for 32 MiB", len(files))
	}
	entries, err := j.Read(t.Context(), 1, 5)
	if !errors.Is(err, ErrGone) || len(entries) != 5 || entries[0].Index != j.first || j.first < 64 {
		t.Errorf("a read of what has expired: %d entries, error %v, first %d", len(entries), err, j.first)
	}
	if got, gone := follow(t, j, 1, 10); !gone || !strings.HasPrefix(got, fmt.Sprint(j.first)) || !strings.Contains(got, ", 200 200") {
		t.Errorf("followed %.30q ..., gone %v", got, gone)
	}
	first := j.first
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if j = journal(t, dir, 32<<20, nil); j.first != first || j.Next() != 201 {
		t.Errorf("opened again: first %d, next %d; want %d, 201", j.first, j.Next(), first)
	}
}

// TestJournalReaderAndExpiry: a reader that is overtaken by expiry hears of the
// gap and goes on.
func TestJournalReaderAndExpiry(t *testing.T) {
	j := journal(t, t.TempDir(), 1, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for next := uint64(1); next < 150; {
			entries, err := j.Read(t.Context(), next, 3)
			if err != nil && !errors.Is(err, ErrGone) {
				t.Errorf("Read(%d): %v", next, err)
				return
			}
			if entries[0].Index > next && !errors.Is(err, ErrGone) {
				t.Errorf("from %d to %d without ErrGone", next, entries[0].Index)
			}
			next = entries[len(entries)-1].Index + 1
		}
	}()
	fill(t, j, 160)
	<-done
}

func TestJournalConcurrently(t *testing.T) {
	dir := t.TempDir()
	j := journal(t, dir, 1<<30, nil)
	const writers, each = 8, 200
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				i, err := j.Append(uint8(w), fmt.Appendf(nil, "%d", n))
				if err != nil {
					t.Error(err)
					return
				}
				if n%10 == 0 {
					if err := j.Wait(t.Context(), i); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for range 3 {
		wg.Go(func() {
			last := map[uint8]int{}
			for next := uint64(1); next <= writers*each; {
				entries, err := j.Read(t.Context(), next, 50)
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range entries {
					var n int
					if _, err := fmt.Sscan(string(e.Data), &n); err != nil || e.Index != next || n != last[e.Kind] {
						t.Errorf("entry %d of writer %d: %s, want %d", e.Index, e.Kind, e.Data, last[e.Kind])
						return
					}
					last[e.Kind]++
					next++
				}
			}
		})
	}
	wg.Wait()
}

func TestJournalClose(t *testing.T) {
	j := journal(t, t.TempDir(), 1<<30, nil)
	errs := make(chan error, 2)
	go func() { _, err := j.Read(context.Background(), 100, 1); errs <- err }()
	go func() { errs <- j.Wait(context.Background(), 100) }()
	if _, err := j.Append(1, []byte("unwaited")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := j.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	for range 2 {
		if err := <-errs; !errors.Is(err, ErrJournalClosed) {
			t.Errorf("who waited got %v, want ErrJournalClosed", err)
		}
	}
	if _, err := j.Append(1, nil); !errors.Is(err, ErrJournalClosed) {
		t.Errorf("Append after Close: %v", err)
	}
	if got, j := loaded(t, j.dir); got != "1 unwaited" {
		t.Errorf("got %q; Close did not write what was appended", got)
	} else {
		_ = j.Close()
	}
}

func TestJournalBounds(t *testing.T) {
	dir := t.TempDir()
	j := journal(t, dir, 1<<30, nil)
	if _, err := j.Append(1, make([]byte, MaxEntry+1)); err == nil {
		t.Error("an entry that is too long: got no error")
	}
	if _, err := j.Append(1, make([]byte, MaxEntry)); err != nil {
		t.Error(err)
	}
	i, err := j.Append(1, nil)
	if err != nil {
		t.Error(err)
	}
	if err := j.Wait(t.Context(), i); err != nil {
		t.Error(err)
	}
	for range 100_000 {
		j.mu.Lock()
		j.remember(Entry{Index: j.recent[len(j.recent)-1].Index + 1})
		j.mu.Unlock()
	}
	if n := len(j.recent); n > recentBytes/entryMemory {
		t.Errorf("%d empty entries are kept in memory", n)
	}
	// Files that are none of ours are left alone.
	if err := os.WriteFile(filepath.Join(dir, "zz.log"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "1.log"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if j = journal(t, dir, 1<<30, nil); j.Next() != 3 {
		t.Errorf("Next() = %d, want 3", j.Next())
	}
}

// FuzzJournal opens a segment of arbitrary bytes.
func FuzzJournal(f *testing.F) {
	dir := f.TempDir()
	j, err := OpenJournal(dir, 1<<30, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"one", "", "three"} {
		if _, err := j.Append(7, []byte(s)); err != nil {
			f.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(j.path(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(append(append([]byte{}, whole[:20]...), whole[25:]...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%016x.log", 1)), data, 0o600); err != nil {
			t.Fatal(err)
		}
		next := uint64(1)
		j, err := OpenJournal(dir, 1<<30, func(e Entry) {
			if e.Index != next {
				t.Errorf("visited %d, want %d", e.Index, next)
			}
			next++
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		}()
		if j.Next() < next {
			t.Errorf("Next() = %d behind %d", j.Next(), next)
		}
		i, err := j.Append(1, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Wait(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		e, err := j.Read(t.Context(), i, 1)
		if err != nil || len(e) != 1 || e[0].Index != i {
			t.Errorf("Read of the new entry: %v, %v", e, err)
		}
	})
}

func BenchmarkJournalAppendWait(b *testing.B) {
	j, err := OpenJournal(b.TempDir(), 1<<30, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			b.Error(err)
		}
	}()
	data := make([]byte, 500)
	b.ReportAllocs()
	for b.Loop() {
		i, err := j.Append(1, data)
		if err != nil {
			b.Fatal(err)
		}
		if err := j.Wait(b.Context(), i); err != nil {
			b.Fatal(err)
		}
	}
}
