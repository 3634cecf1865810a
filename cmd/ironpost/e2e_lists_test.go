package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

const listedRule = `title: A listed address
id: 7d2c1f5a-93b1-4f0c-a6d0-3a4d1c7f9f01
level: high
logsource: {product: ironpost, service: log}
detection:
  s:
    source.threat.list: attackers
  condition: s
`

// TestListsBesideRules has a running detector, confined as it is, look addresses up in
// a list, also after the list changed.
func TestListsBesideRules(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"rules/listed.yaml": listedRule, "lists/attackers.netset": "192.0.2.0/28\n"})
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-file", "parser-syslog", "detector-rules", "sink-sqlite"}, NoStart: true,
	})
	appendConfig(t, h, fmt.Sprintf("[rules]\npaths = [%q]\nip_lists = [%q]\nreload_interval = \"1s\"\n",
		filepath.Join(dir, "rules"), filepath.Join(dir, "lists"))+follow(filepath.Join(h.Dir, "log"), ""))
	h.Start()
	log, err := os.OpenFile(h.Log("auth.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	fail := func(address string) {
		t.Helper()
		if _, err := fmt.Fprintf(log, "%s web1 sshd[7]: Failed password for root from %s port 4242 ssh2\n", time.Now().Format(time.RFC3339), address); err != nil {
			t.Fatal(err)
		}
	}
	alerts := func() int {
		var list []struct{ Title string }
		h.JSON(&list, "alerts", "list")
		return len(list)
	}
	fail("198.51.100.7")
	fail("192.0.2.3")
	h.Wait(30*time.Second, "the alert of the listed address", func() bool { return alerts() == 1 })

	if err := os.WriteFile(filepath.Join(dir, "lists", "attackers.netset"), []byte("198.51.100.0/24\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.Wait(30*time.Second, "the alert of the address that is listed now", func() bool {
		fail("198.51.100.7")
		return alerts() >= 2
	})
}
