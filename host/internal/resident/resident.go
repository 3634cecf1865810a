package resident

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Protocols is a set of transport protocols.
type Protocols uint8

// The protocols that have ports here.
const (
	TCP Protocols = 1 << iota
	UDP
)

// Endpoint is where packets went to.
type Endpoint struct {
	Addr netip.Addr
	// Port is 0 where it is not known.
	Port uint16
	// Protocols are those that may be meant; none means all.
	Protocols Protocols
}

// Container is a container, as the control group of a process names it.
type Container struct {
	// ID is its full id, 64 hexadecimal digits.
	ID string
	// Delegate is the user who may make such a group up himself, as the tree of
	// control groups has it ("1000"); "" where only root can.
	Delegate string
}

// Process is a process of this machine.
type Process struct {
	PID int
	// Name and Executable are what the kernel shows, made printable and cut. A
	// process chooses the first itself, and in a container the second is a path
	// of the container.
	Name, Executable string
	// UID is the effective user; User its name, "" where it is not known, and
	// in containers, which have users of their own.
	UID  uint32
	User string
	// Container is the zero Container outside of containers.
	Container Container
	// Namespace is the inode of its network namespace.
	Namespace uint64
}

// MaxShown bounds each list of an Answer.
const MaxShown = 8

// Answer is who was found. The lists are sorted and hold each once.
type Answer struct {
	// Processes are empty where only the container is known.
	Processes  []Process
	Containers []Container
	Namespaces []uint64
	// Via says what led there: "socket", "address", "conntrack",
	// "docker-proxy", "pid".
	Via []string
	// Ambiguous: those found are not one program in one place, or there may be
	// more of them.
	Ambiguous bool
}

// Join adds another answer. Both together are ambiguous where one is, and where
// they name different containers, or containers and the host.
func (a *Answer) Join(o Answer) {
	switch {
	case !o.Found():
		return
	case !a.Found():
		*a = o
		return
	}
	a.Ambiguous = a.Ambiguous || o.Ambiguous || !slices.Equal(a.Containers, o.Containers)
	a.Processes = union(a.Processes, o.Processes, func(x, y Process) int { return cmp.Compare(x.PID, y.PID) })
	a.Containers = union(a.Containers, o.Containers, compareContainers)
	a.Namespaces = union(a.Namespaces, o.Namespaces, cmp.Compare[uint64])
	a.Via = union(a.Via, o.Via, strings.Compare)
}

// union returns what is in either list, each once, sorted, at most MaxShown.
func union[T any](a, b []T, compare func(x, y T) int) []T {
	all := slices.Concat(a, b)
	slices.SortStableFunc(all, compare)
	all = slices.CompactFunc(all, func(x, y T) bool { return compare(x, y) == 0 })
	return all[:min(len(all), MaxShown)]
}

func compareContainers(x, y Container) int {
	return cmp.Or(cmp.Compare(x.ID, y.ID), cmp.Compare(x.Delegate, y.Delegate))
}

// Found reports whether anybody was found.
func (a *Answer) Found() bool { return len(a.Processes) > 0 || len(a.Containers) > 0 }

// Errors of the lookups.
var (
	// ErrBusy: lookups have used up their share of time, or others are in turn.
	ErrBusy = errors.New("too much was looked up lately")
	// ErrBudget: the time for one lookup was not enough. The next one goes on
	// from there.
	ErrBudget = errors.New("the time for a lookup was not enough")
	// ErrHidden: there is a socket, nobody was seen to hold it, and there are
	// processes that may not be looked at; or connections may not be.
	ErrHidden = errors.New("processes of others may not be looked at; run as root, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH")
)

const (
	// MaxWork is how long one lookup may work.
	MaxWork = 50 * time.Millisecond
	// minWork is the least that is worth beginning with.
	minWork = time.Millisecond
	// share is the part of the time that lookups may take: one in share.
	share = 50
	// burst is what they may take at once after a rest.
	burst = 4 * MaxWork
	// maxAge is how long what was read of the system counts.
	maxAge = 2 * time.Second
	// maxUnfinished is how long a reading goes on that does not get done.
	maxUnfinished = 10 * time.Second
)

// Stats are the lookups by how they ended. An answer may be from memory.
type Stats struct {
	// Found of one, Ambiguous of several, Nobody where nobody is.
	Found, Ambiguous, Nobody uint64
	// Busy, Budget and Hidden are those of the errors of that name; Failed all
	// others.
	Busy, Budget, Hidden, Failed uint64
}

// Finder finds residents. Its zero value is of no use.
type Finder struct {
	root fs.ReadLinkFS
	// own returns the addresses of the own network namespace.
	own func() ([]netip.Addr, error)
	// flows returns where packets to an endpoint are led to, see flow.
	flows func(Endpoint) ([]flow, error)
	now   func() time.Time

	found, ambiguous, nobody, busy, budget, hidden, failed atomic.Uint64

	// turn holds one token; who has it may touch the following.
	turn    chan struct{}
	reading *reading
	// Each kind of lookup has its own, so that neither starves the other.
	behind, process allowance
}

// System returns a Finder for this system.
func System() *Finder {
	return newFinder(os.DirFS("/").(fs.ReadLinkFS), ownAddrs, flows)
}

func newFinder(root fs.ReadLinkFS, own func() ([]netip.Addr, error), flows func(Endpoint) ([]flow, error)) *Finder {
	f := &Finder{root: root, own: own, flows: flows, now: time.Now, turn: make(chan struct{}, 1)}
	f.behind.left, f.process.left = burst, burst
	f.turn <- struct{}{}
	return f
}

func ownAddrs() ([]netip.Addr, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the host's own addresses: %w", err)
	}
	var out []netip.Addr
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, ip.Unmap())
			}
		}
	}
	return out, nil
}

// The capabilities that looking at others' processes takes, by their numbers in
// linux/capability.h.
const needed = 1<<2 | 1<<19 // CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE

// Visible returns ErrHidden when processes of others may not be looked at. The
// kernel may still hide one of them that has more rights.
func (f *Finder) Visible() error {
	b, err := (&work{f: f}).read("proc/self/status", maxSmall)
	if set, ok := parseCapabilities(b); err == nil && ok && set&needed != needed {
		return ErrHidden
	}
	return nil
}

// Stats returns the counters.
func (f *Finder) Stats() Stats {
	return Stats{
		Found: f.found.Load(), Ambiguous: f.ambiguous.Load(), Nobody: f.nobody.Load(),
		Busy: f.busy.Load(), Budget: f.budget.Load(), Hidden: f.hidden.Load(), Failed: f.failed.Load(),
	}
}

// Behind returns who is behind an endpoint. That nobody is there, or that the
// address is not of this machine, is no error. Errors are ErrBusy, ErrBudget,
// ErrHidden and those of reading.
func (f *Finder) Behind(to Endpoint) (Answer, error) {
	to.Addr = to.Addr.Unmap().WithZone("")
	if to.Protocols == 0 {
		to.Protocols = TCP | UDP
	}
	if !to.Addr.IsValid() || to.Addr.IsUnspecified() || to.Addr.IsMulticast() {
		return Answer{}, nil
	}
	return f.look(&f.behind, func(now time.Time) (Answer, bool) {
		if f.reading == nil || !f.reading.fresh(now) {
			return Answer{}, false
		}
		a, ok := f.reading.answers[to]
		return a, ok
	}, func(w *work) (Answer, error) {
		if err := w.begin(); err != nil {
			return Answer{}, err
		}
		a, err := w.behind(to)
		if err == nil && len(w.r.answers) < maxAnswers {
			w.r.answers[to] = a
		}
		return a, err
	})
}

// Process returns the process that had a number and a name at a time, if it still
// runs: one that began later is another, and so is one with neither that name nor an
// executable of that name. A name is matched without its folders, without regard
// to case, and up to a "-" (OpenSSH's sshd-session is sshd).
func (f *Finder) Process(pid int, name string, at time.Time) (Answer, error) {
	if pid <= 0 || name == "" {
		return Answer{}, nil
	}
	return f.look(&f.process, func(time.Time) (Answer, bool) { return Answer{}, false }, func(w *work) (Answer, error) {
		p, started, ok := w.describe(pid)
		if !ok || !sameProgram(name, p) {
			return Answer{}, nil
		}
		b, err := w.read("proc/uptime", maxSmall)
		if err != nil {
			return Answer{}, err
		}
		up, ok := parseUptime(b)
		if !ok || w.f.now().Add(time.Duration(started)*tick-up).After(at.Add(clockSlack)) {
			return Answer{}, nil
		}
		a := tally{via: []string{"pid"}}
		a.add(p)
		return a.answer(), nil
	})
}

// clockSlack is by how much a process may seem younger than its first words: the
// start is known in hundredths of a second, and stamps may have whole ones.
const clockSlack = time.Second

// look takes a turn and answers from memory, or else by work.
func (f *Finder) look(left *allowance, known func(time.Time) (Answer, bool), do func(*work) (Answer, error)) (Answer, error) {
	select {
	case <-f.turn:
	default:
		timer := time.NewTimer(MaxWork)
		defer timer.Stop()
		select {
		case <-f.turn:
		case <-timer.C:
			f.busy.Add(1)
			return Answer{}, ErrBusy
		}
	}
	defer func() { f.turn <- struct{}{} }()
	begun := f.now()
	if a, ok := known(begun); ok {
		f.count(&a, nil)
		return a, nil
	}
	granted := left.grant(begun)
	if granted < minWork {
		f.busy.Add(1)
		return Answer{}, ErrBusy
	}
	a, err := do(&work{f: f, deadline: begun.Add(min(granted, MaxWork))})
	left.spend(f.now().Sub(begun))
	f.count(&a, err)
	if err != nil {
		return Answer{}, err
	}
	return a, nil
}

func (f *Finder) count(a *Answer, err error) {
	switch {
	case errors.Is(err, ErrBudget):
		f.budget.Add(1)
	case errors.Is(err, ErrHidden):
		f.hidden.Add(1)
	case err != nil:
		f.failed.Add(1)
	case !a.Found():
		f.nobody.Add(1)
	case a.Ambiguous:
		f.ambiguous.Add(1)
	default:
		f.found.Add(1)
	}
}

// allowance is the time that lookups may take.
type allowance struct {
	left time.Duration
	at   time.Time
}

// grant returns what may be taken now.
func (a *allowance) grant(now time.Time) time.Duration {
	if !a.at.IsZero() {
		a.left = min(burst, a.left+max(now.Sub(a.at), 0)/share)
	}
	a.at = now
	return a.left
}

// spend takes it.
func (a *allowance) spend(d time.Duration) { a.left -= d }
