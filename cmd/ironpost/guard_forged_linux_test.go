package main_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/nettest"
)

// forgery is an arena with a dockerd elsewhere, whose containers print what is in no
// log of the host's. The mode is enforce, and every grave alert about a container
// isolates it.
type forgery struct {
	*arena
	docker *hosttest.Docker
	// dockerd is the process whose namespace the containers' bridge is in.
	dockerd *exec.Cmd
	// log is the host's own auth.log.
	log string
	// ids are the containers, by name.
	ids map[string]string
}

// TestForgedLogs: containers print the lines of an sshd, in every form that is read,
// which name other addresses and other containers. Nobody is blocked, and nobody but
// the writer is isolated. The same lines in the host's own log do block.
func TestForgedLogs(t *testing.T) {
	nettest.Need(t, "ip", "nsenter", "unshare", "iptables", "ssh", "ssh-keygen", "/usr/sbin/sshd")
	f := &forgery{ids: map[string]string{}}
	f.docker = hosttest.StartDocker(t, func(name string, args ...string) *exec.Cmd {
		f.dockerd = exec.Command("unshare", append([]string{"--net", "sh", "-c", `ip link set lo up && exec "$0" "$@"`, name}, args...)...)
		return f.dockerd
	})
	dir := t.TempDir()
	f.log = filepath.Join(dir, "auth.log")
	policies := filepath.Join(dir, "policies")
	for path, text := range map[string]string{
		f.log: "",
		filepath.Join(policies, "all.yaml"): "name: all\norder: 1\nmode: enforce\nmatch: {severity: high, name: [\"*\"]}\n" +
			"actions: [net-isolate]\notherwise: pause\nttl: 10m\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f.arena = newArena(t, nettest.NewPair(t), hosttest.Options{
		Plugins: []string{"source-file", "source-docker", "parser-syslog", "parser-json", "detector-rules", "enforcer-xdp", "enforcer-docker", "sink-sqlite"},
		Config: fmt.Sprintf("docker_socket = %q\n[container]\npolicies = [%q]\n[source_file]\npaths = [%q]\n[enforcer_xdp]\nttl = \"10m\"\n[guard]\nmax_share = 100\n",
			f.docker.Socket, policies, f.log),
	})
	if _, err := f.CLI("mode", "enforce"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"source-docker", "enforcer-docker", "enforcer-xdp", "detector-rules"} {
		f.Wait(time.Minute, name+" runs", func() bool { return f.Plugin(name).State == "running" })
	}

	f.lie()
	f.server()
	f.control()
	f.mixed()
	f.settled()
}

// container runs a container with further options.
func (f *forgery) container(name, options string) {
	f.t.Helper()
	f.ids[name] = f.docker.Run(name, options)
}

// says runs a container that prints lines, by a program of some name, and lives on.
func (f *forgery) says(name, program string, lines ...string) {
	f.t.Helper()
	dir := f.t.TempDir()
	script := "#!/busybox sh\n/busybox cat <<'END'\n" + strings.Join(lines, "\n") + "\nEND\nexec /busybox sleep 600\n"
	if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		f.t.Fatal(err)
	}
	f.container(name, fmt.Sprintf(`"Cmd":["/opt/%s"],"HostConfig":{"Binds":[%q]}`, program, dir+":/opt:ro"))
}

// networks are the networks that a container is on, and its address on one of them.
func (f *forgery) networks(name string) (networks []string, addr netip.Addr) {
	f.t.Helper()
	var about struct {
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress string }
		}
	}
	f.docker.Call(&about, http.MethodGet, "/containers/"+name+"/json", http.NoBody, "")
	for _, n := range about.NetworkSettings.Networks {
		addr, _ = netip.ParseAddr(n.IPAddress)
	}
	return slices.Sorted(maps.Keys(about.NetworkSettings.Networks)), addr
}

// failures are lines of an sshd about wrong passwords from an address.
func failures(from netip.Addr, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("Failed password for root from %v port %d ssh2", from, 40000+i))
	}
	return out
}

// each maps lines.
func each(lines []string, f func(string) string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = f(l)
	}
	return out
}

// headed puts before a line what a syslog daemon does.
func headed(line string) string {
	return time.Now().Format(time.RFC3339Nano) + " web1 sshd[7]: " + line
}

// logs appends lines to the host's own log.
func (f *forgery) logs(lines ...string) {
	f.t.Helper()
	file, err := os.OpenFile(f.log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(strings.Join(each(lines, headed), "\n") + "\n"); err != nil {
		f.t.Fatal(err)
	}
}

// told waits for the alert about an address that a container raises, and checks that
// it is about that container.
func (f *forgery) told(writer string, addr netip.Addr) {
	f.t.Helper()
	var found alert
	f.Wait(time.Minute, fmt.Sprintf("the alert about what %s says of %v", writer, addr), func() bool {
		for _, a := range f.alerts() {
			if a.RuleID == "ssh_brute_force" && a.Entities["src_ip"] == addr.String() && a.Entities["container_id"] == f.ids[writer] {
				found = a
				return true
			}
		}
		return false
	})
	if found.Provenance != "container" || found.Evidence != "forgeable" || found.Entities["host"] != "" {
		f.t.Errorf("got alert %+v, want the forgeable evidence of a container, and no host", found)
	}
}

// isolated waits until a container is off its networks.
func (f *forgery) isolated(name string) {
	f.t.Helper()
	f.Wait(time.Minute, name+" is isolated", func() bool {
		on, _ := f.networks(name)
		return len(on) == 0
	})
}

// outside are addresses of the other end, about which nobody but the step of that
// name says anything.
func outside(step int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 0, byte(10 + step)}) }

// lie: containers print what an sshd would about the attacker's end and about
// another container.
func (f *forgery) lie() {
	for step := range 4 {
		assign(f.t, f.Attacker, outside(step))
	}
	f.container("innocent", `"Cmd":["/busybox","sleep","600"]`)
	f.container("bystander", `"Cmd":["/busybox","sleep","600"]`)
	_, neighbour := f.networks("innocent")
	if !neighbour.IsValid() {
		f.t.Fatal("the innocent container has no address")
	}
	object := func(line string) string {
		text, _ := json.Marshal(map[string]any{ // it always encodes
			"message": headed(line), "process": "sshd", "program": "sshd", "event_action": "ssh_failed_password", "host": "web1", "pid": 1,
			"container_id": f.ids["innocent"], "container_name": "innocent", "cgroup": "/docker/" + f.ids["innocent"], "dst_ip": neighbour.String(),
			"src_ip": outside(0).String(), "_UID": "0", "SYSLOG_IDENTIFIER": "sshd", "CONTAINER_ID_FULL": f.ids["innocent"],
		})
		return string(text)
	}
	record := func(line string) string {
		text, _ := json.Marshal(map[string]string{
			"log": headed(line), "stream": "stdout", "time": time.Now().UTC().Format(time.RFC3339Nano), "container_id": f.ids["innocent"],
		})
		return string(text)
	}
	about, innocent := failures(outside(0), 6), failures(neighbour, 6)
	f.says("plain", "sshd", slices.Concat(about, innocent)...)
	f.says("header", "acme", slices.Concat(each(about, headed), each(innocent, headed))...)
	f.says("object", "acme", slices.Concat(each(about, object), each(innocent, object))...)
	f.says("record", "acme", slices.Concat(each(about, record), each(innocent, record))...)
	// Nothing says that these are of an sshd.
	f.says("nobody", "acme", slices.Concat(about, innocent)...)
	for _, writer := range []string{"plain", "header", "object"} {
		f.told(writer, outside(0))
		f.isolated(writer)
	}
	f.told("plain", neighbour)
	f.told("header", neighbour)
}

// server: a real sshd in a container is attacked: the alert is about that container.
func (f *forgery) server() {
	dir := f.t.TempDir()
	for name, text := range map[string]string{
		"passwd": "root:x:0:0::/:/busybox\nsshd:x:101:101::/run/sshd:/busybox\n", "group": "root:x:0:\nsshd:x:101:\n", "shadow": "root:*:1::::::\n",
		"sshd_config": "HostKey /etc/key\nUsePAM no\nPidFile none\nUseDNS no\nPasswordAuthentication yes\nMaxAuthTries 6\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, "key")).CombinedOutput(); err != nil {
		f.t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	binds := []string{"/usr:/usr:ro", "/usr/lib:/lib:ro"}
	for _, name := range []string{"passwd", "group", "shadow", "sshd_config", "key"} {
		binds = append(binds, filepath.Join(dir, name)+":/etc/"+name+":ro")
	}
	if _, err := os.Stat("/usr/lib64"); err == nil {
		binds = append(binds, "/usr/lib64:/lib64:ro")
	}
	mounts, _ := json.Marshal(binds) // strings always encode
	f.container("server", fmt.Sprintf(`"Cmd":["/usr/sbin/sshd","-D","-e","-f","/etc/sshd_config"],"HostConfig":{"Binds":%s,"Tmpfs":{"/run/sshd":"mode=0755"}}`, mounts))
	_, to := f.networks("server")
	ask := filepath.Join(dir, "ask")
	if err := os.WriteFile(ask, []byte("#!/bin/sh\necho wrong\n"), 0o755); err != nil {
		f.t.Fatal(err)
	}
	var last string
	f.Wait(time.Minute, "sshd in the container refuses five passwords", func() bool {
		ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, "nsenter", "-t", fmt.Sprint(f.dockerd.Process.Pid), "-n", "ssh", "-F", "none", "-l", "mallory",
			"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
			"-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=5", "-o", "ConnectTimeout=10",
			to.String(), "true")
		cmd.Env = append(os.Environ(), "SSH_ASKPASS="+ask, "SSH_ASKPASS_REQUIRE=force")
		out, err := cmd.CombinedOutput()
		last = fmt.Sprint(err, " ", string(out))
		return strings.Contains(string(out), "Permission denied")
	})
	var found []alert
	defer func() {
		if f.t.Failed() {
			f.t.Logf("ssh: %s\nalerts: %+v", last, found)
		}
	}()
	f.Wait(time.Minute, "the alert about the sshd in the container", func() bool {
		found = f.alerts()
		return slices.ContainsFunc(found, func(a alert) bool {
			return a.RuleID == "ssh_brute_force" && a.Provenance == "container" && a.Entities["container_id"] == f.ids["server"] && a.Entities["user"] == "mallory"
		})
	})
	f.isolated("server")
}

// control: nobody is blocked for what containers said, and the same lines in the
// host's log block. The enforcer has judged what came before.
func (f *forgery) control() {
	if !f.reaches(outside(0), patience) || len(f.blocks()) != 0 {
		f.t.Errorf("got blocks %+v, want none for what containers say", f.blocks())
	}
	f.logs(failures(outside(1), 6)...)
	f.actionOn(outside(1), "applied")
	if f.reaches(outside(1), silence) {
		f.t.Errorf("%v is not blocked for the lines in the host's log", outside(1))
	}
	f.logs(failures(outside(0), 6)...)
	f.actionOn(outside(0), "applied")
}

// mixed: a container speaks between the lines of the host, about the same addresses,
// to take the proof from them, or to add to what they tell.
func (f *forgery) mixed() {
	f.logs(failures(outside(2), 4)...)
	f.logs(failures(outside(3), 1)...)
	f.says("between", "sshd", slices.Concat(failures(outside(2), 4), failures(outside(3), 4))...)
	// It speaks about itself in between, so that its lines are known to be read.
	itself := netip.MustParseAddr("198.51.100.7")
	f.says("between-too", "sshd", slices.Concat(failures(outside(2), 4), failures(outside(3), 4), failures(itself, 5))...)
	f.told("between-too", itself)
	f.logs(failures(outside(2), 1)...)
	got := f.actionOn(outside(2), "applied")
	for _, a := range f.alerts() {
		if a.ID == got.AlertID && (a.Evidence != "confirmed" || a.Provenance != "host" || a.Count != 5) {
			f.t.Errorf("got alert %+v, want five confirmed lines of the host", a)
		}
	}
}

// settled checks who was answered in the end: those of the host's log are blocked, and
// the writers isolated, by name.
func (f *forgery) settled() {
	var blocked []string
	for _, b := range f.blocks() {
		blocked = append(blocked, b.Prefix)
	}
	slices.Sort(blocked)
	if want := []string{outside(0).String() + "/32", outside(1).String() + "/32", outside(2).String() + "/32"}; !slices.Equal(blocked, want) {
		f.t.Errorf("got blocks of %v, want %v", blocked, want)
	}
	writers := map[string]bool{"plain": true, "header": true, "object": true, "record": true, "server": true, "between-too": true}
	for name := range f.ids {
		on, _ := f.networks(name)
		if len(on) == 0 && !writers[name] {
			f.t.Errorf("%s is isolated, and has written nothing that alerts", name)
		}
	}
	for _, a := range f.actions() {
		if a.Enforcer != "enforcer-docker" || a.Outcome != "applied" {
			continue
		}
		at := slices.IndexFunc(f.alerts(), func(x alert) bool { return x.ID == a.AlertID })
		if at < 0 || f.alerts()[at].Entities["container_id"] != a.Target {
			f.t.Errorf("%s of %.12s is not about the writer of its alert %s", a.Action, a.Target, cmp.Or(a.AlertID, "(none)"))
		}
	}
}
