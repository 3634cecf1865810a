package intern

import (
	"strconv"
	"strings"
	"sync"
	"testing"
)

func TestJoin(t *testing.T) {
	var table Table
	for _, tc := range []struct{ name, prefix, part, want string }{
		{"two parts", "sd", "origin", "sd.origin"},
		{"no prefix", "", "origin", "origin"},
		{"empty name", "sd", "", "sd."},
		{"dots do not confuse", "a.b", "c", "a.b.c"},
		{"the other split", "a", "b.c", "a.b.c"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for range 2 {
				if got := table.Join(tc.prefix, tc.part); got != tc.want {
					t.Fatalf("got %q, want %q", got, tc.want)
				}
			}
		})
	}
}

func TestJoinKeepsNoView(t *testing.T) {
	var table Table
	line := []byte("name")
	table.Join("p", string(line))
	copy(line, "XXXX")
	if got := table.Join("p", "name"); got != "p.name" {
		t.Fatalf("got %q, want p.name", got)
	}
}

func TestTableIsBounded(t *testing.T) {
	var table Table
	for i := range MaxNames + 100 {
		table.Join("p", strconv.Itoa(i))
	}
	if got := table.Len(); got != MaxNames {
		t.Errorf("names: got %d, want %d", got, MaxNames)
	}
	if got := table.Join("p", "new"); got != "p.new" {
		t.Errorf("past the bound: got %q, want p.new", got)
	}
	var fresh Table
	fresh.Join("p", strings.Repeat("x", MaxLength))
	if got := fresh.Len(); got != 0 {
		t.Errorf("a long name was remembered: got %d names, want 0", got)
	}
}

func TestJoinConcurrently(t *testing.T) {
	var table Table
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 1000 {
				want := "p." + strconv.Itoa(i)
				if got := table.Join("p", want[2:]); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkJoin(b *testing.B) {
	var table Table
	b.ReportAllocs()
	for b.Loop() {
		table.Join("sd.origin", "software")
	}
}
