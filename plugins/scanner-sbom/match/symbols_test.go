package match_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/symbol"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// program is a file with a table of functions as Go's linker writes it; package symbol is tested
// with what it did write.
func program(names ...string) *fstest.MapFile {
	text := "\x00" + strings.Join(names, "\x00") + "\x00"
	data := binary.LittleEndian.AppendUint32([]byte("MZ\x00\x00\x00\x00\x00\x00"), 0xfffffff1)
	data = append(data, 0, 0, 1, 8)
	for _, n := range []int{len(names), 1, 0, 72, 72 + len(text), 0, 0, 0} {
		data = binary.LittleEndian.AppendUint64(data, uint64(n))
	}
	return &fstest.MapFile{Data: append(append(data, text...), make([]byte, 64)...)}
}

// symbolic is an advisory about a module that names symbols.
func symbolic(id, imports string) string {
	return strings.Replace(record(id, "Go", "example.invalid/m", "introduced 0", ""), `"package":`, `"ecosystem_specific":{"imports":`+imports+`},"package":`, 1)
}

func TestObserve(t *testing.T) {
	const parse = `[{"path":"example.invalid/m/x","symbols":["Parse","T.Read"]}]`
	db := database(t, now, symbolic("GO-1", parse))
	none := database(t, now, symbolic("GO-1", `[{"path":"example.invalid/m/x","goos":["plan9"],"symbols":["Parse"]}]`))
	files := fstest.MapFS{
		"bin/with":    program("main.main", "example.invalid/m/x.(*T).Read", "example.invalid/m/x.Parse"),
		"bin/without": program("main.main", "example.invalid/m/x.Other"),
		"bin/packed":  {Data: []byte("MZ and nothing else")},
	}
	type want struct {
		State   symbol.State
		Symbols []string
		Reason  string
	}
	for _, test := range []struct {
		name  string
		db    *vulndb.DB
		open  match.Opener
		state inventory.State
		at    []string
		want  want
	}{
		{
			"present", db, match.OpenFrom(files), inventory.Built,
			[]string{"bin/with"},
			want{symbol.Present, []string{"example.invalid/m/x.(*T).Read", "example.invalid/m/x.Parse"}, ""},
		},
		{"not observed", db, match.OpenFrom(files), inventory.Built, []string{"bin/without"}, want{symbol.NotObserved, nil, ""}},
		{
			"for all systems where the program does not say its own", none, match.OpenFrom(files), inventory.Built,
			[]string{"bin/with"},
			want{symbol.Present, []string{"example.invalid/m/x.Parse"}, ""},
		},
		{
			"present in one of two", db, match.OpenFrom(files), inventory.Built,
			[]string{"bin/packed", "bin/with", "bin/without"},
			want{symbol.Present, []string{"example.invalid/m/x.(*T).Read", "example.invalid/m/x.Parse"}, ""},
		},
		{
			"not observed in one, the other is packed", db, match.OpenFrom(files), inventory.Built,
			[]string{"bin/packed", "bin/without"},
			want{symbol.Unknown, nil, "bin/packed: no table of Go functions"},
		},
		{"the file went", db, match.OpenFrom(files), inventory.Built, []string{"bin/gone"}, want{symbol.Unknown, nil, "bin/gone: open bin/gone: file does not exist"}},
		{"in an archive", db, match.OpenFrom(files), inventory.Built, []string{"a.jar!/with"}, want{symbol.Unknown, nil, "a.jar!/with: the program lies in an archive"}},
		{"no files", db, nil, inventory.Built, []string{"bin/with"}, want{symbol.Unknown, nil, "bin/with: the programs of the target cannot be opened"}},
		{"no place", db, match.OpenFrom(files), inventory.Built, nil, want{symbol.Unknown, nil, "no program is known to have it"}},
		{
			"no database any more", nil, match.OpenFrom(files), inventory.Built,
			[]string{"bin/with"},
			want{symbol.Unknown, nil, "there is no vulnerability database: ironpost vulndb import"},
		},
		{
			"another database", database(t, now, record("A-1", "npm", "one", "introduced 0", "")), match.OpenFrom(files), inventory.Built,
			[]string{"bin/with"},
			want{symbol.Unknown, nil, `read the symbols of GO-1: "GO-1": no such advisory`},
		},
		{"a lockfile", db, match.OpenFrom(files), inventory.Locked, []string{"bin/with"}, want{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pkg("Go", "example.invalid/m", "1.0.0")
			p.State = test.state
			for _, at := range test.at {
				p.Locations = append(p.Locations, inventory.Location{Path: at, By: "go-program"})
			}
			from := db
			if test.db == none {
				from = none
			}
			list := run(t, from, match.Options{}, p).Findings
			if len(list) != 1 {
				t.Fatalf("got %d findings", len(list))
			}
			for range 2 { // what was observed before does not count
				if err := match.Observe(t.Context(), test.db, list, test.open, match.Observation{}); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(test.want, want{list[0].SymbolState, list[0].Symbols, list[0].SymbolReason}); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestObserveBounds: when there is no more time, the rest is unknown; when nobody waits any more, that is the
// error.
func TestObserveBounds(t *testing.T) {
	db := database(t, now, symbolic("GO-1", `[{"path":"example.invalid/m/x","symbols":["Parse"]}]`))
	p := pkg("Go", "example.invalid/m", "1.0.0")
	p.State, p.Locations = inventory.Built, []inventory.Location{{Path: "with"}}
	files := fs.FS(fstest.MapFS{"with": program("example.invalid/m/x.Parse")})
	list := run(t, db, match.Options{}, p).Findings
	if err := match.Observe(t.Context(), db, list, match.OpenFrom(files), match.Observation{Time: 1}); err != nil {
		t.Fatal(err)
	}
	if f := list[0]; f.SymbolState != symbol.Unknown || f.SymbolReason != "with: there was no more time to read programs" {
		t.Errorf("no time: got %s, %s", f.SymbolState, f.SymbolReason)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := match.Observe(ctx, db, list, match.OpenFrom(files), match.Observation{}); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits: got %v", err)
	}
}
