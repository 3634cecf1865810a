package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestVulnerableContainers: ten containers have vulnerable packages, one of which runs
// its own and one of which is known to be exploited. There are two alerts, and the policy
// isolates the first; everything else is inventory.
func TestVulnerableContainers(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	d, h, alerts := s.docker, s.host, s.alerts
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
		ids[name] = s.start(name, image, program)
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
