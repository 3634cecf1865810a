package resident

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

func FuzzCgroup(f *testing.F) {
	f.Add([]byte(docker(idA)))
	f.Add([]byte("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + idA + ".scope/container\n"))
	f.Add([]byte("0::/a:b:cri-containerd:" + idB + "\n2:x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c := ContainerIn(b); c.ID != "" && (!isID(c.ID) || !bytes.Contains(b, []byte(c.ID))) || c.ID == "" && c.Delegate != "" {
			t.Errorf("got %+v", c)
		}
	})
}

func FuzzSockets(f *testing.F) {
	f.Add([]byte(tableHeader+line("0.0.0.0:22", "0A", 11)+line("10.0.0.1:22", "01", 13)), true)
	f.Add([]byte(tableHeader+line("[::]:53", "07", 21)), false)
	f.Fuzz(func(t *testing.T, b []byte, tcp bool) {
		p := UDP
		if tcp {
			p = TCP
		}
		got, err := parseSockets(bytes.NewReader(b), p)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > bytes.Count(b, []byte("\n"))+1 {
			t.Errorf("got %d sockets of fewer lines", len(got))
		}
		for _, k := range got {
			if !k.local.IsValid() || k.local.Port() == 0 || k.inode == 0 || tcp && k.connected {
				t.Errorf("got %+v", k)
			}
		}
	})
}

func FuzzAddresses(f *testing.F) {
	f.Add([]byte(trie("172.17.0.2", "10.0.0.1")))
	f.Add([]byte("fd770000000000000000000000000002 02 40 00 80 eth0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, a := range parseTrie(b) {
			if !a.Is4() {
				t.Errorf("got %v", a)
			}
		}
		for _, a := range parseInet6(b) {
			if !a.IsValid() {
				t.Error("got an invalid address")
			}
		}
	})
}

func FuzzProcess(f *testing.F) {
	f.Add([]byte(stat(7, "a) b (c", 4711)))
	f.Add([]byte("Name:\tx\nUid:\t1\t2\t3\t4\n"))
	f.Add([]byte("docker-proxy\x00-proto\x00tcp\x00-host-port\x0080\x00-container-ip\x00::1\x00-container-port\x001\x00"))
	f.Add([]byte("12.34 5.6"))
	f.Add([]byte("root:x:0:0::/:\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		name, started, ok := parseStat(b)
		if ok && started >= 1<<40 {
			t.Errorf("got start %d", started)
		}
		if s := printable(name); len(s) > 256 || !utf8.ValidString(s) || bytes.ContainsAny([]byte(s), ",\n\x1b") {
			t.Errorf("printable(%q): got %q", name, s)
		}
		parseUID(b)
		parseCapabilities(b)
		parsePasswd(b, 0)
		if d, ok := parseUptime(b); ok && d < 0 {
			t.Errorf("got %v", d)
		}
		if _, to, ok := parseProxy(b); ok && (!to.to.IsValid() || to.protocol == 0) {
			t.Errorf("got %+v", to)
		}
		if inode, ok := parseLink(string(b), "socket"); ok && !bytes.HasPrefix(b, []byte("socket:[")) {
			t.Errorf("got inode %d of %q", inode, b)
		}
	})
}
