package apk_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract/apk"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract/lines"
)

const sample = `C:Q1mQ5sZuzjVyXgE8fbH5YKIHVWDp8=
P:musl
V:1.2.5-r0
A:x86_64
o:musl
L:MIT
c:0123abc
p:so:libc.musl-x86_64.so.1=1
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755

P:busybox
V:1.36.1-r29
A:x86_64
L:GPL-2.0-only
D:so:libc.musl-x86_64.so.1 !old musl>=1.2 nowhere
p:cmd:sh=1.36.1-r29 /bin/sh

P:old
V:0

P:app
V:3
o:application
D:/bin/sh busybox@edge app
p:musl
`

func TestParse(t *testing.T) {
	got, err := apk.Parse(t.Context(), strings.NewReader(sample))
	if err != nil {
		t.Fatal(err)
	}
	want := []apk.Package{
		{Name: "musl", Version: "1.2.5-r0", Arch: "x86_64", Origin: "musl", License: "MIT", Commit: "0123abc", Line: 2},
		{Name: "busybox", Version: "1.36.1-r29", Arch: "x86_64", License: "GPL-2.0-only", Line: 13},
		{Name: "old", Version: "0", Line: 20},
		{Name: "app", Version: "3", Origin: "application", Line: 23},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(apk.Package{})); diff != "" {
		t.Error(diff)
	}
	needs, err := apk.Relations(got)
	if diff := cmp.Diff([][]int{nil, {0}, nil, {1}}, needs); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// TestDamage: what is damaged is told, and the rest is read.
func TestDamage(t *testing.T) {
	good := "\n\nP:good\nV:1\n"
	for name, bad := range map[string]string{
		"no letter":   "P:a\nV:1\nnothing\n",
		"bytes":       "\x00\xff\nP:a\nV:1",
		"a long line": "P:a\nV:1\nD:" + strings.Repeat("x", 3*lines.Max),
	} {
		got, err := apk.Parse(t.Context(), strings.NewReader(bad+good))
		if err == nil || len(got) != 2 || got[1].Name != "good" {
			t.Errorf("%s: got %v, error %v", name, got, err)
		}
	}
	if got, err := apk.Parse(t.Context(), strings.NewReader("P:a\n\nV:1\n\nM:"+strings.Repeat("x", 2*lines.Max))); err != nil || len(got) > 0 {
		t.Errorf("without name and version: got %v, %v", got, err)
	}
}

// TestBounds: a database of nothing but relations, or packages, ends.
func TestBounds(t *testing.T) {
	text := strings.Repeat("P:a\nV:1\nD:"+strings.Repeat("a ", 10_000)+"\n\n", 400)
	all, err := apk.Parse(t.Context(), strings.NewReader(text))
	if err != nil || len(all) != 400 {
		t.Fatal(len(all), err)
	}
	if _, err := apk.Relations(all); !errors.Is(err, apk.ErrRelations) {
		t.Errorf("got error %v, want %v", err, apk.ErrRelations)
	}
	if all, err := apk.Parse(t.Context(), strings.NewReader(strings.Repeat("P:a\nV:1\n\n", 200_001))); !errors.Is(err, apk.ErrMany) || len(all) != 200_000 {
		t.Errorf("got %d packages and error %v, want %v", len(all), err, apk.ErrMany)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add("P:\nV:1\n\nP:a\nV:b\nD:! = a\np:=1 a=b")
	f.Fuzz(func(t *testing.T, text string) {
		all, _ := apk.Parse(t.Context(), strings.NewReader(text))
		for _, p := range all {
			if p.Name == "" || p.Version == "" || p.Line < 1 {
				t.Errorf("package %+v", p)
			}
		}
		needs, err := apk.Relations(all)
		if err != nil || len(needs) != len(all) {
			t.Fatal(len(needs), err)
		}
		for i, to := range needs {
			for _, j := range to {
				if j == i || j < 0 || j >= len(all) {
					t.Errorf("package %d needs %v", i, to)
				}
			}
		}
	})
}
