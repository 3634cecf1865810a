package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiff(t *testing.T) {
	load := func(content string, known ...Section) *Config {
		return mustLoad(t, Options{File: write(t, content), Known: known})
	}
	tests := []struct {
		name          string
		before, after *Config
		want          []Change // without origins
	}{
		{"nothing", load(""), load(""), nil},
		{"the default, written down", load(""), load("[bus]\ncredits = 16\n"), nil},
		{
			"values", load("[bus]\ncredits = 5\n[ebpf]\ninterface = \"eth0\"\n"), load("[general]\nmode = \"enforce\"\n[bus]\ncredits = 6\n"),
			[]Change{
				{Key: "bus.credits", Section: "bus", Owner: HostOwner, Old: int64(5), New: int64(6)},
				{Key: "ebpf.interface", Section: "ebpf", Owner: HostOwner, Old: []string{"eth0"}, New: []string{}},
				{Key: "general.mode", Section: "general", Owner: HostOwner, Old: "simulate", New: "enforce", Live: true},
			},
		},
		{
			"an entry of a map", load("[log_pipeline.routes]\na = \"x\"\n"), load("[log_pipeline.routes]\na = \"y\"\n"),
			[]Change{{Key: "log_pipeline.routes", Section: "log_pipeline", Owner: HostOwner, Old: map[string]string{"a": "x"}, New: map[string]string{"a": "y"}, Live: true}},
		},
		{
			"a secret", load("[storage]\npassword = \"a\"\n", storage()), load("[storage]\npassword = \"b\"\n", storage()),
			[]Change{{Key: "storage.password", Section: "storage", Owner: "sink-acme", Old: "(secret)", New: "(secret)"}},
		},
		{
			"a section that appears", load(""), load("", Section{Name: "s", Owner: "p", Fields: []Field{{Key: "d", Type: Duration, Default: "48h"}}}),
			[]Change{{Key: "s.d", Section: "s", Owner: "p", New: "2d"}},
		},
		{
			"a section that goes", load("", Section{Name: "s", Owner: "p", Fields: []Field{{Key: "d", Type: Size, Default: "1KiB"}}}), load(""),
			[]Change{{Key: "s.d", Section: "s", Owner: "p", Old: "1KiB"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Diff(tt.before, tt.after)
			for i := range got {
				if got[i].Origin.Kind == "" {
					t.Errorf("%s has no origin", got[i].Key)
				}
				got[i].Origin = Origin{}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestStringForms(t *testing.T) {
	before := mustLoad(t, Options{})
	after := mustLoad(t, Options{Flags: []Flag{{Name: "--data-dir", Key: "general.data_dir", Value: "/x"}}})
	if got, want := setting(t, after, "general.data_dir").String(), "general.data_dir = /x (flag --data-dir)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := Diff(before, after)[0].String(), "general.data_dir: /var/lib/ironpost -> /x (flag --data-dir)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
