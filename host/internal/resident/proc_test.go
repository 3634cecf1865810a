package resident

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseCgroup(t *testing.T) {
	const pod = "kubepods-burstable-pod2f1d9c0a_77b1_4c3e_9a57_0d8e0a1b2c3d.slice"
	for _, tt := range []struct {
		name, in string
		want     Container
	}{
		{"docker, version 1", "12:pids:/docker/" + idA + "\n1:name=systemd:/docker/" + idA + "\n0::/\n", Container{ID: idA}},
		{"docker, version 2, cgroupfs", "0::/docker/" + idA + "\n", Container{ID: idA}},
		{"docker, systemd", "0::/system.slice/docker-" + idA + ".scope\n", Container{ID: idA}},
		{"docker, a group of its own below", "0::/system.slice/docker-" + idA + ".scope/init.scope\n", Container{ID: idA}},
		{"docker, another parent", "0::/batch/nightly/" + idA + "\n", Container{ID: idA}},
		{"kubernetes, cgroupfs", "0::/kubepods/besteffort/pod2f1d9c0a-77b1-4c3e-9a57-0d8e0a1b2c3d/" + idA + "\n", Container{ID: idA}},
		{"containerd", "0::/kubepods.slice/kubepods-burstable.slice/" + pod + "/cri-containerd-" + idA + ".scope\n", Container{ID: idA}},
		{"containerd, mixed drivers", "0::/system.slice/containerd.service/" + pod + ":cri-containerd:" + idA + "\n", Container{ID: idA}},
		{"cri-o", "0::/kubepods.slice/" + pod + "/crio-" + idA + ".scope\n", Container{ID: idA}},
		{"its monitor is no container", "0::/kubepods.slice/" + pod + "/crio-conmon-" + idA + ".scope\n", Container{}},
		{"podman", "0::/machine.slice/libpod-" + idA + ".scope/container\n", Container{ID: idA}},
		{"podman's monitor", "0::/machine.slice/libpod-conmon-" + idA + ".scope\n", Container{}},
		{
			"podman of a user", "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + idA + ".scope/container\n",
			Container{ID: idA, Delegate: "1000"},
		},
		{"a user's own invention", "0::/user.slice/user-33.slice/user@33.service/docker-" + idA + ".scope\n", Container{ID: idA, Delegate: "33"}},
		{"an invention of the root of LXC", "0::/lxc.payload.web/docker-" + idA + ".scope\n", Container{}},
		{"of an older LXC", "4:cpu:/lxc/web/docker/" + idA + "\n", Container{}},
		{"of systemd-nspawn", "0::/machine.slice/systemd-nspawn@web.service/payload/" + idA + "\n", Container{}},
		{"of a machine of systemd", "0::/machine.slice/machine-web.scope/payload/docker/" + idA + "\n", Container{}},
		{"an engine in a container", "0::/docker/" + idA + "/docker/" + idB + "\n", Container{ID: idA}},
		{"seen from another root", "0::/../../docker/" + idA + "\n", Container{ID: idA}},
		{"hierarchies that disagree", "2:cpu:/docker/" + idA + "\n1:pids:/docker/" + idB + "\n", Container{}},
		{"a service", "0::/system.slice/ssh.service\n", Container{}},
		{"the root", "0::/\n", Container{}},
		{"no id: too short", "0::/docker/" + idA[1:] + "\n", Container{}},
		{"no id: too long", "0::/docker/0" + idA + "\n", Container{}},
		{"no id: upper case", "0::/docker/" + strings.ToUpper(idA) + "\n", Container{}},
		{"no id: not alone", "0::/x" + idA + "\n", Container{}},
		{"no lines of that form", "docker\n:\n" + idA, Container{}},
		{"nothing", "", Container{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ContainerIn([]byte(tt.in)); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestParseSockets(t *testing.T) {
	for _, tt := range []struct {
		name     string
		in       string
		protocol Protocols
		want     []string
	}{
		{
			"listening alone, and nothing behind the first that does not", tableHeader + line("0.0.0.0:22", "0A", 11) + line("10.0.0.1:8080", "0A", 12) +
				line("10.0.0.1:22", "01", 13) + line("0.0.0.0:23", "0A", 14), TCP, []string{"0.0.0.0:22 11 false", "10.0.0.1:8080 12 false"},
		},
		{
			"bound datagrams, of one peer or not", tableHeader + line("0.0.0.0:53", "07", 21) + line("10.0.0.1:40000", "01", 22) + line("10.0.0.1:53", "07", 23),
			UDP,
			[]string{"0.0.0.0:53 21 false", "10.0.0.1:40000 22 true", "10.0.0.1:53 23 false"},
		},
		{"IPv6", tableHeader + line("[::]:80", "0A", 31) + line("[2001:db8::1]:81", "0A", 32), TCP, []string{"[::]:80 31 false", "[2001:db8::1]:81 32 false"}},
		{"without an inode or a port", tableHeader + line("0.0.0.0:22", "0A", 0) + line("0.0.0.0:0", "0A", 5), TCP, nil},
		{"cut", tableHeader + line("0.0.0.0:22", "0A", 11)[:60], TCP, nil},
		{"a line without an end", tableHeader + strings.Repeat("x", 1<<16), TCP, nil},
		{"nothing", "", TCP, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseSockets(strings.NewReader(tt.in), tt.protocol)
			if err != nil {
				t.Fatal(err)
			}
			var text []string
			for _, k := range got {
				text = append(text, fmt.Sprint(k.local, " ", k.inode, " ", k.connected))
			}
			if diff := cmp.Diff(tt.want, text); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseAddresses(t *testing.T) {
	want := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("172.17.0.2")}
	if diff := cmp.Diff(want, parseTrie([]byte(trie("172.17.0.2"))), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
	six := "fd770000000000000000000000000002 02 40 00 80 eth0\nshort 1\n00000000000000000000000000000001 01 80 10 80       lo\n"
	want = []netip.Addr{netip.MustParseAddr("fd77::2"), netip.MustParseAddr("::1")}
	if diff := cmp.Diff(want, parseInet6([]byte(six)), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}

func TestParseStat(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		started        uint64
		ok             bool
	}{
		{"plain", stat(7, "sshd", 4711), "sshd", 4711, true},
		{"a name that looks like more", stat(7, ") R 1 (a b", 4711), ") R 1 (a b", 4711, true},
		{"a line feed in it", stat(7, "a\nb", 4711), "a\nb", 4711, true},
		{"cut", "7 (sshd) S 1 1", "", 0, false},
		{"no number", strings.Replace(stat(7, "sshd", 4711), "4711", "x", 1), "", 0, false},
		{"parentheses the wrong way round", ")(", "", 0, false},
		{"nothing", "", "", 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name, started, ok := parseStat([]byte(tt.in))
			if ok != tt.ok || ok && (name != tt.want || started != tt.started) {
				t.Errorf("got %q, %d, %v, want %q, %d, %v", name, started, ok, tt.want, tt.started, tt.ok)
			}
		})
	}
}

func TestParseProxy(t *testing.T) {
	args := func(words ...string) []byte { return []byte(strings.Join(words, "\x00") + "\x00") }
	for _, tt := range []struct {
		name string
		in   []byte
		want string
	}{
		{
			"docker's", args("/usr/bin/docker-proxy", "-proto", "tcp", "-host-ip", "0.0.0.0", "-host-port", "8080", "-container-ip", "172.17.0.2", "-container-port", "80"),
			"8080 1 172.17.0.2:80",
		},
		{"long options", args("docker-proxy", "--proto", "udp", "--host-port", "53", "--container-ip", "fd00::2", "--container-port", "5353"), "53 2 [fd00::2]:5353"},
		{"another protocol", args("docker-proxy", "-proto", "sctp", "-host-port", "53", "-container-ip", "172.17.0.2", "-container-port", "80"), ""},
		{"no address", args("docker-proxy", "-proto", "tcp", "-host-port", "53", "-container-ip", "web", "-container-port", "80"), ""},
		{"a port beyond any", args("docker-proxy", "-proto", "tcp", "-host-port", "99999", "-container-ip", "172.17.0.2", "-container-port", "80"), ""},
		{"another program", args("nginx", "-g", "daemon off;"), ""},
		{"nothing", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if port, to, ok := parseProxy(tt.in); ok {
				got = fmt.Sprint(port, " ", to.protocol, " ", to.to)
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestParseSmall(t *testing.T) {
	if got, ok := parseUID([]byte("Name:\tx\nUid:\t1000\t33\t0\t0\n")); !ok || got != 33 {
		t.Errorf("got user %d, %v, want the effective one, 33", got, ok)
	}
	if _, ok := parseUID([]byte("Uid:\t1\n")); ok {
		t.Error("a user of half a line was read")
	}
	if got, ok := parseUptime([]byte("12.34 56.78\n")); !ok || got != 12*time.Second+340*time.Millisecond {
		t.Errorf("got %v, %v, want 12.34 s", got, ok)
	}
	if got := parsePasswd([]byte("root:x:0:0::/:\nwww-data:x:33:33::/:\nodd:x:033:1\n"), 33); got != "www-data" {
		t.Errorf("got %q, want www-data", got)
	}
	for in, want := range map[string]string{
		"a b": "a b", "evil\x1b[2J\n": "evil?[2J?", "a,b": "a?b", "\xff\xfe": "?", strings.Repeat("x", 5000): strings.Repeat("x", 256), "größe": "größe",
		"\u202egnp.exe": "?gnp.exe",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q): got %q, want %q", in, got, want)
		}
	}
}
