package main_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/nettest"
)

// contactRule raises an alert for each contact of a port.
const contactRule = `id: contact
title: A port was contacted
severity: low
events: packet
detection:
  conditions:
    - {field: scope, value: destination}
    - {field: dst_port, value: 8080}
    - {field: syn, operator: gt, value: 0}
`

// TestContainerBehindPort: somebody scans a port that a real dockerd publishes, and
// the alert names the container behind it and what listens there: whether
// docker-proxy holds the port, or the kernel alone knows where it leads.
func TestContainerBehindPort(t *testing.T) {
	nettest.Need(t, "nmap", "nsenter", "ip", "iptables")
	rules := t.TempDir()
	if err := os.WriteFile(filepath.Join(rules, "contact.yaml"), []byte(contactRule), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, via string
		flags     []string
	}{
		{"docker-proxy", "", nil},
		{"translation alone", "conntrack,socket", []string{"--userland-proxy=false"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pair := nettest.NewPair(t)
			inside := func(name string, args ...string) *exec.Cmd {
				return pair.Victim.Command(context.Background(), name, args...)
			}
			// An address that no other dockerd has, whose containers would be as good.
			pid := os.Getpid()
			bip := fmt.Sprintf("--bip=10.%d.%d.1/24", 128+pid>>8%64, pid%256)
			d := hosttest.StartDocker(t, inside, append(tt.flags, bip)...)
			publish := func(name string, port int) string {
				return d.Run(name, fmt.Sprintf(`"Cmd":["/busybox","httpd","-f","-p","80"],"ExposedPorts":{"80/tcp":{}},"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"%d"}]}}`, port))
			}
			publish("first", 8081)
			id := publish("web", 8080)
			a := newArena(t, pair, hosttest.Options{
				Plugins: []string{"detector-network", "detector-rules", "sink-sqlite"}, Config: fmt.Sprintf("[rules]\npaths = [%q]\n", rules),
			})
			a.Wait(patience, "the container answers", func() bool {
				return pair.Attacker.Do(func() error {
					c, err := net.DialTimeout("tcp", netip.AddrPortFrom(pair.Victim.IP4, 8081).String(), patience)
					if err == nil {
						c.Close()
					}
					return err
				}) == nil
			})
			// On a busy machine a look may run out of its time, and the alert goes
			// out without; none names anybody else.
			var got alert
			a.Wait(time.Minute, "an alert names a container", func() bool {
				run(t, a.Attacker, time.Minute, "nmap", "-n", "-Pn", "-sT", "-p", "8080", pair.Victim.IP4.String())
				for _, got = range a.alerts() {
					if got.RuleID == "contact" && got.Entities["container_id"] != "" {
						return true
					}
				}
				return false
			})
			if got.Entities["container_id"] != id || got.Entities["process"] != "busybox" && got.Entities["process"] != "httpd" {
				t.Errorf("got %+v, want it to name container %s", got, id)
			}
			var state struct{ State struct{ Pid int } }
			d.Call(&state, http.MethodGet, "/containers/web/json", http.NoBody, "")
			server := strconv.Itoa(state.State.Pid)
			if got.Entities["pid"] != server || got.Details["dst_pid"] != server || got.Details["dst_container_id"] != id ||
				got.Details["container_role"] != "dst" || got.Details["dst_executable"] != "/busybox" || got.Details["dst_ambiguous"] != "" {
				t.Errorf("got %+v, want process %s of container %s", got, server, id)
			}
			if via := got.Details["dst_via"]; !strings.HasSuffix(via, "socket") || tt.via != "" && via != tt.via {
				t.Errorf("got a way by %s, want %s", via, tt.via)
			}
			var status struct {
				Attributions map[string]int `json:"attributions"`
				Warnings     []string       `json:"warnings"`
			}
			a.JSON(&status, "status")
			if status.Attributions["found"] == 0 || strings.Contains(strings.Join(status.Warnings, " "), "Alerts do not name") {
				t.Errorf("got status %+v, want it to count what was found", status)
			}
			// A scan of the host names nobody as its target, and tells whose ports
			// were tried. Closed ports make it a scan.
			run(t, a.Attacker, time.Minute, "nmap", "-n", "-Pn", "-sS", "-p", "8080,20000-20060", "--max-retries", "0", pair.Victim.IP4.String())
			scan := a.alertOf("port_scan", "src_ip", pair.Attacker.IP4.String())
			if scan.Entities["container_id"] != "" || scan.Details["dst_container_id"] != "" && scan.Details["dst_ambiguous"] != "true" {
				t.Errorf("got %+v, want no container as the target of a scan of the host", scan)
			}
		})
	}
}
