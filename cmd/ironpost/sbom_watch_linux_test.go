package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
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

// TestVulnerableContainers: ten containers have vulnerable packages, one of which runs
// its own and one of which is known to be exploited. There are two alerts, and the policy
// isolates the first; everything else is inventory.
func TestVulnerableContainers(t *testing.T) {
	t.Parallel()
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
	h.Wait(time.Minute, "the images are in the inventory", func() bool {
		return len(holdings(h, "--package", "acme")) == 2
	})
	alerts := func() (all []findingAlert) {
		h.JSON(&all, "alerts", "list")
		return all
	}
	if early := alerts(); len(early) != 0 {
		t.Errorf("before any container ran: %v", early)
	}

	ids := map[string]string{}
	for i := range 10 {
		name, image, program := fmt.Sprintf("c%d", i), "shop:1", "/busybox"
		switch i {
		case 3:
			program = "/usr/bin/busybox-acme"
		case 7:
			image = "legacy:1"
		}
		var made struct{ ID string }
		d.Call(&made, http.MethodPost, "/containers/create?name="+name, strings.NewReader(fmt.Sprintf(
			`{"Image":%q,"Cmd":[%q,"sleep","1000"],"StopTimeout":0,"HostConfig":{"NetworkMode":"front"}}`, image, program)), "application/json")
		ids[name] = made.ID
		d.Call(nil, http.MethodPost, "/containers/"+name+"/start", http.NoBody, "")
		t.Cleanup(func() { d.Call(nil, http.MethodDelete, "/containers/"+name+"?force=1", http.NoBody, "") })
	}
	started := time.Now()
	t.Cleanup(func() {
		if t.Failed() {
			for _, args := range [][]string{{"inventory", "list"}, {"alerts", "list"}, {"plugin", "list"}, {"--config", h.ConfigFile(), "scan", "container:c2"}} {
				out, err := h.CLI(args...)
				t.Logf("%v: %v\n%s", args, err, out)
			}
		}
	})
	h.Wait(time.Minute, "there are two alerts", func() bool { return len(alerts()) >= 2 })
	t.Logf("two alerts were stored %v after the tenth container was started", time.Since(started).Round(time.Millisecond))
	h.Wait(time.Minute, "all containers are in the inventory", func() bool { return len(holdings(h, "--package", "acme")) == 12 })
	h.Wait(time.Minute, "the first is isolated", func() bool { return len(endpoints(d, "c3")) == 0 })

	all := alerts()
	slices.SortFunc(all, func(a, b findingAlert) int { return strings.Compare(b.RuleID, a.RuleID) })
	if len(all) != 2 {
		t.Fatalf("%d alerts, want 2: %v", len(all), all)
	}
	for i, want := range []map[string]string{
		{"rule": "vulnerable_package_in_use", "container_id": ids["c3"], "package": "acme", "vulnerability": "CVE-2026-0001", "path": "/usr/bin/busybox-acme"},
		{"rule": "exploited_package", "container_id": ids["c7"], "package": "hunted", "vulnerability": "CVE-2026-0002"},
	} {
		got := all[i]
		got.Entities["rule"] = got.RuleID
		for key, value := range want {
			if got.Entities[key] != value {
				t.Errorf("alert %d: %s is %q, want %q", i, key, got.Entities[key], value)
			}
		}
		if got.Entities["version"] != "1.0-1" || got.Entities["fixed_version"] != "2.0-1" || !strings.HasPrefix(got.Entities["purl"], "pkg:deb/debian/") {
			t.Errorf("alert %d is about %v", i, got.Entities)
		}
		if took := got.Time.Sub(started); took > 0 {
			t.Logf("%s was raised %v after the tenth container was started", got.RuleID, took.Round(time.Millisecond))
		}
	}
	for name := range ids {
		if name != "c3" && len(endpoints(d, name)) != 1 {
			t.Errorf("%s is on %v, want that nobody touched it", name, endpoints(d, name))
		}
	}
	if used := holdings(h, "--package", "acme", "--in-use"); len(used) != 1 || used[0].Target != "container:"+ids["c3"] {
		t.Errorf("in use is %v, want that of c3 alone", used)
	}
	if found := holdings(h, "--cve", "CVE-2026-0002"); len(found) != 2 { // the image and its container
		t.Errorf("CVE-2026-0002 is found in %v", found)
	}

	// A package that is installed at run time, and a database that is edited by hand.
	exec := func(container string, command ...string) {
		t.Helper()
		var made struct{ ID string }
		d.Call(&made, http.MethodPost, "/containers/"+container+"/exec", strings.NewReader(fmt.Sprintf(`{"Cmd":["/busybox","sh","-c",%q]}`, strings.Join(command, "\n"))), "application/json")
		d.Call(nil, http.MethodPost, "/exec/"+made.ID+"/start", strings.NewReader(`{"Detach":false}`), "application/json")
	}
	exec("c1", "B=/busybox; $B cp /busybox /usr/bin/busybox-late; echo /usr/bin/busybox-late > /var/lib/dpkg/info/late.list",
		`$B printf 'Package: late\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.0\n\n' >> /var/lib/dpkg/status`)
	exec("c2", "B=/busybox; $B sed -i '/^Package: quiet/,/^$/d' /var/lib/dpkg/status")
	exec("c4", "B=/busybox; $B mkdir -p /tmp; $B cp /busybox /tmp/busybox-miner; /tmp/busybox-miner sleep 1000 >/dev/null 2>&1 &")
	rules := func() map[string]string {
		out := map[string]string{}
		for _, a := range alerts() {
			out[a.RuleID] = a.Entities["container_name"]
		}
		return out
	}
	h.Wait(time.Minute, "what was done at run time is told", func() bool { return len(rules()) >= 5 })
	want := map[string]string{
		"vulnerable_package_in_use": "c3", "exploited_package": "c7",
		"package_installed_at_run_time": "c1", "package_database_changed": "c2", "unowned_executable": "c4",
	}
	if got := rules(); fmt.Sprint(got) != fmt.Sprint(want) || len(alerts()) != len(want) {
		t.Errorf("alerts %v, want one of each of %v", got, want)
	}

	h.Wait(time.Minute, "of the database that was edited the rest is in the inventory", func() bool {
		return len(holdings(h, "--package", "acme")) == 12 && len(holdings(h, "--package", "quiet")) == 11
	})

	// A restart of everything tells nothing twice; a container that is removed is gone.
	if err := h.Stop(); err != nil {
		t.Fatal(err)
	}
	h.Start()
	d.Call(nil, http.MethodPost, "/containers/c9/kill", http.NoBody, "")
	var made struct{ ID string }
	d.Call(&made, http.MethodPost, "/containers/create?name=c10", strings.NewReader(`{"Image":"shop:1","Cmd":["/busybox","sleep","1000"]}`), "application/json")
	d.Call(nil, http.MethodPost, "/containers/c10/start", http.NoBody, "")
	h.Wait(time.Minute, "the new container is in the inventory", func() bool { return len(holdings(h, "--package", "acme")) == 13 })
	d.Call(nil, http.MethodDelete, "/containers/c10?force=1", http.NoBody, "")
	h.Wait(time.Minute, "the container that was removed is not", func() bool { return len(holdings(h, "--package", "acme")) == 12 })
	if got := alerts(); len(got) != len(want) {
		t.Errorf("after a restart there are %d alerts, want %d", len(got), len(want))
	}
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
