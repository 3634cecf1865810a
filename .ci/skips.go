// Command skips reads the events of "go test -json" from standard input and
// prints what "go test" would have: a line for each package, and everything
// about tests that failed. At the end it names every test that was skipped, with
// its reason.
//
// With -strict it ends with status 1 when a test was skipped that has to run on
// this machine. Only three skips are right then: one for want of the public log
// collections (the reason names shared/data, and the folder is not there), one of
// an input inside a fuzz test, which says nothing about the machine, and one of a
// test that needs devices which this kernel has not: the reason names make kernels,
// where a skip of that test is not right.
//
// It ends with status 1 when a test failed, and when the input ends early.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	strict := flag.Bool("strict", false, "fail when a test was skipped that has to run here")
	flag.Parse()
	r := newReport(dataPresent())
	err := r.read(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "skips:", err)
	}
	refused := r.summary(os.Stdout)
	if err != nil || r.failed || *strict && refused > 0 {
		os.Exit(1)
	}
}

// dataPresent reports whether the log collections are where the tests look.
func dataPresent() bool {
	root := os.Getenv("IRONPOST_TEST_DATA")
	if root == "" {
		root = filepath.Join("..", "shared", "data")
	}
	info, err := os.Stat(root)
	return err == nil && info.IsDir()
}

// line is one event of test2json; see "go doc test2json".
type line struct {
	Action, Package, Test, Output, ImportPath string
}

// skip is one test that was skipped.
type skip struct {
	pkg, test, reason string
}

type report struct {
	data   bool // the log collections are there
	failed bool
	skips  []skip
	// output is what each running test, or package (Test ""), has printed.
	output map[[2]string][]string
	open   map[string]bool // packages that have not ended
}

func newReport(data bool) *report {
	return &report{data: data, output: map[[2]string][]string{}, open: map[string]bool{}}
}

// read follows the events to their end and prints what matters to w.
func (r *report) read(in io.Reader, w io.Writer) error {
	lines := bufio.NewReaderSize(in, 1<<20)
	for {
		text, err := lines.ReadString('\n')
		if strings.TrimSpace(text) != "" {
			var l line
			if json.Unmarshal([]byte(text), &l) != nil {
				fmt.Fprint(w, text) // go itself: a download, a broken package
			} else {
				r.event(l, w)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read the events of go test: %w", err)
		}
	}
	for pkg := range r.open {
		r.failed = true
		return fmt.Errorf("the events end while %s is still being tested", pkg)
	}
	return nil
}

func (r *report) event(l line, w io.Writer) {
	key := [2]string{l.Package, l.Test}
	switch l.Action {
	case "build-output":
		fmt.Fprint(w, l.Output)
	case "build-fail":
		r.failed = true
	case "start":
		r.open[l.Package] = true
	case "output":
		r.output[key] = append(r.output[key], l.Output)
	case "pass", "skip", "fail":
		r.end(l, w)
		delete(r.output, key)
	}
}

// end handles the end of a test or of a package.
func (r *report) end(l line, w io.Writer) {
	output := r.output[[2]string{l.Package, l.Test}]
	if l.Test == "" {
		delete(r.open, l.Package)
	}
	switch {
	case l.Action == "fail":
		r.failed = true
		fmt.Fprint(w, strings.Join(output, ""))
		if l.Test == "" {
			r.unfinished(l.Package, w)
		}
	case l.Test == "": // a package passed, or has no tests
		for _, o := range output {
			if o != "PASS\n" {
				fmt.Fprint(w, o)
			}
		}
	case l.Action == "skip":
		r.skips = append(r.skips, skip{l.Package, l.Test, reason(output)})
	}
}

// unfinished prints what tests had to say that were running when their package
// ended: one that crashed or ran out of time.
func (r *report) unfinished(pkg string, w io.Writer) {
	for key, output := range r.output {
		if key[0] == pkg && key[1] != "" {
			fmt.Fprint(w, strings.Join(output, ""))
			delete(r.output, key)
		}
	}
}

// reason returns the words of a skip out of what the test printed.
func reason(output []string) string {
	var words []string
	for _, o := range output {
		o = strings.TrimSpace(o)
		if o == "" || strings.HasPrefix(o, "=== ") || strings.HasPrefix(o, "--- ") {
			continue
		}
		words = append(words, o)
	}
	if len(words) == 0 {
		return "no reason given"
	}
	return strings.Join(words, " ")
}

// right reports whether a skip is right on a machine on which everything has
// to run.
func (r *report) right(s skip) bool {
	if strings.HasPrefix(s.test, "Fuzz") && strings.Contains(s.test, "/") {
		return true
	}
	return elsewhere(s) || !r.data && strings.Contains(s.reason, "shared/data")
}

// elsewhere reports whether a skipped test has to run under other kernels.
func elsewhere(s skip) bool {
	return strings.Contains(s.reason, "make kernels runs this test")
}

// summary lists the skips and returns how many of them are not right.
func (r *report) summary(w io.Writer) (refused int) {
	inputs := 0
	for _, s := range r.skips {
		switch {
		case !r.right(s):
			refused++
			fmt.Fprintf(w, "SKIPPED %s %s: %s\n", s.pkg, s.test, s.reason)
		case strings.HasPrefix(s.test, "Fuzz"):
			inputs++
		case elsewhere(s):
			fmt.Fprintf(w, "left to make kernels: %s %s\n", s.pkg, s.test)
		default:
			fmt.Fprintf(w, "skipped for want of data: %s %s\n", s.pkg, s.test)
		}
	}
	if inputs > 0 {
		fmt.Fprintf(w, "%d inputs of fuzz tests were passed over\n", inputs)
	}
	if refused > 0 {
		fmt.Fprintf(w, "%d tests were skipped that have to run where everything they need is there\n", refused)
	}
	return refused
}
