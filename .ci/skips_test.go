package main

import (
	"bytes"
	"strings"
	"testing"
)

// event makes one line as test2json writes it.
func events(lines ...string) string { return strings.Join(lines, "\n") + "\n" }

func TestReport(t *testing.T) {
	const (
		start = `{"Action":"start","Package":"p"}`
		run   = `{"Action":"run","Package":"p","Test":"TestA"}`
		ended = `{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}` + "\n" + `{"Action":"pass","Package":"p","Elapsed":0.1}`
	)
	skipped := func(test, why string) string {
		return events(start, `{"Action":"output","Package":"p","Test":"`+test+`","Output":"    a_test.go:7: `+why+`\n"}`,
			`{"Action":"output","Package":"p","Test":"`+test+`","Output":"--- SKIP: `+test+` (0.00s)\n"}`,
			`{"Action":"skip","Package":"p","Test":"`+test+`"}`, ended)
	}
	tests := []struct {
		name    string
		in      string
		data    bool
		failed  bool
		refused int
		want    string // part of what is printed
	}{
		{"passed", events(start, run, `{"Action":"pass","Package":"p","Test":"TestA"}`, `{"Action":"output","Package":"p","Output":"PASS\n"}`, ended), false, false, 0, "ok  \tp\t0.1s\n"},
		{"failed", events(start, run, `{"Action":"output","Package":"p","Test":"TestA","Output":"got 1, want 2\n"}`, `{"Action":"fail","Package":"p","Test":"TestA"}`, `{"Action":"output","Package":"p","Output":"FAIL\tp\n"}`, `{"Action":"fail","Package":"p"}`), false, true, 0, "got 1, want 2\n"},
		{"crashed", events(start, run, `{"Action":"output","Package":"p","Test":"TestA","Output":"panic: boom\n"}`, `{"Action":"fail","Package":"p"}`), false, true, 0, "panic: boom\n"},
		{"does not build", events(`{"ImportPath":"p","Action":"build-output","Output":"a.go:1: undefined: x\n"}`, `{"ImportPath":"p","Action":"build-fail"}`, start, `{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}`, `{"Action":"fail","Package":"p","FailedBuild":"p"}`), false, true, 0, "undefined: x"},
		{"cut off", events(start, run), false, true, 0, ""},
		{"words of go itself", "go: downloading x\n", false, false, 0, "go: downloading x\n"},
		{"skipped for want of root", skipped("TestA", "needs root"), false, false, 1, "SKIPPED p TestA: a_test.go:7: needs root\n"},
		{"skipped without a reason", events(start, `{"Action":"skip","Package":"p","Test":"TestA"}`, ended), false, false, 1, "no reason given"},
		{"skipped for want of data", skipped("TestA", "no folder shared/data beside the repository"), false, false, 0, "skipped for want of data: p TestA\n"},
		{"skipped although the data is there", skipped("TestA", "no folder shared/data beside the repository"), true, false, 1, "SKIPPED p TestA"},
		{"left to other kernels", skipped("TestA", "no module bonding; make kernels runs this test under kernels that have it"), true, false, 0, "left to make kernels: p TestA\n"},
		{"an input of a fuzz test", skipped("FuzzA/seed#1", "not a frame"), false, false, 0, "1 inputs of fuzz tests"},
		{"a whole fuzz test", skipped("FuzzA", "needs root"), false, false, 1, "SKIPPED p FuzzA"},
		{"a package without tests", events(start, `{"Action":"output","Package":"p","Output":"?   \tp\t[no test files]\n"}`, `{"Action":"skip","Package":"p"}`), false, false, 0, "[no test files]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			r := newReport(tt.data)
			err := r.read(strings.NewReader(tt.in), &out)
			refused := r.summary(&out)
			if got := err != nil || r.failed; got != tt.failed {
				t.Errorf("got failed %v (%v), want %v", got, err, tt.failed)
			}
			if refused != tt.refused {
				t.Errorf("got %d refused skips, want %d", refused, tt.refused)
			}
			if !strings.Contains(out.String(), tt.want) {
				t.Errorf("got %q, want it to contain %q", out.String(), tt.want)
			}
		})
	}
}
