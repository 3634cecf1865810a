package resident

import (
	"cmp"
	"slices"
	"strings"
)

// tally collects who was found.
type tally struct {
	processes  []Process
	containers []Container
	spaces     []uint64
	via        []string
	bare       bool // a namespace has processes of no container
	elsewhere  bool // some packets go to where nobody was found
	more       bool // not everybody was looked at
	unheld     bool // nobody was seen to hold a socket
}

func (t *tally) empty() bool { return len(t.processes)+len(t.containers) == 0 }

func (t *tally) through(via string) {
	t.via = once(t.via, via)
}

// add tallies a process.
func (t *tally) add(p Process) {
	if !slices.ContainsFunc(t.processes, func(o Process) bool { return o.PID == p.PID }) {
		t.processes = append(t.processes, p)
	}
	t.place(p)
}

// inhabit tallies the container of a process, which itself need not be concerned.
func (t *tally) inhabit(p Process) {
	if p.Container.ID == "" {
		t.bare = true
		return
	}
	t.place(p)
	t.through("address")
}

func (t *tally) place(p Process) {
	if p.Container.ID != "" {
		t.containers = once(t.containers, p.Container)
	}
	t.spaces = once(t.spaces, p.Namespace)
}

// once appends what is not there yet.
func once[T comparable](list []T, x T) []T {
	if slices.Contains(list, x) {
		return list
	}
	return append(list, x)
}

// join adds another tally.
func (t *tally) join(o *tally) {
	for _, p := range o.processes {
		t.add(p)
	}
	for _, c := range o.containers {
		t.containers = once(t.containers, c)
	}
	for _, s := range o.spaces {
		t.spaces = once(t.spaces, s)
	}
	for _, v := range o.via {
		t.through(v)
	}
	t.bare, t.elsewhere = t.bare || o.bare, t.elsewhere || o.elsewhere
	t.more, t.unheld = t.more || o.more, t.unheld || o.unheld
}

func (t *tally) answer() Answer {
	return Answer{
		Processes:  union(t.processes, nil, func(x, y Process) int { return cmp.Compare(x.PID, y.PID) }),
		Containers: union(t.containers, nil, compareContainers),
		Namespaces: union(t.spaces, nil, cmp.Compare[uint64]),
		Via:        union(t.via, nil, strings.Compare),
		Ambiguous:  t.ambiguous(),
	}
}

// ambiguous reports whether those found are not one program in one place. A
// program with several processes is one.
func (t *tally) ambiguous() bool {
	if t.empty() {
		return false
	}
	if t.more || t.elsewhere || t.bare || len(t.containers) > 1 {
		return true
	}
	return slices.ContainsFunc(t.processes, func(p Process) bool {
		first := t.processes[0]
		return p.Container != first.Container || p.Executable != first.Executable || p.Namespace != first.Namespace ||
			len(t.containers) > 0 && p.Container != t.containers[0]
	})
}
