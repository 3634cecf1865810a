package running

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/owner"
	"github.com/ironpost/ironpost/sdk"
)

// Host is the target of the processes that see the host's own files.
const Host = ""

// Of returns the processes of a target: a container by its id, or [Host]. A process is of
// the host when its root directory is the host's, whatever container it counts to: its
// files are the host's. One with a root directory of its own and no container is of
// none; so are containers within containers, whose files those of the outer one are not.
//
// A user who was given a part of the tree of control groups may make up one that is called as a
// container of somebody else. So processes of such users are none of a container that has others,
// and those of two users are of none.
func Of(processes []sdk.MappedProcess, container string) []sdk.MappedProcess {
	var out, delegated []sdk.MappedProcess
	for _, p := range processes {
		switch {
		case (container == Host) != !p.OtherRoot || container != Host && p.Container != container:
		case container != Host && p.Delegate != "":
			delegated = append(delegated, p)
		default:
			out = append(out, p)
		}
	}
	if len(out) == 0 && !slices.ContainsFunc(delegated, func(p sdk.MappedProcess) bool { return p.Delegate != delegated[0].Delegate }) {
		return delegated // of an engine that runs as that user
	}
	return out
}

// Target is what processes run in.
type Target struct {
	// Owners says who owns its files, and Former who did at an earlier look, before files
	// were replaced; either may be nil.
	Owners, Former *owner.Index
	// Exists says whether there is a file at a path now; nil is not known.
	Exists func(path string) bool
}

// Use is one process that has a file.
type Use struct {
	PID int
	UID uint32
	// Process is the name that the process gave itself; Executable is the path of its
	// program. Both may hold any byte but NUL, and so may Path.
	Process, Executable string
	// Path is the file. Program is true when the process executes it, and has not only
	// mapped or opened it.
	Path    string
	Program bool
	// StartedTicks is when the process was started, in ticks since boot; with PID it names
	// it for good.
	StartedTicks uint64
	// Container is the id of the process's container, as the host tells it.
	Container string
	// State says what became of the file.
	State State
}

// Since is when the process was started, by the clock of now; false when that cannot be
// told. It had the file then, or loaded it later.
func (u Use) Since() (time.Time, bool) { return sdk.Process{StartedTicks: u.StartedTicks}.Started() }

// State says what became of a file after it was mapped.
type State string

// The states.
const (
	// Present files are there.
	Present State = "present"
	// Replaced files are gone, and others are there under their names: their package was
	// upgraded, or somebody put another file in place.
	Replaced State = "replaced"
	// Deleted files are gone, and their names with them, or it is not known what is there.
	Deleted State = "deleted"
	// Memory files never were in a folder (memfd_create(2)).
	Memory State = "memory"
)

// Uses are the processes that have files of one package.
type Uses struct {
	// First is the one of the least pid with the first path; Some are the first of each
	// process, at most [MaxUses].
	First Use
	Some  []Use
	// Processes is how many there are.
	Processes int
	// Files are the files that they have, each with the first process that has it, the first
	// MaxUses that were met; More says that there are others.
	Files []Use
	More  bool

	last int // the pid of the last one
}

// MaxUses is how many processes are named of one package.
const MaxUses = 8

// MaxUnowned is how many files without an owner are told.
const MaxUnowned = 1024

// Result is what processes use.
type Result struct {
	// Used are the packages that are observed in use, by Ref.
	Used map[string]*Uses
	// Replaced are packages of which a file was observed that is not there any more: what
	// is loaded is not the version that is installed, but one before.
	Replaced map[string]*Uses
	// Former are packages that owned such a file by [Target.Former], and do not own its name now:
	// what is loaded is of them, as far as was seen. Their files count under no other package.
	Former map[string]*Uses
	// Unowned are files that are executed, or mapped to be, and that no package owns, each
	// with the first process that has it. Files of memory are among them only when they
	// are the program of a process: what is compiled at run time is mapped like that.
	// Archives are not among them.
	Unowned []Use
	// More counts files without an owner beyond MaxUnowned.
	More int
	// Unseen counts processes that the host may not look into, or of which it did not
	// tell all; Processes counts all.
	Unseen, Processes int
}

// Whole says whether all processes could be looked at.
func (r *Result) Whole() bool { return r.Unseen == 0 }

// Observe says which packages of a target its processes use. The processes have to be
// those of the target: see [Of].
func Observe(processes []sdk.MappedProcess, t Target) *Result {
	o := &observation{
		Target: t, answers: map[*sdk.MappedFile]*answer{}, unowned: map[string]int{},
		Result: &Result{Used: map[string]*Uses{}, Replaced: map[string]*Uses{}, Former: map[string]*Uses{}},
	}
	processes = slices.Clone(processes)
	slices.SortStableFunc(processes, func(a, b sdk.MappedProcess) int { return cmp.Compare(a.PID, b.PID) })
	for i := range processes {
		o.process(&processes[i])
	}
	slices.SortFunc(o.Unowned, func(a, b Use) int { return cmp.Compare(a.Path, b.Path) })
	return o.Result
}

// observation is one Observe.
type observation struct {
	Target
	*Result
	// answers are what was found out about files; processes share them.
	answers map[*sdk.MappedFile]*answer
	// unowned are the places of paths in Unowned.
	unowned map[string]int
}

// answer is what is known of a file.
type answer struct {
	refs []string
	// former are those that owned it, and do not now.
	former []string
	known  bool
	state  State
}

func (o *observation) process(p *sdk.MappedProcess) {
	o.Processes++
	if p.Unseen || p.More {
		o.Unseen++
	}
	for i, f := range p.Files {
		a := o.answers[f]
		if a == nil {
			a = o.ask(f)
			o.answers[f] = a
		}
		program := i == 0 && p.HasProgram
		use := func() Use {
			return Use{
				PID: p.PID, UID: p.UID, Process: p.Name, Executable: p.Executable, Path: f.Path, Program: program,
				StartedTicks: p.StartedTicks, Container: p.Container, State: a.state,
			}
		}
		for _, ref := range a.refs {
			in := o.Used
			if a.state != Present {
				in = o.Replaced
			}
			note(in, ref, f.Path, p.PID, use)
		}
		for _, ref := range a.former {
			note(o.Result.Former, ref, f.Path, p.PID, use)
		}
		if !a.known && f.Executed && (program || a.state != Memory) {
			o.stray(f, use)
		}
	}
}

// ask finds out about a file.
func (o *observation) ask(f *sdk.MappedFile) *answer {
	a := &answer{state: Present}
	switch {
	case f.Memory:
		return &answer{state: Memory}
	case f.Deleted:
		a.state = Deleted
		if o.Exists != nil && (o.Exists(f.Path) || o.Exists(settled(f.Path))) {
			a.state = Replaced
		}
	}
	a.refs, a.known = owned(o.Owners, f.Path)
	if !f.Deleted {
		return a
	}
	// Its name may be one that the package manager gave the old file for a moment, or have gone
	// with an upgrade.
	paths := []string{f.Path, settled(f.Path)}
	if !a.known {
		a.refs, a.known = owned(o.Owners, paths[1])
	}
	for _, path := range paths {
		former, known := owned(o.Target.Former, path)
		if !known {
			continue
		}
		a.known = true
		if former = slices.DeleteFunc(former, func(ref string) bool { return slices.Contains(a.refs, ref) }); len(former) > 0 {
			a.refs, a.former = nil, former
		}
		break
	}
	return a
}

func owned(x *owner.Index, path string) (refs []string, known bool) {
	if x == nil {
		return nil, false
	}
	return x.Owner(path)
}

// settled takes off what dpkg and rpm write at a name while they install: they
// unpack NAME.dpkg-new, or NAME;5f3759df, and move it to NAME.
func settled(path string) string {
	for _, mark := range []string{".dpkg-new", ".dpkg-tmp", ".dpkg-old"} {
		if rest, ok := strings.CutSuffix(path, mark); ok {
			return rest
		}
	}
	if at := strings.LastIndexByte(path, ';'); at >= 0 && len(path)-at == len(";5f3759df") && strings.Trim(path[at+1:], "0123456789abcdef") == "" {
		return path[:at]
	}
	return path
}

// note notes that a process uses a package, once for each process, and by which file.
func note(in map[string]*Uses, ref, path string, pid int, use func() Use) {
	l := in[ref]
	if l == nil {
		l = &Uses{First: use()}
		in[ref] = l
	}
	if !slices.ContainsFunc(l.Files, func(u Use) bool { return u.Path == path }) {
		if len(l.Files) < MaxUses {
			l.Files = append(l.Files, use())
		} else {
			l.More = true
		}
	}
	if l.Processes > 0 && l.last == pid {
		return
	}
	u := use()
	l.last = pid
	l.Processes++
	if len(l.Some) < MaxUses {
		l.Some = append(l.Some, u)
	}
}

// stray notes a file that nobody owns, with the first process that has it, or the first that
// executes it as its program.
func (o *observation) stray(f *sdk.MappedFile, use func() Use) {
	u := use()
	if at, ok := o.unowned[f.Path]; ok {
		if u.Program && !o.Unowned[at].Program {
			o.Unowned[at] = u
		}
		return
	}
	if len(o.Unowned) == MaxUnowned {
		o.More++
		return
	}
	o.unowned[f.Path] = len(o.Unowned)
	o.Unowned = append(o.Unowned, u)
}
