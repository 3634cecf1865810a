package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// debian is a root file system with packages in Debian's database, each of which has one
// program: busybox under another name.
func debian(t *testing.T, packages ...string) *bytes.Buffer {
	t.Helper()
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("needs a static busybox; on Debian and Ubuntu: apt-get install busybox-static")
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	add := func(name string, mode int64, data []byte) {
		t.Helper()
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data)), ModTime: time.Unix(1, 0)}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	add("busybox", 0o755, program)
	add("etc/os-release", 0o644, []byte("ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n"))
	var status strings.Builder
	for _, p := range packages {
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0-1\nMaintainer: none\nDescription: none\n\n", p)
		add("usr/bin/busybox-"+p, 0o755, program)
		add("var/lib/dpkg/info/"+p+".list", 0o644, []byte("/.\n/usr\n/usr/bin\n/usr/bin/busybox-"+p+"\n"))
	}
	add("var/lib/dpkg/status", 0o644, []byte(status.String()))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &out
}

// advisoryOf is a record in the form of OSV about a package of Debian 12.
func advisoryOf(id, name string) string {
	return fmt.Sprintf(`{"schema_version":"1.7.0","id":%q,"modified":%q,"summary":"A flaw",`+
		`"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:N"}],`+
		`"affected":[{"package":{"ecosystem":"Debian:12","name":%q},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2.0-1"}]}]}]}`,
		id, time.Now().UTC().Format(time.RFC3339), name)
}

// findingAlert is an element of `alerts list -o json`.
type findingAlert struct {
	Time     time.Time         `json:"time"`
	RuleID   string            `json:"rule_id"`
	Severity string            `json:"severity"`
	TraceID  string            `json:"trace_id"`
	Entities map[string]string `json:"entities"`
}

// shop is a machine with a dockerd and a host, which knows that packages of two images are
// vulnerable. One of the packages is known to be exploited.
type shop struct {
	docker *hosttest.Docker
	host   *hosttest.Host
}

// newShop returns when the images are in the inventory, as they are on a machine at work. A policy
// isolates containers that use a vulnerable package.
func newShop(t *testing.T) *shop {
	t.Helper()
	d := guardDocker(t)
	for repo, packages := range map[string][]string{"shop": {"acme", "quiet"}, "legacy": {"acme", "quiet", "hunted"}} {
		d.Call(nil, http.MethodPost, "/images/create?fromSrc=-&repo="+repo+"&tag=1", debian(t, packages...), "application/x-tar")
	}
	dir := writeFiles(t, map[string]string{
		"advisories/acme.json":   advisoryOf("CVE-2026-0001", "acme"),
		"advisories/hunted.json": advisoryOf("CVE-2026-0002", "hunted"),
		"advisories/known_exploited_vulnerabilities.json": `{"title":"CISA Catalog of Known Exploited Vulnerabilities","catalogVersion":"2026.01.01","dateReleased":"2026-01-01T00:00:00.0000Z","count":1,` +
			`"vulnerabilities":[{"cveID":"CVE-2026-0002","vendorProject":"Acme","product":"Hunted","vulnerabilityName":"Hunted","dateAdded":"2026-01-01","shortDescription":"","requiredAction":"","dueDate":"2026-02-01","knownRansomwareCampaignUse":"Unknown","notes":"","cwes":[]}]}`,
		"policies/loaded.yaml": `name: loaded
order: 1
mode: enforce
match:
  severity: high
  rule: [vulnerable_package_in_use]
  name: ["*"]
actions: [net-isolate]
ttl: 1h
`,
	})
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"scanner-sbom", "enforcer-docker", "sink-sqlite"},
		Config:  fmt.Sprintf("docker_socket = %q\n[container]\npolicies = [%q]\n", d.Socket, filepath.Join(dir, "policies")),
	})
	if out, err := h.CLI("--config", h.ConfigFile(), "vulndb", "import", filepath.Join(dir, "advisories")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := h.CLI("mode", "enforce"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"scanner-sbom", "enforcer-docker"} {
		h.Wait(time.Minute, name+" runs", func() bool { return h.Plugin(name).State == "running" })
	}
	// The images are known before containers start, as they are on a machine at work.
	h.Wait(time.Minute, "the images are in the inventory, with what the advisories say of them", func() bool {
		return len(holdings(h, "--cve", "CVE-2026-0001")) == 2 && len(holdings(h, "--cve", "CVE-2026-0002")) == 1
	})
	return &shop{d, h}
}

// alerts are all that were raised.
func (s *shop) alerts() (all []findingAlert) {
	s.host.JSON(&all, "alerts", "list")
	return all
}

// start starts a container that sleeps.
func (s *shop) start(name, image, program string) (id string) {
	var made struct{ ID string }
	s.docker.Call(&made, http.MethodPost, "/containers/create?name="+name, strings.NewReader(fmt.Sprintf(
		`{"Image":%q,"Cmd":[%q,"sleep","1000"],"StopSignal":"SIGKILL","HostConfig":{"NetworkMode":"front"}}`, image, program)), "application/json")
	s.docker.Call(nil, http.MethodPost, "/containers/"+name+"/start", http.NoBody, "")
	return made.ID
}

// holding is an element of `inventory list -o json`.
type holding struct {
	Target string `json:"target"`
	Name   string `json:"name"`
}

// holdings asks what the inventory has.
func holdings(h *hosttest.Host, filter ...string) (out []holding) {
	h.JSON(&out, append([]string{"inventory", "list"}, filter...)...)
	return out
}
