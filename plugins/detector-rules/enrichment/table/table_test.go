package table

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// show writes the row of a key.
func show(t *Table, key string) string {
	row, ok := t.Text(key)
	if t.Key() == AddressKey {
		row, ok = t.Address(netip.MustParseAddr(key))
	}
	if !ok {
		return "none"
	}
	var out []string
	for i, c := range t.Columns() {
		if cell := row.Cell(i); cell != "" {
			out = append(out, c+"="+cell)
		}
	}
	return strings.Join(out, " ")
}

func TestLookup(t *testing.T) {
	users, err := ParseCSV([]byte("\ufeff# our people\nuser, user.department ,user.shift\r\nalice,finance,day\r\n\"bob, jr\",\"IT \"\"core\"\"\",\n"))
	if err != nil {
		t.Fatal(err)
	}
	folded, err := ParseYAML([]byte("key: user\nignore_case: true\nrows:\n  Alice: {team: a, n: 7}\n  BOB: {other: b, team: ~}\n"))
	if err != nil {
		t.Fatal(err)
	}
	assets, err := ParseCSV([]byte("ip,asset\n10.0.0.0/8,inside\n10.1.0.0/16,office\n10.1.2.3,printer\n2001:db8::/32,v6\n::ffff:192.0.2.1,mapped\n0.0.0.0/0,world\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		table     *Table
		key, want string
	}{
		{users, "alice", "user.department=finance user.shift=day"},
		{users, "bob, jr", `user.department=IT "core"`},
		{users, "Alice", "none"},
		{users, "", "none"},
		{folded, "ALICE", "team=a n=7"},
		{folded, "bob", "other=b"},
		{assets, "10.1.2.3", "asset=printer"},
		{assets, "::ffff:10.1.2.4", "asset=office"},
		{assets, "10.200.0.1", "asset=inside"},
		{assets, "192.0.2.1", "asset=mapped"},
		{assets, "192.0.2.2", "asset=world"},
		{assets, "2001:db8::1%eth0", "asset=v6"},
		{assets, "2001:db9::1", "none"},
	} {
		if got := show(tt.table, tt.key); got != tt.want {
			t.Errorf("%s %q: got %q, want %q", tt.table.Key(), tt.key, got, tt.want)
		}
	}
	if _, ok := assets.Address(netip.Addr{}); ok {
		t.Error("no address has a row")
	}
	if _, ok := assets.Text("10.1.2.3"); ok {
		t.Error("a table of addresses has a row for a text")
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
	}{
		{"empty", "", "it is empty; write a head (user,user.department) and rows"},
		{"no columns", "user\n", `line 1: it has no column but the key "user"; write the fields that an event gets beside it`},
		{"no rows", "user,x\n", "it has no rows; a table that is to end is removed, or its path taken out of the configuration"},
		{"a short row", "user,x\n\nalice\n", "line 3: it has 1 cells, the head has 2"},
		{"a quote", "user,x\na\"b,c\n", "line 2: it is no CSV: bare \" in non-quoted-field"},
		{"a key twice", "user,x\na,1\nb,2\na,3\n", `line 4: the key "a" stands on line 2 too; join the rows`},
		{"no key", "user,x\n,1\n", "line 2: the key is empty; name the user"},
		{"a column twice", "user,x,x\na,1,2\n", `line 1: there are two columns "x"`},
		{"the key as a column", "user,user\na,1\n", `line 1: there are two columns "user"`},
		{"a bad name", "user,a b\na,1\n", `line 1: the name "a b" of column 2 has blanks or one of "'|*%; write letters, digits, dots and underlines`},
		{"an empty name", "user,\na,1\n", `line 1: the name "" of column 2 is empty`},
		{"a bad network", "ip,x\n10.0.0.1/8,1\n", `line 2: the key "10.0.0.1/8" is no address or network (192.0.2.7, 192.0.2.0/24)`},
		{"a long cell", "user,x\na," + strings.Repeat("x", 1025), "line 2: a cell has 1025 bytes, at most 1024 are read"},
		{"many columns", "user" + strings.Repeat(",x", 33), "line 1: it has 33 columns beside the key, at most 32 are read"},
		{"YAML: empty", "---\n", "line 2: it is empty; write a mapping with key and rows"},
		{"YAML: wrong", "---\nkey: [\n", "line 2: it is no YAML: did not find expected node content"},
		{"YAML: a list", "---\n- a\n", "line 2: it is a list; write a mapping with key and rows"},
		{"YAML: no key", "---\nrows: {}\n", "line 2: it names no key; write the field that is looked up, as key: user"},
		{"YAML: no rows", "---\nkey: user\n", "line 2: it has no mapping rows, from keys to their fields"},
		{"YAML: unknown", "---\nkey: user\nrow: {}\n", `line 3: there is no "row"; write key, ignore_case and rows`},
		{"YAML: a row of text", "---\nkey: user\nrows:\n  a: b\n", `line 4: the row "a" is "b"; write a mapping from fields to values`},
		{"YAML: a nested value", "---\nkey: user\nrows:\n  a: {b: {c: d}}\n", `line 4: the field "b" is a mapping; write one value`},
		{"YAML: a field twice", "---\nkey: user\nrows:\n  a: {b: c, b: d}\n", `line 4: the field "b" stands twice`},
		{"YAML: an alias", "---\nkey: user\nrows:\n  a: &x {b: c}\n  d: *x\n", `line 5: the row "d" is "x"; write a mapping from fields to values`},
		{"YAML: ignore_case", "---\nkey: user\nignore_case: 7\nrows: {a: {b: c}}\n", `line 3: ignore_case is "7"; write true or false`},
		{"YAML: case of addresses", "---\nkey: ip\nignore_case: true\nrows: {10.0.0.1: {b: c}}\n", "line 2: ignore_case means nothing for addresses; take it out"},
		{"YAML: two documents", "---\nkey: a\nrows: {a: {b: c}}\n---\nkey: b\n", "line 5: a second document; write one table a file"},
		{"YAML: large", "---\n#" + strings.Repeat("x", MaxYAML), fmt.Sprintf("it has %d bytes, and YAML is read up to %d; write it as CSV", MaxYAML+5, MaxYAML)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parse := ParseCSV
			if strings.HasPrefix(tt.in, "---") {
				parse = ParseYAML
			}
			_, err := parse([]byte(tt.in))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestAgainstRowsOneByOne asks a table of networks and the networks themselves.
func TestAgainstRowsOneByOne(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1)) //nolint:gosec // the same each time
	for range 50 {
		rows := map[netip.Prefix]string{}
		text := "ip,x\n"
		for range 40 {
			a := netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(4)), byte(r.IntN(256))})
			p, err := a.Prefix(16 + r.IntN(17))
			if err != nil {
				t.Fatal(err)
			}
			if _, twice := rows[p]; !twice {
				rows[p] = p.String()
				text += p.String() + "," + p.String() + "\n"
			}
		}
		table, err := ParseCSV([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			a := netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), byte(r.IntN(4)), byte(r.IntN(256))})
			want, best := "none", -1
			for p, cell := range rows {
				if p.Contains(a) && p.Bits() > best {
					want, best = "x="+cell, p.Bits()
				}
			}
			if got := show(table, a.String()); got != want {
				t.Fatalf("%v: got %q, want %q", a, got, want)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"user,x\na,b\n", "ip,x\n10.0.0.0/8,b\n", "\"", "a,b\n\"c\nd\",e\n", "#\n", "key: user\nrows: {a: {b: c}}", "key: ip\nrows:\n  ::1: {b: ~}",
		"key: &a x\nrows: *a", "rows: {? [a] : {b: c}}\nkey: k", "key: k\nrows: {<<: {a: {b: c}}}", "\xff", "key: k\nignore_case: yes\nrows: {A: {b: c}}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func([]byte) (*Table, error){ParseCSV, ParseYAML} {
			table, err := parse(b)
			if err != nil {
				if len(err.Error()) > 600 {
					t.Errorf("the error takes %d bytes", len(err.Error()))
				}
				continue
			}
			if table.Len() == 0 || len(table.Columns()) == 0 || table.Bytes() <= 0 {
				t.Errorf("%q: a table without rows or columns was taken", b)
			}
			for key := range table.texts {
				if _, ok := table.Text(key); !ok {
					t.Errorf("%q: the row %q is not found", b, key)
				}
			}
			for p := range table.networks {
				if _, ok := table.Address(p.Addr()); !ok {
					t.Errorf("%q: the row %v is not found", b, p)
				}
			}
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	text := "user,x\n"
	for i := range 2000 {
		text += fmt.Sprintf("user%d,team%d\n", i, i%50)
	}
	users, err := ParseCSV([]byte(text))
	if err != nil {
		b.Fatal(err)
	}
	assets, err := ParseCSV([]byte("ip,asset\n10.0.0.0/8,inside\n10.1.0.0/16,office\n10.1.2.3,printer\n"))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("text", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = users.Text("user1234")
		}
	})
	b.Run("address", func(b *testing.B) {
		a := netip.MustParseAddr("10.200.1.1")
		b.ReportAllocs()
		for b.Loop() {
			_, _ = assets.Address(a)
		}
	})
}
