package extract

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ironpost/ironpost/plugins/internal/keyvalue"
	"github.com/ironpost/ironpost/plugins/internal/pattern"
	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/plugins/internal/weblog"
	builtin "github.com/ironpost/ironpost/rules/extract"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// BundleName is the set of files that holds an operator's patterns.
const BundleName = "extract"

// Bundle returns the declaration of the operator's files: those of the folder
// rules/extract beside the configuration or the host.
func Bundle() sdk.Bundle {
	return sdk.Bundle{Name: BundleName, Paths: []string{"rules/extract"}, Suffixes: []string{".yaml", ".yml"}}
}

var _ sdk.BundleLoader = (*Reader)(nil)

// Reader reads messages by the patterns in force: at first those that are built
// in. The zero value is ready; it is safe for concurrent use.
type Reader struct {
	set atomic.Pointer[pattern.Set]

	values keyvalue.Reader

	mu sync.Mutex
	// good are the operator's files in force, by path.
	good map[string]*pattern.File
}

// Set returns the patterns in force.
func (r *Reader) Set() *pattern.Set {
	if s := r.set.Load(); s != nil {
		return s
	}
	r.set.CompareAndSwap(nil, builtIn().set)
	return r.set.Load()
}

// Apply reads out.Process and out.Message and sets the fields that the message
// holds; see [pattern.Set.Apply].
func (r *Reader) Apply(out *event.LogEvent) { r.Set().Apply(out) }

// Message reads the message of a record as whoever wrote it means it: what web
// servers send, or who does not say who it is, as a line of an access or error log;
// CEF and LEEF; else by the patterns of the program. The time in it is the more
// exact one; ref completes it. It returns an error when the message begins as CEF
// or LEEF and goes on otherwise.
func (r *Reader) Message(ref *stamp.Reference, out *event.LogEvent) error {
	switch m := out.Message; {
	case m == "":
		return nil
	case (out.Process == "" || weblog.Process(out.Process)) && weblog.MayBe(m):
		r.web(*ref, out)
	case (m[0] == 'C' || m[0] == 'L') && keyvalue.Inside(m):
		return r.keyed(*ref, out)
	}
	r.Set().Apply(out)
	return nil
}

// web reads a line of a web server's log, if it is one; else it is the server's
// own message. The reference is a copy, because it escapes.
func (r *Reader) web(ref stamp.Reference, out *event.LogEvent) {
	_ = weblog.Read(out.Message, &ref, out)
}

// keyed reads CEF or LEEF.
func (r *Reader) keyed(ref stamp.Reference, out *event.LogEvent) error {
	return r.values.Read(out.Message, &ref, out)
}

// ApplyLocal is Apply for a sender that is known not to be root; see
// [pattern.Set.ApplyLocal].
func (r *Reader) ApplyLocal(out *event.LogEvent) { r.Set().ApplyLocal(out) }

// Known reports whether the messages of a process are read by its name.
func (r *Reader) Known(process string) bool { return r.Set().Known(process) }

// LoadBundle implements [sdk.BundleLoader]: it puts the operator's files into
// force, before those that are built in. A file that is wrong, or of which an
// example does not hold, is left out and named; what was in force of it before
// stays.
func (r *Reader) LoadBundle(_ context.Context, name string, files fs.FS, check bool) (sdk.BundleReport, error) {
	if name != BundleName {
		return sdk.BundleReport{}, fmt.Errorf("load bundle %q: this plugin knows the bundle %q alone", name, BundleName)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := loader{set: builtIn().set, kept: builtIn().files, good: map[string]*pattern.File{}}
	own, problems := pattern.Load(files)
	l.report.Files = len(own) + len(problems)
	for _, f := range own {
		l.report.Rules += f.Patterns()
		if wrong := l.add(f); len(wrong) > 0 {
			problems = append(problems, wrong...)
			continue
		}
		l.report.Loaded += f.Patterns()
	}
	for _, p := range problems {
		reason := p.Reason
		if before := r.good[p.File]; before != nil && l.good[p.File] == nil && len(l.add(before)) == 0 {
			reason += "; what was read before stays in force"
		}
		l.report.Rejected = append(l.report.Rejected, sdk.BundleProblem{File: p.File, Line: p.Line, Code: p.Code, Reason: reason})
	}
	if !check {
		r.good = l.good
		r.set.Store(l.set)
	}
	return l.report, nil
}

// loader puts files together, those of an operator first.
type loader struct {
	set    *pattern.Set
	kept   []*pattern.File
	good   map[string]*pattern.File
	report sdk.BundleReport
}

// add adds one file, unless it does not fit with the others or its examples do
// not hold.
func (l *loader) add(f *pattern.File) []*pattern.Problem {
	files := slices.Concat([]*pattern.File{f}, l.kept)
	set, problem := pattern.Compile(files...)
	if problem != nil {
		return []*pattern.Problem{problem}
	}
	if wrong := set.Check(f, false); len(wrong) > 0 {
		return wrong
	}
	l.set, l.kept, l.good[f.Path] = set, files, f
	return nil
}

type builtInPatterns struct {
	files []*pattern.File
	set   *pattern.Set
}

// builtIn compiles the patterns that are built in, once and when they are first
// needed. They are right: the tests hold every file to its own examples.
var builtIn = sync.OnceValue(func() builtInPatterns {
	files, problems := pattern.Load(builtin.Files)
	set, problem := pattern.Compile(files...)
	if len(problems) > 0 || problem != nil {
		panic(fmt.Sprintf("the patterns that are built in: %v %v", problems, problem))
	}
	return builtInPatterns{files, set}
})

// Address returns an address in canonical form; see [pattern.Address].
func Address(text string) (string, bool) { return pattern.Address(text) }

// Fields returns the fields that Message and Apply can set with the patterns that are
// built in, but for those of CEF and LEEF, and those named, for [sdk.Plugin.Fields].
func Fields(others ...string) []string {
	out := slices.Concat(pattern.Fields(builtIn().files...), weblog.Fields(), others)
	slices.Sort(out)
	return slices.Compact(out)
}
