package resident

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Bounds of a reading.
const (
	maxProcesses   = 1 << 17
	maxDescriptors = 4096     // of one process
	maxAnswers     = 4096     // remembered
	maxSmall       = 64 << 10 // bytes of a file about a process
	maxAddresses   = 1 << 20  // bytes of the addresses of a namespace
	maxSockets     = 8 << 20  // bytes of a table of sockets
)

// reading is what was read of the system at one time, as far as it was needed.
// It is taken up where it was left when the time for a lookup was not enough.
type reading struct {
	begun time.Time
	// own is the namespace of the reader, here its addresses.
	own  uint64
	here map[netip.Addr]bool

	pids []int // of all processes
	next int   // in pids, the first whose namespace is not known

	spaces []*space
	byID   map[uint64]*space
	homes  map[netip.Addr][]*space // addresses of other namespaces
	homed  int                     // spaces whose addresses are known

	hidden  bool // there are processes that may not be looked at
	answers map[Endpoint]Answer
}

// space is a network namespace.
type space struct {
	id   uint64
	pids []int

	read    bool // sockets are known
	sockets []socket
	held    map[uint64][]holder // of the inodes of sockets
	next    int                 // in pids, the first whose descriptors are not known
}

// holder is a process with a socket, and its descriptor.
type holder struct{ pid, fd int }

func (r *reading) done() bool { return r.next == len(r.pids) && r.homed == len(r.spaces) }

func (r *reading) fresh(now time.Time) bool {
	age := now.Sub(r.begun)
	return age >= 0 && (age < maxAge || !r.done() && age < maxUnfinished)
}

// work is one lookup.
type work struct {
	f        *Finder
	r        *reading // nil until begin
	deadline time.Time
	users    map[uint32]string // names that were looked up
}

func (w *work) late() bool { return w.f.now().After(w.deadline) }

// begin sees to it that there is a fresh reading with every namespace and its
// addresses.
func (w *work) begin() error {
	if w.f.reading == nil || !w.f.reading.fresh(w.f.now()) {
		r, err := w.list()
		if err != nil {
			return err
		}
		w.f.reading = r
	}
	w.r = w.f.reading
	for ; w.r.next < len(w.r.pids); w.r.next++ {
		if w.late() {
			return ErrBudget
		}
		w.place(w.r.pids[w.r.next])
	}
	for ; w.r.homed < len(w.r.spaces); w.r.homed++ {
		w.house(w.r.spaces[w.r.homed])
		if w.late() {
			return ErrBudget // and begins with it again
		}
	}
	return nil
}

// list begins a reading with the numbers of all processes.
func (w *work) list() (*reading, error) {
	r := &reading{
		begun: w.f.now(), here: make(map[netip.Addr]bool), byID: make(map[uint64]*space),
		homes: make(map[netip.Addr][]*space), answers: make(map[Endpoint]Answer),
	}
	link, err := w.f.root.ReadLink("proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("look at the own network namespace: %w", err)
	}
	var ok bool
	if r.own, ok = parseLink(link, "net"); !ok {
		return nil, fmt.Errorf("look at the own network namespace: %q is none", link)
	}
	here, err := w.f.own()
	if err != nil {
		return nil, err
	}
	for _, a := range here {
		r.here[a] = true
	}
	entries, err := fs.ReadDir(w.f.root, "proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	for _, e := range entries {
		if pid, ok := number(e.Name()); ok && len(r.pids) < maxProcesses {
			r.pids = append(r.pids, pid)
		}
	}
	slices.Sort(r.pids)
	return r, nil
}

// place puts a process into its namespace.
func (w *work) place(pid int) {
	id, ok := w.namespace(pid)
	if !ok {
		return
	}
	s := w.r.byID[id]
	if s == nil {
		s = &space{id: id, held: make(map[uint64][]holder)}
		w.r.byID[id] = s
		w.r.spaces = append(w.r.spaces, s)
	}
	s.pids = append(s.pids, pid)
}

// namespace returns the network namespace of a process, false for one that is
// gone or may not be looked at.
func (w *work) namespace(pid int) (uint64, bool) {
	link, err := w.f.root.ReadLink(file(pid, "ns/net"))
	if err != nil {
		if errors.Is(err, fs.ErrPermission) && w.r != nil {
			w.r.hidden = true
		}
		return 0, false
	}
	return parseLink(link, "net")
}

// house finds the addresses of a namespace that is not the own one.
func (w *work) house(s *space) {
	if s.id == w.r.own {
		return
	}
	w.within(s, func(pid int) error {
		b4, err := w.read(file(pid, "net/fib_trie"), maxAddresses)
		if err != nil {
			return err
		}
		b6, err := w.read(file(pid, "net/if_inet6"), maxAddresses)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // IPv6 may be off
			return err
		}
		for _, a := range append(parseTrie(b4), parseInet6(b6)...) {
			if !a.IsLoopback() && !slices.Contains(w.r.homes[a], s) {
				w.r.homes[a] = append(w.r.homes[a], s)
			}
		}
		return nil
	})
}

// within reads files of a namespace by one of its processes: the first that is
// still there and in it.
func (w *work) within(s *space, read func(pid int) error) {
	for _, pid := range s.pids {
		if w.late() {
			return
		}
		if id, ok := w.namespace(pid); !ok || id != s.id {
			continue
		}
		if read(pid) != nil {
			continue
		}
		if id, ok := w.namespace(pid); ok && id == s.id {
			return
		}
	}
}

// listen finds the sockets of a namespace at which somebody waits, and their
// holders.
func (w *work) listen(s *space) error {
	if !s.read {
		var found []socket
		w.within(s, func(pid int) error {
			found = found[:0]
			for _, t := range tables() {
				sockets, err := w.sockets(file(pid, "net/"+t.name), t.protocol)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				found = append(found, sockets...)
			}
			return nil
		})
		if w.late() {
			return ErrBudget
		}
		s.sockets, s.read = found, true
		for _, k := range found {
			s.held[k.inode] = nil
		}
	}
	for ; s.next < len(s.pids); s.next++ {
		if err := w.descriptors(s, s.pids[s.next]); err != nil {
			return err
		}
	}
	return nil
}

type table struct {
	name     string
	protocol Protocols
}

func tables() []table { return []table{{"tcp", TCP}, {"tcp6", TCP}, {"udp", UDP}, {"udp6", UDP}} }

func (w *work) sockets(name string, p Protocols) ([]socket, error) {
	f, err := w.f.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseSockets(io.LimitReader(f, maxSockets), p)
}

// descriptors notes which of a namespace's sockets a process holds.
func (w *work) descriptors(s *space, pid int) error {
	dir, err := w.f.root.Open(file(pid, "fd"))
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			w.r.hidden = true
		}
		return nil // it is gone
	}
	defer dir.Close()
	list, ok := dir.(fs.ReadDirFile)
	if !ok {
		return nil
	}
	var found []holder
	var inodes []uint64
	for n := 0; n < maxDescriptors; {
		if w.late() {
			return ErrBudget // and begins with it again
		}
		entries, err := list.ReadDir(128)
		for _, e := range entries {
			n++
			fd, ok := number(e.Name())
			if !ok {
				continue
			}
			link, err := w.f.root.ReadLink(file(pid, "fd/"+e.Name()))
			if err != nil {
				continue // closed meanwhile
			}
			inode, ok := parseLink(link, "socket")
			if !ok {
				continue
			}
			if _, wanted := s.held[inode]; wanted {
				found, inodes = append(found, holder{pid, fd}), append(inodes, inode)
			}
		}
		if err != nil || len(entries) == 0 {
			break
		}
	}
	for i, inode := range inodes {
		if !slices.ContainsFunc(s.held[inode], func(h holder) bool { return h.pid == pid }) {
			s.held[inode] = append(s.held[inode], found[i])
		}
	}
	return nil
}

// read returns at most n bytes of a file.
func (w *work) read(name string, n int64) ([]byte, error) {
	f, err := w.f.root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("look at a process: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, n))
	if err != nil {
		return nil, fmt.Errorf("look at a process: %w", err)
	}
	return b, nil
}

func file(pid int, name string) string { return "proc/" + strconv.Itoa(pid) + "/" + name }

// number reads the name of a process or a descriptor.
func number(s string) (int, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 32)
	return int(n), err == nil
}
