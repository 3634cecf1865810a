package resident

import (
	"maps"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxExamined bounds the processes that are looked at for one answer; where more
// hold a socket or share a namespace, the answer is ambiguous.
const maxExamined = 64

// flow is a connection that the kernel tracks, to an endpoint that is asked for.
type flow struct {
	protocol Protocols
	// to is where its packets are led: the endpoint itself, or what it is
	// translated to.
	to netip.AddrPort
}

// behind is Behind, with a reading.
func (w *work) behind(to Endpoint) (Answer, error) {
	t := &tally{}
	switch {
	case !w.r.here[to.Addr]:
		for _, s := range w.r.homes[to.Addr] {
			if err := w.in(t, s, to); err != nil {
				return Answer{}, err
			}
		}
	case to.Port != 0:
		if err := w.at(t, to); err != nil {
			return Answer{}, err
		}
	}
	a := t.answer()
	if !a.Found() && t.unheld && w.r.hidden {
		return Answer{}, ErrHidden
	}
	return a, nil
}

// at tallies who is behind a port of the own namespace.
func (w *work) at(t *tally, to Endpoint) error {
	led, err := w.f.flows(to)
	if err != nil {
		return err
	}
	direct := !slices.ContainsFunc(led, func(f flow) bool { return f.to != netip.AddrPortFrom(to.Addr, to.Port) })
	targets := make(map[flow]string)
	for _, f := range led {
		if f.to == netip.AddrPortFrom(to.Addr, to.Port) {
			direct = true // some are translated and some are not
			continue
		}
		targets[f] = "conntrack"
	}
	s := w.r.byID[w.r.own]
	if s == nil {
		s = &space{id: w.r.own}
	}
	var local tally
	if err := w.holders(&local, s, to, targets); err != nil {
		return err
	}
	if direct {
		t.join(&local)
	}
	for _, f := range slices.SortedFunc(maps.Keys(targets), func(a, b flow) int { return a.to.Compare(b.to) }) {
		next := Endpoint{Addr: f.to.Addr(), Port: f.to.Port(), Protocols: f.protocol}
		var there tally
		if w.r.here[next.Addr] {
			// A redirection within this namespace; others that have the address too
			// are not met.
			if err := w.holders(&there, s, next, nil); err != nil {
				return err
			}
		} else {
			for _, s := range w.r.homes[next.Addr] {
				if err := w.in(&there, s, next); err != nil {
					return err
				}
			}
		}
		if there.empty() {
			t.elsewhere = true
			continue
		}
		there.through(targets[f])
		t.join(&there)
	}
	return nil
}

// in tallies who is behind an endpoint of another namespace: who holds its socket,
// or else the containers of all of its processes.
func (w *work) in(t *tally, s *space, to Endpoint) error {
	if to.Port != 0 {
		var there tally
		if err := w.holders(&there, s, to, nil); err != nil {
			return err
		}
		if t.join(&there); !there.empty() {
			return nil
		}
	}
	for i, pid := range s.pids {
		if w.late() {
			return ErrBudget
		}
		if i == maxExamined {
			t.more = true
			break
		}
		if p, _, ok := w.describe(pid); ok && p.Namespace == s.id {
			t.inhabit(p)
		}
	}
	return nil
}

// holders tallies who holds the sockets that would get the packets of an
// endpoint. A docker-proxy is nobody: where it leads to is put into targets.
func (w *work) holders(t *tally, s *space, to Endpoint, targets map[flow]string) error {
	if err := w.listen(s); err != nil {
		return err
	}
	for _, k := range match(s.sockets, to) {
		var found []Process
		for i, h := range s.held[k.inode] {
			if w.late() {
				return ErrBudget
			}
			if i == maxExamined {
				t.more = true
				break
			}
			p, ok := w.holding(h, k.inode)
			if !ok {
				continue
			}
			if next, ok := w.proxied(p, to, k); ok && targets != nil {
				if _, known := targets[next]; !known {
					targets[next] = "docker-proxy"
				}
				continue
			}
			found = append(found, p)
		}
		// The init process holds the sockets of services that it starts when
		// somebody comes; once one runs, it is the one that is met.
		if len(found) > 1 {
			found = slices.DeleteFunc(found, func(p Process) bool { return p.PID == 1 && p.Container.ID == "" })
		}
		t.unheld = t.unheld || len(s.held[k.inode]) == 0
		for _, p := range found {
			t.add(p)
			t.through("socket")
		}
	}
	return nil
}

// match returns the sockets that the kernel prefers for an endpoint: those of its
// very address, then those of any address of its family, then those of IPv6 that
// may take IPv4 too. Of UDP, those that are connected to one peer come last.
func match(all []socket, to Endpoint) []socket {
	var out []socket
	for _, p := range []Protocols{TCP, UDP} {
		if to.Protocols&p == 0 {
			continue
		}
		best, found := 0, []socket(nil)
		for _, k := range all {
			rank := k.rank(to.Addr)
			if k.protocol != p || k.local.Port() != to.Port || rank == 0 || rank < best {
				continue
			}
			if rank > best {
				best, found = rank, nil
			}
			found = append(found, k)
		}
		out = append(out, found...)
	}
	return out
}

// rank says how well a socket fits an address, 0 when it does not.
func (k *socket) rank(to netip.Addr) int {
	rank := 0
	switch a := k.local.Addr(); {
	case a == to:
		rank = 3
	case a.IsUnspecified() && a.Is4() == to.Is4():
		rank = 2
	case a.IsUnspecified() && to.Is4():
		rank = 1
	}
	if rank > 0 && !k.connected {
		rank += 3
	}
	return rank
}

// holding describes a process that still holds a socket.
func (w *work) holding(h holder, inode uint64) (Process, bool) {
	p, _, ok := w.describe(h.pid)
	if !ok {
		return Process{}, false
	}
	link, err := w.f.root.ReadLink(file(h.pid, "fd/"+strconv.Itoa(h.fd)))
	if err != nil {
		return Process{}, false
	}
	got, ok := parseLink(link, "socket")
	return p, ok && got == inode
}

// describe tells what a process is, and when it began in ticks since the machine
// did; false when it has gone, or another came under its number meanwhile.
func (w *work) describe(pid int) (p Process, started uint64, ok bool) {
	b, err := w.read(file(pid, "stat"), maxSmall)
	if err != nil {
		return Process{}, 0, false
	}
	name, started, ok := parseStat(b)
	if !ok {
		return Process{}, 0, false
	}
	p = Process{PID: pid, Name: printable(name)}
	if p.Namespace, ok = w.namespace(pid); !ok {
		return Process{}, 0, false
	}
	if b, err = w.read(file(pid, "status"), maxSmall); err != nil {
		return Process{}, 0, false
	}
	if p.UID, ok = parseUID(b); !ok {
		return Process{}, 0, false
	}
	if b, err = w.read(file(pid, "cgroup"), maxSmall); err != nil {
		return Process{}, 0, false
	}
	p.Container = ContainerIn(b)
	if link, err := w.f.root.ReadLink(file(pid, "exe")); err == nil { // the kernel's own have none
		p.Executable = printable(link)
	}
	if b, err = w.read(file(pid, "stat"), maxSmall); err != nil {
		return Process{}, 0, false
	}
	if _, again, ok := parseStat(b); !ok || again != started {
		return Process{}, 0, false
	}
	if p.Container.ID == "" {
		p.User = w.user(p.UID)
	}
	return p, started, true
}

// user returns the name of a user, "" when it is not known.
func (w *work) user(uid uint32) string {
	name, known := w.users[uid]
	if known {
		return name
	}
	if b, err := w.read("etc/passwd", maxAddresses); err == nil {
		name = printable(parsePasswd(b, uid))
	}
	if w.users == nil {
		w.users = make(map[uint32]string)
	}
	w.users[uid] = name
	return name
}

// proxied returns where a docker-proxy leads the packets of a socket to. Only
// root's is believed, and only outside of containers: anybody may take its name.
func (w *work) proxied(p Process, to Endpoint, k socket) (flow, bool) {
	if p.UID != 0 || p.Container.ID != "" || path.Base(strings.TrimSuffix(p.Executable, " (deleted)")) != "docker-proxy" {
		return flow{}, false
	}
	b, err := w.read(file(p.PID, "cmdline"), maxSmall)
	if err != nil {
		return flow{}, false
	}
	from, f, ok := parseProxy(b)
	return f, ok && from == to.Port && f.protocol == k.protocol
}

// sameProgram reports whether a process may be what a log calls by a name.
func sameProgram(name string, p Process) bool {
	name = path.Base(name)
	for _, is := range []string{p.Name, path.Base(strings.TrimSuffix(p.Executable, " (deleted)"))} {
		if len(is) >= len(name) && strings.EqualFold(is[:len(name)], name) && (len(is) == len(name) || is[len(name)] == '-') {
			return true
		}
	}
	// The kernel keeps 15 bytes of a name.
	return len(p.Name) == 15 && len(name) > 15 && strings.EqualFold(name[:15], p.Name)
}

// tick is what the kernel counts the start of processes in, USER_HZ of all
// architectures that Go runs on.
const tick = 10 * time.Millisecond

// printable makes a text that somebody else chose fit for a list: without control
// characters and commas, at most 256 bytes.
func printable(s string) string {
	const most = 256
	s = strings.Map(func(r rune) rune {
		if r == ',' || r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), 4*most)], "?"))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}
