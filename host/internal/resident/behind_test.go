package resident

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// text sums an answer up: processes, containers, ways, doubt.
func text(a Answer) string {
	var parts []string
	for _, p := range a.Processes {
		parts = append(parts, fmt.Sprintf("%d %s", p.PID, p.Name))
	}
	for _, c := range a.Containers {
		parts = append(parts, c.ID[:2]+c.Delegate)
	}
	parts = append(parts, a.Via...)
	if a.Ambiguous {
		parts = append(parts, "ambiguous")
	}
	return strings.Join(parts, ", ")
}

func to(s string, p Protocols) Endpoint {
	if a, err := netip.ParseAddr(s); err == nil {
		return Endpoint{Addr: a, Protocols: p}
	}
	a := netip.MustParseAddrPort(s)
	return Endpoint{Addr: a.Addr(), Port: a.Port(), Protocols: p}
}

// proxy is docker-proxy for a port of the host.
func proxy(pid, uid int, leads string, sockets ...int) fake {
	return fake{
		pid: pid, name: "docker-proxy", uid: uid, sockets: sockets,
		cmdline: strings.Join([]string{"/usr/bin/docker-proxy", "-proto", "tcp", "-host-ip", "0.0.0.0", "-host-port", "8080", "-container-ip", leads, "-container-port", "80", ""}, "\x00"),
	}
}

// town is a machine with services, containers, a pod and a user who pretends.
func town(t *testing.T) *tree {
	tr := newTree(t)
	tr.add(fake{pid: 1, name: "systemd", exe: "/usr/lib/systemd/systemd", cgroup: "0::/init.scope\n", sockets: []int{501}})
	tr.add(fake{pid: 10, name: "sshd", sockets: []int{500, 501}})
	tr.add(fake{pid: 20, name: "nginx", sockets: []int{510}})
	tr.add(fake{pid: 21, name: "nginx", uid: 33, sockets: []int{510}})
	tr.add(fake{pid: 30, name: "old", sockets: []int{520}})
	tr.add(fake{pid: 31, name: "new", sockets: []int{521}})
	tr.add(proxy(40, 0, "172.17.0.2", 530))
	tr.add(fake{pid: 50, name: "hostnet", cgroup: docker(idB), sockets: []int{540}})
	tr.add(fake{pid: 51, name: "liar", uid: 1000, cgroup: "0::/user.slice/user-1000.slice/user@1000.service/docker-" + idA + ".scope\n", sockets: []int{541}})
	tr.add(proxy(52, 1000, "172.17.0.2", 542))
	tr.net(1, map[string]string{
		"tcp": tableHeader + line("0.0.0.0:22", "0A", 500) + line("0.0.0.0:23", "0A", 501) + line("0.0.0.0:80", "0A", 510) +
			line("0.0.0.0:81", "0A", 520) + line("0.0.0.0:81", "0A", 521) + line("0.0.0.0:8080", "0A", 530) + line("0.0.0.0:90", "0A", 540) +
			line("0.0.0.0:91", "0A", 541) + line("192.0.2.1:8080", "0A", 530) + line("192.0.2.3:80", "0A", 500) + line("0.0.0.0:7", "0A", 999) + line("127.0.0.1:9", "01", 998),
		"tcp6": tableHeader + line("[::]:443", "0A", 510) + line("[::]:22", "0A", 510),
		"udp":  tableHeader + line("0.0.0.0:53", "07", 520) + line("192.0.2.1:40000", "01", 521) + line("0.0.0.0:22", "07", 510),
	})
	// A container with two programs, of which one listens.
	tr.add(fake{pid: 100, name: "httpd", cgroup: docker(idA), namespace: 2000, sockets: []int{600}})
	tr.add(fake{pid: 101, name: "cron", cgroup: docker(idA), namespace: 2000})
	tr.net(100, map[string]string{
		"fib_trie": trie("172.17.0.2"), "if_inet6": "fd170000000000000000000000000002 02 40 00 80 eth0\n",
		"tcp": tableHeader, "tcp6": tableHeader + line("[::]:80", "0A", 600), "udp": tableHeader, "udp6": tableHeader,
	})
	// A pod of two containers.
	tr.add(fake{pid: 200, name: "pause", cgroup: "0::/kubepods/podX/" + idA + "\n", namespace: 3000})
	tr.add(fake{pid: 201, name: "api", cgroup: "0::/kubepods/podX/" + idB + "\n", namespace: 3000, sockets: []int{700}})
	tr.net(200, map[string]string{"fib_trie": trie("10.1.0.5"), "tcp": tableHeader + line("10.1.0.5:443", "0A", 700)})
	// A namespace of a program without a container.
	tr.add(fake{pid: 300, name: "vpn", namespace: 4000})
	tr.net(300, map[string]string{"fib_trie": trie("10.9.0.1"), "tcp": tableHeader})
	// Two networks with one address.
	tr.add(fake{pid: 400, name: "a", cgroup: docker(idA), namespace: 5000})
	tr.net(400, map[string]string{"fib_trie": trie("10.8.0.2"), "tcp": tableHeader})
	tr.add(fake{pid: 401, name: "b", cgroup: docker(idB), namespace: 6000})
	tr.net(401, map[string]string{"fib_trie": trie("10.8.0.2"), "tcp": tableHeader})
	return tr
}

func TestBehind(t *testing.T) {
	tr := town(t)
	led := func(s string) flow { return flow{TCP, netip.MustParseAddrPort(s)} }
	for _, tt := range []struct {
		name  string
		to    Endpoint
		flows []flow
		want  string
	}{
		{"a service", to("192.0.2.1:22", TCP), nil, "10 sshd, socket"},
		{"one that init started", to("192.0.2.1:23", TCP), nil, "10 sshd, socket"},
		{"a service with several processes", to("192.0.2.1:80", TCP), nil, "20 nginx, 21 nginx, socket"},
		{"IPv6 that takes IPv4", to("192.0.2.1:443", TCP), nil, "20 nginx, 21 nginx, socket"},
		{"IPv6 itself", to("[2001:db8::1]:22", TCP), nil, "20 nginx, 21 nginx, socket"},
		{"its very address", to("192.0.2.3:80", TCP), nil, "10 sshd, socket"},
		{"two programs on a port", to("192.0.2.1:81", TCP), nil, "30 old, 31 new, socket, ambiguous"},
		{"datagrams", to("192.0.2.1:53", UDP), nil, "30 old, socket"},
		{"datagrams of one peer", to("192.0.2.1:40000", UDP), nil, "31 new, socket"},
		{"either protocol", to("192.0.2.1:53", 0), nil, "30 old, socket"},
		{"two protocols that differ", to("192.0.2.1:22", 0), nil, "10 sshd, 20 nginx, 21 nginx, socket, ambiguous"},
		{"the other protocol", to("192.0.2.1:53", TCP), nil, ""},
		{"a container in the own namespace", to("192.0.2.1:90", TCP), nil, "50 hostnet, b2, socket"},
		{"a container that a user made up", to("192.0.2.1:91", TCP), nil, "51 liar, a11000, socket"},
		{"a socket that nobody holds", to("192.0.2.1:7", TCP), nil, ""},
		{"no port, of the host", to("192.0.2.1", 0), nil, ""},
		{"a port that nobody listens on", to("192.0.2.1:4444", TCP), nil, ""},
		{"docker-proxy", to("192.0.2.1:8080", TCP), nil, "100 httpd, a1, docker-proxy, socket"},
		{"translated to two addresses of one container", to("192.0.2.1:4444", TCP), []flow{led("172.17.0.2:80"), led("[fd17::2]:80")}, "100 httpd, a1, conntrack, socket"},
		{"translated to two ports of one container", to("192.0.2.1:4444", TCP), []flow{led("172.17.0.2:80"), led("172.17.0.2:81")}, "100 httpd, a1, address, conntrack, socket"},
		{"docker-proxy and a translation that agree", to("192.0.2.1:8080", TCP), []flow{led("172.17.0.2:80")}, "100 httpd, a1, conntrack, socket"},
		{
			"docker-proxy and a translation that do not", to("192.0.2.1:8080", TCP),
			[]flow{led("10.1.0.5:443")},
			"100 httpd, 201 api, a1, b2, conntrack, docker-proxy, socket, ambiguous",
		},
		{"translated over a listener", to("192.0.2.1:22", TCP), []flow{led("172.17.0.2:80")}, "100 httpd, a1, conntrack, socket"},
		{
			"some translated, some not", to("192.0.2.1:22", TCP),
			[]flow{led("172.17.0.2:80"), led("192.0.2.1:22")},
			"10 sshd, 100 httpd, a1, conntrack, socket, ambiguous",
		},
		{"translated to elsewhere", to("192.0.2.1:4444", TCP), []flow{led("203.0.113.9:80")}, ""},
		{"and to here", to("192.0.2.1:4444", TCP), []flow{led("203.0.113.9:80"), led("172.17.0.2:80")}, "100 httpd, a1, conntrack, socket, ambiguous"},
		{"redirected", to("192.0.2.1:4444", TCP), []flow{led("127.0.0.1:22")}, "10 sshd, conntrack, socket"},
		{"a container's address and port", to("172.17.0.2:80", TCP), nil, "100 httpd, a1, socket"},
		{"a container's address", to("172.17.0.2", 0), nil, "a1, address"},
		{"a container's IPv6 address", to("fd17::2", 0), nil, "a1, address"},
		{"a container's closed port", to("172.17.0.2:9999", TCP), nil, "a1, address"},
		{"a pod's port", to("10.1.0.5:443", TCP), nil, "201 api, b2, socket"},
		{"a pod", to("10.1.0.5", 0), nil, "a1, b2, address, ambiguous"},
		{"a namespace without containers", to("10.9.0.1", 0), nil, ""},
		{"an address of two networks", to("10.8.0.2", 0), nil, "a1, b2, address, ambiguous"},
		{"another machine", to("203.0.113.7:22", TCP), nil, ""},
		{"a group", to("224.0.0.1:22", TCP), nil, ""},
		{"mapped", to("[::ffff:192.0.2.1]:22", TCP), nil, "10 sshd, socket"},
		{"nothing", Endpoint{}, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := tr.finder(tt.flows, "192.0.2.1", "192.0.2.3", "2001:db8::1")
			for _, from := range []string{"the system", "memory"} {
				got, err := f.Behind(tt.to)
				if err != nil {
					t.Fatal(err)
				}
				if text(got) != tt.want {
					t.Errorf("from %s: got %q, want %q", from, text(got), tt.want)
				}
			}
		})
	}
}

func TestImposter(t *testing.T) {
	tr := newTree(t)
	tr.add(proxy(52, 1000, "172.17.0.2", 542))
	tr.net(52, map[string]string{"tcp": tableHeader + line("0.0.0.0:8080", "0A", 542)})
	tr.add(fake{pid: 100, name: "httpd", cgroup: docker(idA), namespace: 2000, sockets: []int{600}})
	tr.net(100, map[string]string{"fib_trie": trie("172.17.0.2"), "tcp": tableHeader + line("0.0.0.0:80", "0A", 600)})
	got, err := tr.finder(nil, "192.0.2.1").Behind(to("192.0.2.1:8080", TCP))
	if err != nil || text(got) != "52 docker-proxy, socket" {
		t.Errorf("got %q, %v: a user's docker-proxy was believed", text(got), err)
	}
}

func TestProcessDetails(t *testing.T) {
	tr := town(t)
	got, err := tr.finder(nil, "192.0.2.1").Behind(to("192.0.2.1:80", TCP))
	if err != nil {
		t.Fatal(err)
	}
	want := []Process{
		{PID: 20, Name: "nginx", Executable: "/usr/sbin/nginx", User: "root", Namespace: home},
		{PID: 21, Name: "nginx", Executable: "/usr/sbin/nginx", UID: 33, User: "www", Namespace: home},
	}
	if diff := cmp.Diff(want, got.Processes); diff != "" {
		t.Error(diff)
	}
	got, err = tr.finder(nil, "192.0.2.1").Behind(to("192.0.2.1:90", TCP))
	if err != nil || len(got.Processes) != 1 || got.Processes[0].User != "" {
		t.Errorf("got %+v, %v: the host's user names say nothing about a container", got, err)
	}
}

// TestReplaced: numbers of processes and sockets that others have by now lead to
// nobody.
func TestReplaced(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*tree)
	}{
		{"gone", func(tr *tree) { remove(t, tr, "proc/10/stat") }},
		{"the socket is closed", func(tr *tree) { remove(t, tr, "proc/10/fd/3") }},
		{"the descriptor is another socket", func(tr *tree) { remove(t, tr, "proc/10/fd/3"); tr.link("socket:[501]", "proc/10/fd/3") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := town(t)
			f := tr.finder(nil, "192.0.2.1")
			if _, err := f.Behind(to("192.0.2.1:80", TCP)); err != nil { // makes it known who holds what
				t.Fatal(err)
			}
			tt.change(tr)
			got, err := f.Behind(to("192.0.2.1:22", TCP))
			if err != nil || got.Found() {
				t.Errorf("got %q, %v, want nobody", text(got), err)
			}
		})
	}
}

// swapped is a file system in which a process is replaced while it is looked at.
type swapped struct {
	fs.ReadLinkFS
	after string // opening it replaces the process
	swap  func()
}

func (s *swapped) Open(name string) (fs.File, error) {
	f, err := s.ReadLinkFS.Open(name)
	if name == s.after {
		s.swap()
	}
	return f, err
}

func TestReplacedMeanwhile(t *testing.T) {
	tr := town(t)
	f := tr.finder(nil, "192.0.2.1")
	f.root = &swapped{f.root, "proc/10/cgroup", func() { tr.file(stat(10, "sshd", 999), "proc/10/stat") }}
	got, err := f.Behind(to("192.0.2.1:22", TCP))
	if err != nil || got.Found() {
		t.Errorf("got %q, %v: it is not the same process that was looked at", text(got), err)
	}
}

func remove(t *testing.T, tr *tree, name string) {
	t.Helper()
	if err := os.Remove(tr.path(name)); err != nil {
		t.Fatal(err)
	}
}

func TestProcess(t *testing.T) {
	tr := town(t)
	now := time.Now()
	f := tr.finder(nil)
	f.now = func() time.Time { return now }
	// The machine runs for 12345.67 s; the processes began 1 s after it did.
	began := now.Add(time.Second - 12345*time.Second - 670*time.Millisecond)
	tr.add(fake{pid: 60, name: "sshd-session", exe: "/usr/lib/openssh/sshd-session"})
	tr.add(fake{pid: 61, name: "averyveryverylo", exe: "/opt/x"})
	tr.add(fake{pid: 62, name: "python3", exe: "/usr/bin/python3"})
	for _, tt := range []struct {
		name    string
		pid     int
		program string
		at      time.Time
		want    string
	}{
		{"in a container", 100, "httpd", now, "100 httpd, a1, pid"},
		{"of the host", 10, "sshd", now, "10 sshd, pid"},
		{"by a path", 10, "/usr/sbin/sshd", now, "10 sshd, pid"},
		{"another case", 20, "NGINX", now, "20 nginx, pid"},
		{"a part of OpenSSH", 60, "sshd", now, "60 sshd-session, pid"},
		{"a long name, of which the kernel keeps a part", 61, "averyveryverylongname", now, "61 averyveryverylo, pid"},
		{"another name", 62, "sshd", now, ""},
		{"a name that is the beginning of another", 10, "ss", now, ""},
		{"just begun", 10, "sshd", began, "10 sshd, pid"},
		{"told before it began", 10, "sshd", began.Add(-2 * time.Second), ""},
		{"none of that number", 99999, "sshd", now, ""},
		{"without a name", 10, "", now, ""},
		{"no number", 0, "sshd", now, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := f.Process(tt.pid, tt.program, tt.at)
			if err != nil || text(got) != tt.want {
				t.Errorf("got %q, %v, want %q", text(got), err, tt.want)
			}
		})
	}
}

// TestMany: lists are bounded, and what is not looked at makes the answer ambiguous.
func TestMany(t *testing.T) {
	tr := newTree(t)
	for i := range maxExamined + 5 {
		tr.add(fake{pid: 1000 + i, name: "worker", sockets: []int{500}})
		tr.add(fake{pid: 2000 + i, name: "x", cgroup: docker(fmt.Sprintf("%064x", i)), namespace: 2000})
	}
	tr.net(1000, map[string]string{"tcp": tableHeader + line("0.0.0.0:80", "0A", 500)})
	tr.net(2000, map[string]string{"fib_trie": trie("172.17.0.2")})
	f := tr.finder(nil, "192.0.2.1")
	got, err := f.Behind(to("192.0.2.1:80", TCP))
	if err != nil || len(got.Processes) != MaxShown || !got.Ambiguous {
		t.Errorf("got %+v, %v, want %d processes and doubt", got, err, MaxShown)
	}
	got, err = f.Behind(to("172.17.0.2", 0))
	if err != nil || len(got.Containers) != MaxShown || !got.Ambiguous {
		t.Errorf("got %+v, %v, want %d containers and doubt", got, err, MaxShown)
	}
}

// TestBudget: a lookup that takes too long ends, the next one goes on from there,
// and all together take their share of time alone.
func TestBudget(t *testing.T) {
	tr := town(t)
	f := tr.finder(nil, "192.0.2.1")
	now := time.Time{}.Add(time.Hour)
	step := 4 * time.Millisecond // of each look at the clock
	f.now = func() time.Time { now = now.Add(step); return now }
	var errs []error
	for range 20 {
		got, err := f.Behind(to("192.0.2.1:22", TCP))
		if err == nil {
			if text(got) != "10 sshd, socket" {
				t.Errorf("got %q", text(got))
			}
			break
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 || slices.ContainsFunc(errs, func(err error) bool { return !errors.Is(err, ErrBudget) && !errors.Is(err, ErrBusy) }) {
		t.Errorf("got %v, want errors of the budget at first", errs)
	}
	if s := f.Stats(); s.Budget == 0 {
		t.Errorf("got %+v, want a count of what took too long", s)
	}
	step = 0
	f.behind.left = 0
	if _, err := f.Behind(to("192.0.2.1:80", TCP)); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want %v", err, ErrBusy)
	}
	now = now.Add(time.Second) // a fiftieth of which is 20 ms
	if got, err := f.Behind(to("192.0.2.1:80", TCP)); err != nil || !got.Found() {
		t.Errorf("got %+v, %v after a rest", got, err)
	}
	if f.behind.left > burst {
		t.Errorf("got an allowance of %v, want at most %v", f.behind.left, burst)
	}
}

// TestMemory: what was found counts for a while, and then no longer.
func TestMemory(t *testing.T) {
	tr := town(t)
	f := tr.finder(nil, "192.0.2.1")
	now := time.Time{}.Add(time.Hour)
	f.now = func() time.Time { return now }
	for _, tt := range []struct{ pass, want string }{{"0s", "10 sshd, socket"}, {"1s", "10 sshd, socket"}, {"2s", ""}} {
		pass, _ := time.ParseDuration(tt.pass)
		now = now.Add(pass)
		if got, err := f.Behind(to("192.0.2.1:22", TCP)); err != nil || text(got) != tt.want {
			t.Errorf("after %s: got %q, %v, want %q", tt.pass, text(got), err, tt.want)
		}
		_ = os.RemoveAll(tr.dir + "/proc/10")
	}
}

// hidden is a file system in which the processes of root may not be looked at.
type hidden struct{ fs.ReadLinkFS }

func (h hidden) ReadLink(name string) (string, error) {
	if name == "proc/1/ns/net" || name == "proc/10/ns/net" {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrPermission}
	}
	return h.ReadLinkFS.ReadLink(name)
}

func TestHidden(t *testing.T) {
	tr := town(t)
	if err := os.CopyFS(tr.path("proc/20/net"), os.DirFS(tr.path("proc/1/net"))); err != nil {
		t.Fatal(err)
	}
	f := tr.finder(nil, "192.0.2.1")
	for set, want := range map[string]error{"000001ffffffffff": nil, "0000000000080004": nil, "0000000000080000": ErrHidden, "0000000000000000": ErrHidden, "x": nil} {
		tr.file("Name:\tx\nCapEff:\t"+set+"\n", "proc/self/status")
		if err := f.Visible(); !errors.Is(err, want) {
			t.Errorf("capabilities %s: got %v, want %v", set, err, want)
		}
	}
	f.root = hidden{f.root}
	for _, tt := range []struct {
		to   string
		want error
	}{{"192.0.2.1:22", ErrHidden}, {"192.0.2.1:80", nil}, {"192.0.2.1:4444", nil}, {"203.0.113.1:22", nil}} {
		if _, err := f.Behind(to(tt.to, TCP)); !errors.Is(err, tt.want) {
			t.Errorf("%v: got %v, want %v", tt.to, err, tt.want)
		}
	}
	if got := f.Stats(); got != (Stats{Hidden: 1, Found: 1, Nobody: 2}) {
		t.Errorf("got %+v, want 1 hidden, 1 found, nobody twice", got)
	}
}

func TestJoin(t *testing.T) {
	host := Answer{Processes: []Process{{PID: 1, Name: "a"}}, Via: []string{"socket"}}
	other := Answer{Processes: []Process{{PID: 2, Name: "b"}}, Via: []string{"socket"}}
	one := Answer{Containers: []Container{{ID: idA}}, Via: []string{"address"}}
	two := Answer{Containers: []Container{{ID: idB}}, Via: []string{"socket"}}
	for _, tt := range []struct {
		name string
		all  []Answer
		want string
	}{
		{"nobody", []Answer{{}, {}}, ""},
		{"one and nobody", []Answer{{}, one, {}}, "a1, address"},
		{"the same", []Answer{one, one}, "a1, address"},
		{"two processes of the host", []Answer{other, host}, "1 a, 2 b, socket"},
		{"two containers", []Answer{two, one}, "a1, b2, address, socket, ambiguous"},
		{"a container and the host", []Answer{host, one}, "1 a, a1, address, socket, ambiguous"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var a Answer
			for _, o := range tt.all {
				a.Join(o)
			}
			if got := text(a); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
