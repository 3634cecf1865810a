package rail

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func texts(addrs []netip.Addr) string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return strings.Join(out, " ")
}

// native is an IPv4 address as this kernel prints it in /proc/net.
func native(s string) string {
	a := netip.MustParseAddr(s).As4()
	const digits = "0123456789ABCDEF"
	var out []byte
	for n, shift := binary.NativeEndian.Uint32(a[:]), 28; shift >= 0; shift -= 4 {
		out = append(out, digits[n>>shift&15])
	}
	return string(out)
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		parse func([]byte) []netip.Addr
		in    string
		want  string
	}{
		{"routes", parseRoutes4, "Iface\tDestination\tGateway \tFlags\tRefCnt\n" +
			"eth0\t00000000\t" + native("192.0.2.1") + "\t0003\t0\t0\t0\t00000000\n" + // default
			"eth0\t000200C0\t00000000\t0001\t0\n" + // on link
			"eth1\t0000000A\t" + native("192.0.2.2") + "\t0003\t0\n" + // a further one
			"eth1\t0000000A\t" + native("192.0.2.3") + "\t0002\t0\n" + // down
			"eth1\t0000000A\t" + native("192.0.2.4") + "\t0203\t0\n", // reject
			"192.0.2.1 192.0.2.2"},
		{"broken routes", parseRoutes4, "a\nb 1 2\neth0 0 XYZ 0003\neth0 0 0102 0003\neth0 0 " + native("192.0.2.1") + " 10000000000003\n", ""},
		{
			"IPv6 routes", parseRoutes6, "fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n" +
				"00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth0\n" +
				"00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000002 00000000 00450003     eth0\n" +
				"00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n",
			"fd00::1 fe80::1",
		},
		{
			"resolv.conf", parseResolvConf, "# nameserver 192.0.2.9\n; nameserver 192.0.2.9\nnameserver 192.0.2.53\nnameserver\tfe80::1%eth0 # x\n nameserver 2001:db8::53\nnameserver\nnameserver example\noptions nameserver 192.0.2.9\nnameserver 192.0.2.54",
			"192.0.2.53 fe80::1%eth0 2001:db8::53 192.0.2.54",
		},
		{
			"resolved.conf", func(b []byte) []netip.Addr { return parseAssignments(b, "DNS", "FallbackDNS") },
			"[Resolve]\n#DNS=192.0.2.9\nDNS=192.0.2.53#dns.example [2001:db8::53]:853 192.0.2.54:53%eth0 name\nDNS =192.0.2.55\nFallbackDNS=\nDNSSEC=no\n",
			"192.0.2.53 2001:db8::53 192.0.2.54 192.0.2.55",
		},
		{
			"chrony.conf", parseTimeServers, "# server 192.0.2.9\n!server 192.0.2.9\nserver 192.0.2.123 iburst\npool 2.debian.pool.ntp.org\nPEER 2001:db8::123\n",
			"192.0.2.123 2001:db8::123",
		},
		{
			"ntp.conf", parseTimeServers, "server -4 192.0.2.123\nserver 127.127.1.0\nrestrict 192.0.2.9\nservers 192.0.2.124\nserver\nserver -4\n",
			"192.0.2.123 127.127.1.0 192.0.2.124",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := texts(tt.parse([]byte(tt.in))); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// record makes a utmp record.
func record(at utmpLayout, kind uint16, pid int32, host string, addr string) []byte {
	b := make([]byte, at.size)
	binary.NativeEndian.PutUint16(b, kind)
	binary.NativeEndian.PutUint32(b[4:], uint32(pid))
	copy(b[at.host:at.host+256], host)
	if addr != "" {
		copy(b[at.addr:], netip.MustParseAddr(addr).AsSlice())
	}
	return b
}

func TestUtmp(t *testing.T) {
	for _, at := range []utmpLayout{{384, 76, 348}, {400, 76, 360}} {
		var b []byte
		for _, r := range [][]byte{
			record(at, 2, 0, "6.1.0-18-amd64", ""), // BOOT_TIME
			record(at, userProcess, 100, "client.example", "192.0.2.77"),
			record(at, 8, 101, "", "192.0.2.78"), // DEAD_PROCESS
			record(at, userProcess, 102, "2001:db8::77", "2001:db8::77"),
			record(at, userProcess, 103, "192.0.2.79", ""), // by its name alone
			record(at, userProcess, 104, "client.example", ""),
			record(at, userProcess, 105, "", ""), // at the console
			record(at, userProcess, -1, "", "192.0.2.80"),
			record(at, userProcess, 106, strings.Repeat("x", 256), "::ffff:192.0.2.81"),
			{7, 0, 1}, // torn
		} {
			b = append(b, r...)
		}
		want := []login{
			{100, netip.MustParseAddr("192.0.2.77")},
			{102, netip.MustParseAddr("2001:db8::77")},
			{103, netip.MustParseAddr("192.0.2.79")},
			{106, netip.MustParseAddr("192.0.2.81")},
		}
		if diff := cmp.Diff(want, parseUtmp(b, at), cmp.AllowUnexported(login{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("records of %d bytes (-want +got):\n%s", at.size, diff)
		}
	}
}

func TestLogind(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"# private\nUID=0\nREMOTE=1\nREMOTE_HOST=192.0.2.77\nSTATE=active\nLEADER=7\n", "192.0.2.77"},
		{"REMOTE=1\nREMOTE_HOST=\"2001:db8::77\"\nSTATE=online\n", "2001:db8::77"},
		{"REMOTE=0\nREMOTE_HOST=192.0.2.77\nSTATE=active\n", ""},
		{"REMOTE=1\nREMOTE_HOST=192.0.2.77\nSTATE=closing\n", ""},
		{"REMOTE=1\nREMOTE_HOST=client.example\nSTATE=active\n", ""},
		{"REMOTE=1\nSTATE=active\n", ""},
		{"", ""},
	} {
		got := ""
		if l, ok := parseLogind([]byte(tt.in)); ok {
			got = l.peer.String()
		}
		if got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestSessionTitle(t *testing.T) {
	for title, want := range map[string]bool{
		"sshd: alice@pts/0\x00\x00\x00":                           true,
		"sshd: alice@notty":                                       true,
		"sshd-session: root@pts/0,pts/1":                          true,
		"sshd: alice [priv]":                                      false,
		"sshd: alice [net]":                                       false,
		"sshd: unknown [preauth]":                                 false,
		"sshd: a@b [priv]":                                        false,
		"sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups": false,
		"/usr/sbin/sshd\x00-D":                                    false,
		"sshd: ":                                                  false,
		"bash":                                                    false,
	} {
		if got := isSessionTitle(title); got != want {
			t.Errorf("%q: got %v, want %v", title, got, want)
		}
	}
}

// line is a line of /proc/net/tcp.
func line(local, remote, state, inode string) string {
	return " 1: " + local + " " + remote + " " + state + " 00000000:00000000 00:00000000 00000000 0 0 " + inode + " 1 0000 100\n"
}

// TestSSHD: of what a session holds only the connection that it came in over
// counts, and a guess at a password has no session.
func TestSSHD(t *testing.T) {
	link := func(to string) *fstest.MapFile {
		return &fstest.MapFile{Mode: fs.ModeSymlink | 0o777, Data: []byte(to)}
	}
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	const any4 = "00000000:0000"
	own := native("192.0.2.10")
	root := fstest.MapFS{
		"proc/net/tcp": file("  sl  local_address rem_address   st\n" +
			line("00000000:0016", any4, "0A", "10") + // sshd listens on port 22
			line("00000000:1F90", any4, "0A", "21") + // the session forwards port 8080
			line(own+":0016", native("192.0.2.77")+":8000", "01", "20") + // alice
			line(own+":0016", native("203.0.113.9")+":8000", "01", "30") + // a guess
			line(own+":1F90", native("203.0.113.10")+":8000", "01", "22") + // in over the forwarded port
			line(own+":9000", native("203.0.113.11")+":0016", "01", "23") + // out, forwarded for alice
			line(own+":0016", native("203.0.113.12")+":8000", "08", "24")), // closing
		"proc/net/tcp6": file(line("00000000000000000000000000000000:0016", "00000000000000000000000000000000:0000", "0A", "11") +
			line("0000000000000000FFFF0000"+own+":0016", "0000000000000000FFFF0000"+native("192.0.2.78")+":8000", "01", "40")),
		"proc/100/comm": file("sshd\n"), "proc/100/cmdline": file("sshd: alice@pts/0\x00"), "proc/100/exe": link("/usr/sbin/sshd"),
		"proc/100/fd/0": link("/dev/null"), "proc/100/fd/4": link("socket:[20]"), "proc/100/fd/5": link("socket:[21]"),
		"proc/100/fd/6": link("socket:[22]"), "proc/100/fd/7": link("socket:[23]"), "proc/100/fd/8": link("socket:[24]"), "proc/100/fd/9": link("socket:[99]"),
		"proc/200/comm": file("sshd\n"), "proc/200/cmdline": file("sshd: root [priv]\x00"), "proc/200/exe": link("/usr/sbin/sshd"), "proc/200/fd/4": link("socket:[30]"),
		// Calls itself so, and is not.
		"proc/300/comm": file("sshd\n"), "proc/300/cmdline": file("sshd: mallory@pts/0\x00"), "proc/300/exe": link("/tmp/sshd-not"), "proc/300/fd/4": link("socket:[30]"),
		"proc/400/comm": file("sshd-session\n"), "proc/400/cmdline": file("sshd-session: bob@notty\x00"), "proc/400/exe": link("/usr/lib/openssh/sshd-session (deleted)"), "proc/400/fd/4": link("socket:[40]"),
		"proc/self/comm": file("sshd\n"),
	}
	rails, err := Finder{Root: root}.Find()
	var got []string
	for _, r := range rails {
		got = append(got, r.Name+" "+r.Prefix.String()+" "+r.Source)
	}
	want := []string{"ssh_session 192.0.2.77/32 /proc/100", "ssh_session 192.0.2.78/32 /proc/400"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v; rails (-want +got):\n%s", err, diff)
	}
}

// deny is a file system that some files of cannot be read.
type deny struct {
	fstest.MapFS
	names []string
}

func (d deny) Open(name string) (fs.File, error) {
	if slices.Contains(d.names, name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return d.MapFS.Open(name)
}

func TestFind(t *testing.T) {
	root := deny{fstest.MapFS{
		"etc/resolv.conf":                        {Data: []byte("nameserver 127.0.0.53\n")},
		"run/systemd/resolve/resolv.conf":        {Data: []byte("nameserver 192.0.2.53\nnameserver 192.0.2.53\n")},
		"etc/systemd/timesyncd.conf.d/a.conf":    {Data: []byte("NTP=192.0.2.123\n")},
		"etc/systemd/timesyncd.conf.d/a.off":     {Data: []byte("NTP=192.0.2.9\n")},
		"etc/chrony/sources.d/x.sources":         {Data: []byte("server 192.0.2.124\n")},
		"run/systemd/netif/leases/2":             {Data: []byte("ROUTER=192.0.2.1\nDNS=192.0.2.54\n")},
		"etc/systemd/resolved.conf":              {Data: []byte("DNS=0.0.0.0 ff02::fb\n")},
		"run/NetworkManager/no-stub-resolv.conf": {},
	}, []string{"run/NetworkManager/no-stub-resolv.conf"}}
	f := Finder{Root: root, Interfaces: func() ([]net.Addr, error) {
		return []net.Addr{&net.IPNet{IP: net.IPv4(127, 0, 0, 1)}, &net.IPNet{IP: net.ParseIP("2001:db8::10")}}, errors.New("one interface is gone")
	}}
	rails, err := f.Find()
	var got []string
	for _, r := range rails {
		got = append(got, r.Name+" "+r.Prefix.String())
	}
	want := []string{
		"gateway 192.0.2.1/32", "own_address 127.0.0.1/32", "own_address 2001:db8::10/128",
		"resolver 192.0.2.53/32", "resolver 192.0.2.54/32", "time_server 192.0.2.123/32", "time_server 192.0.2.124/32",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rails (-want +got):\n%s", diff)
	}
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "one interface is gone") || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("got %v, want what could not be read, and nothing of what is absent", err)
	}
}

func FuzzParsers(f *testing.F) {
	f.Add([]byte("nameserver 192.0.2.1\nDNS=192.0.2.1\nserver 192.0.2.1\nREMOTE=1\nREMOTE_HOST=192.0.2.1\n"))
	f.Add([]byte("eth0\t00000000\t010200C0\t0003\t0\n"))
	f.Add([]byte("00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003 eth0\n"))
	f.Add([]byte(line("0100007F:0016", "0100007F:8000", "01", "20")))
	f.Add(record(nativeUtmp(), userProcess, 7, "192.0.2.1", "192.0.2.1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, addrs := range [][]netip.Addr{
			parseRoutes4(b), parseRoutes6(b), parseResolvConf(b), parseAssignments(b, "DNS"), parseTimeServers(b),
		} {
			for _, a := range addrs {
				if !a.IsValid() || a.Is4In6() {
					t.Errorf("got the address %v", a)
				}
			}
		}
		for _, l := range parseUtmp(b, nativeUtmp()) {
			if !l.peer.IsValid() || l.pid <= 0 {
				t.Errorf("got the login %v", l)
			}
		}
		parseLogind(b)
		parseSockets(b).peers([]string{"20"})
		isSessionTitle(string(b))
		root := fstest.MapFS{"etc/resolv.conf": {Data: b}, "proc/net/route": {Data: b}, "run/utmp": {Data: b}}
		if rails, err := (Finder{Root: root}).Find(); err != nil || len(rails) > MaxRails {
			t.Errorf("got %d rails, %v", len(rails), err)
		}
	})
}
