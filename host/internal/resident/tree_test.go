package resident

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tree is a file system that looks like that of a machine.
type tree struct {
	t   *testing.T
	dir string
}

// fake is a process of a tree.
type fake struct {
	pid        int
	name, exe  string
	uid, start int
	cgroup     string
	cmdline    string
	namespace  int
	sockets    []int // inodes, at the descriptors from 3 on
}

// The own namespace of every tree.
const home = 1000

func newTree(t *testing.T) *tree {
	tr := &tree{t, t.TempDir()}
	tr.link("net:[1000]", "proc/thread-self/ns/net")
	tr.file("12345.67 23456.78\n", "proc/uptime")
	tr.file("root:x:0:0:root:/root:/bin/bash\nwww:x:33:33::/:\n", "etc/passwd")
	return tr
}

func (tr *tree) path(name string) string {
	tr.t.Helper()
	p := filepath.Join(tr.dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		tr.t.Fatal(err)
	}
	return p
}

func (tr *tree) file(text, name string) {
	tr.t.Helper()
	if err := os.WriteFile(tr.path(name), []byte(text), 0o644); err != nil {
		tr.t.Fatal(err)
	}
}

func (tr *tree) link(to, name string) {
	tr.t.Helper()
	if err := os.Symlink(to, tr.path(name)); err != nil {
		tr.t.Fatal(err)
	}
}

// add adds a process.
func (tr *tree) add(p fake) {
	tr.t.Helper()
	at := func(name string) string { return "proc/" + strconv.Itoa(p.pid) + "/" + name }
	start := p.start
	if start == 0 {
		start = 100
	}
	tr.file(stat(p.pid, p.name, start), at("stat"))
	tr.file(fmt.Sprintf("Name:\tx\nUid:\t%d\t%d\t%d\t%d\n", p.uid, p.uid, p.uid, p.uid), at("status"))
	cgroup := p.cgroup
	if cgroup == "" {
		cgroup = "0::/system.slice/some.service\n"
	}
	tr.file(cgroup, at("cgroup"))
	tr.file(p.cmdline, at("cmdline"))
	exe := p.exe
	if exe == "" {
		exe = "/usr/sbin/" + p.name
	}
	tr.link(exe, at("exe"))
	if p.namespace == 0 {
		p.namespace = home
	}
	tr.link(fmt.Sprintf("net:[%d]", p.namespace), at("ns/net"))
	tr.link("/dev/null", at("fd/0"))
	for i, inode := range p.sockets {
		tr.link(fmt.Sprintf("socket:[%d]", inode), at("fd/"+strconv.Itoa(3+i)))
	}
}

// net gives a process the tables of its namespace.
func (tr *tree) net(pid int, tables map[string]string) {
	tr.t.Helper()
	for name, text := range tables {
		tr.file(text, fmt.Sprintf("proc/%d/net/%s", pid, name))
	}
}

// finder returns a Finder of the tree whose own addresses are these, and for which no
// time passes.
func (tr *tree) finder(flows []flow, own ...string) *Finder {
	addrs := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}
	for _, a := range own {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	f := newFinder(os.DirFS(tr.dir).(fs.ReadLinkFS), func() ([]netip.Addr, error) { return addrs, nil },
		func(to Endpoint) ([]flow, error) {
			var out []flow
			for _, f := range flows {
				if to.Protocols&f.protocol != 0 {
					out = append(out, f)
				}
			}
			return out, nil
		})
	f.now = func() time.Time { return time.Time{}.Add(time.Hour) }
	return f
}

// stat is /proc/PID/stat, with 52 fields.
func stat(pid int, name string, start int) string {
	return fmt.Sprintf("%d (%s) S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 %d 1 1%s\n", pid, name, start, strings.Repeat(" 0", 28))
}

// words is an address as the kernel prints it.
func words(a netip.Addr) string {
	raw := a.AsSlice()
	for w := raw; len(w) > 0; w = w[4:] {
		binary.BigEndian.PutUint32(w, binary.NativeEndian.Uint32(w))
	}
	return strings.ToUpper(hex.EncodeToString(raw))
}

const tableHeader = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

// line is a line of a table of sockets.
func line(local, state string, inode int) string {
	a := netip.MustParseAddrPort(local)
	return fmt.Sprintf("   0: %s:%04X %s:0000 %s 00000000:00000000 00:00000000 00000000     0        0 %d 1 0000000000000000 100 0 0 10 0\n",
		words(a.Addr()), a.Port(), words(a.Addr()), state, inode)
}

// trie is a table of routes with local addresses.
func trie(addrs ...string) string {
	var b strings.Builder
	b.WriteString("Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n")
	for _, a := range addrs {
		fmt.Fprintf(&b, "           |-- %s\n              /32 host LOCAL\n", a)
	}
	b.WriteString("     |-- 172.17.255.255\n        /32 link BROADCAST\n")
	return b.String()
}

func docker(id string) string { return "1:name=systemd:/docker/" + id + "\n0::/docker/" + id + "\n" }

var (
	idA = strings.Repeat("a1", 32)
	idB = strings.Repeat("b2", 32)
)
