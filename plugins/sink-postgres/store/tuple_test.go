package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMigrationsStayAsTheyAre holds the schema of versions that databases may have.
// Another one takes a further migration, and a line here.
func TestMigrationsStayAsTheyAre(t *testing.T) {
	want := []string{"7615aba504364af4"}
	var got []string
	for _, m := range migrations {
		sum := sha256.Sum256([]byte(m))
		got = append(got, hex.EncodeToString(sum[:8]))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("migrations (-want +got):\n%s", diff)
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("a\x00b", "\ufdd0")
	f.Add("\ufdd00\\u0000", `"\`)
	f.Fuzz(func(t *testing.T, a, b string) {
		a, b = strings.ToValidUTF8(a, "?"), strings.ToValidUTF8(b, "?")
		if got := escape(a); unescape(got) != a || strings.IndexByte(got, 0) >= 0 {
			t.Errorf("%q: got %q, which is %q", a, got, unescape(got))
		}
		want := map[string]string{a: b}
		doc := encode(want)
		if strings.Contains(strings.ReplaceAll(string(doc), `\\`, ""), `\u0000`) || !json.Valid(doc) {
			t.Errorf("%q: got %s", want, doc)
		}
		var got map[string]string
		if err := decode(doc, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// FuzzRows has the spool hold anything: it is divided into rows, or refused.
func FuzzRows(f *testing.F) {
	f.Add([]byte(newTuple(nil, 3).text("a").int8(7).bytes(nil)), 1)
	f.Fuzz(func(t *testing.T, b []byte, count int) {
		for rest := b; len(rest) > 0; {
			n, err := rowEnd(rest)
			if err != nil {
				break
			}
			if n < 2 || n > len(rest) {
				t.Fatalf("got a row of %d bytes of %d", n, len(rest))
			}
			rest = rest[n:]
		}
		a, c, err := rows{data: b, count: max(2, count%1000)}.halves()
		if err == nil && (len(a.data)+len(c.data) != len(b) || a.count+c.count != max(2, count%1000)) {
			t.Errorf("got halves of %d and %d bytes of %d", len(a.data), len(c.data), len(b))
		}
		g := new(group)
		_ = g.addRecord(b) // whatever it is
	})
}

func TestSpoolRecords(t *testing.T) {
	g := new(group)
	g.grow(tableLogs, 5, true, func(b []byte) tuple { return newTuple(b, 1).text("a") })
	g.grow(tableLogs, 3, false, func(b []byte) tuple { return newTuple(b, 1).text("b") })
	g.grow(tableAlerts, -9, false, func(b []byte) tuple { return newTuple(b, 1).text("c") })
	back := new(group)
	for _, ledger := range []bool{true, false} {
		for _, r := range g.records(ledger) {
			if err := back.addRecord(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	for table := range g.of {
		a, b := g.of[table], back.of[table]
		if string(a.data) != string(b.data) || a.count != b.count || a.first != b.first || a.last != b.last || a.moving != b.moving {
			t.Errorf("table %d: got %+v, want %+v", table, b, a)
		}
	}
}
