package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// postgres is a server of the test's own.
type postgres struct {
	t                       *testing.T
	in                      io.Writer
	out                     *bufio.Scanner
	address, user, password string
}

func startPostgres(t *testing.T) *postgres {
	t.Helper()
	if found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); err != nil || len(found) == 0 {
		t.Skip("no PostgreSQL here; install the package postgresql")
	}
	cmd := exec.Command(hosttest.Compile(t, "./plugins/internal/pgtest/testdata/pgserve"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	p := &postgres{t: t, in: in, out: bufio.NewScanner(out)}
	words := strings.Fields(p.answer())
	p.address, p.user, p.password = words[0], words[1], words[2]
	return p
}

func (p *postgres) answer() string {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatalf("PostgreSQL does not answer: %v", p.out.Err())
	}
	rest, ok := strings.CutPrefix(p.out.Text(), "ok")
	if !ok {
		p.t.Fatal(p.out.Text())
	}
	return strings.TrimSpace(rest)
}

func (p *postgres) do(command string) string {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, command); err != nil {
		p.t.Fatal(err)
	}
	return p.answer()
}

// TestPostgresAnswersAsSQLite runs both stores beside each other: they give the same
// answers. Then the server is killed: detection goes on, nobody waits, and when it is
// back PostgreSQL has everything, once.
func TestPostgresAnswersAsSQLite(t *testing.T) {
	t.Parallel()
	server := startPostgres(t)
	dir := writeFiles(t, map[string]string{"rules/ssh.yaml": bruteForce, "password": server.password + "\n"})
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-file", "parser-syslog", "detector-rules", "sink-sqlite", "sink-postgres"}, NoStart: true,
	})
	appendConfig(t, h, fmt.Sprintf(`[rules]
paths = [%q]
[sink_sqlite]
keep_events = true
[sink_postgres]
url = "postgres://%s@%s/postgres"
password = "file:%s"
timeout = "2s"
retry_max = "200ms"
`, filepath.Join(dir, "rules"), server.user, server.address, filepath.Join(dir, "password"))+follow(filepath.Join(h.Dir, "log"), ""))
	h.Start()

	raised, at := 0, time.Now().UTC().Add(-2*time.Hour).Truncate(time.Second)
	attack := func(n int) {
		var lines strings.Builder
		for range n {
			raised++
			for range 5 {
				at = at.Add(time.Second)
				fmt.Fprintf(&lines, "%s web1 sshd[8]: Failed password for root from 10.9.0.%d port 4711 ssh2\n", at.Format(time.RFC3339), raised)
			}
		}
		appendTo(t, h.Log("auth.log"), lines.String())
	}
	ask := func(args ...string) string {
		t.Helper()
		out, err := h.CLI(append(args, "-o", "json", "--limit", "1000")...)
		if err != nil {
			return err.Error()
		}
		var indented bytes.Buffer
		if err := json.Indent(&indented, []byte(out), "", " "); err != nil {
			t.Fatal(err)
		}
		return indented.String()
	}
	count := func(store string) int {
		var alerts []struct{}
		if h.Try(&alerts, "alerts", "list", "--limit", "1000", "--store", store) != nil {
			return -1
		}
		return len(alerts)
	}
	same := func() {
		t.Helper()
		for _, args := range [][]string{
			{"alerts", "list"},
			{"alerts", "list", "--where", "src_ip=10.9.0.3"},
			{"alerts", "list", "--severity", "high", "--state", "open"},
			{"actions", "list"},
		} {
			if diff := cmp.Diff(ask(append(args, "--store", "sink-sqlite")...), ask(append(args, "--store", "sink-postgres")...)); diff != "" {
				t.Errorf("%v (-SQLite +PostgreSQL):\n%s", args, diff)
			}
		}
		if diff := cmp.Diff(ask("alerts", "list"), ask("alerts", "list", "--store", "sink-sqlite")); diff != "" {
			t.Errorf("without --store (-got +sink-sqlite):\n%s", diff)
		}
	}
	attack(10)
	h.Wait(time.Minute, "both have the alerts", func() bool { return count("sink-sqlite") == raised && count("sink-postgres") == raised })
	same()

	if _, err := h.CLI("alerts", "list", "--store", "sink-oracle"); err == nil || !strings.Contains(err.Error(), "sink-postgres, sink-sqlite") {
		t.Errorf("an unknown store: got %v, want the names of those there are", err)
	}
	var one []struct{ ID string }
	h.JSON(&one, "alerts", "list", "--limit", "1")
	if _, err := h.CLI("alerts", "ack", one[0].ID, "--note", "mine", "--store", "sink-postgres"); err != nil {
		t.Error(err)
	}
	if got := server.do("value postgres SELECT string_agg(state || ' ' || note, ',') FROM ironpost.states"); got != "acknowledged mine" {
		t.Errorf("got %q, want the change in PostgreSQL", got)
	}
	var told []struct{ ID string }
	h.JSON(&told, "alerts", "list", "--state", "acknowledged", "--store", "sink-sqlite")
	if len(told) != 1 || told[0] != one[0] {
		t.Errorf("SQLite has %v acknowledged, want %v: the other store is told too", told, one)
	}

	pid := h.Plugin("sink-postgres").PID
	server.do("kill")
	attack(20)
	h.Wait(time.Minute, "detection goes on while PostgreSQL is down", func() bool { return count("sink-sqlite") == raised })
	h.Wait(time.Minute, "the plugin says what is wrong", func() bool {
		out, err := h.CLI("plugin", "info", "sink-postgres")
		return err == nil && strings.Contains(out, server.address) && strings.Contains(out, "wait in")
	})
	var closed []struct{ Missed []string }
	var two []struct{ ID string }
	h.JSON(&two, "alerts", "list", "--limit", "2", "--store", "sink-sqlite")
	h.JSON(&closed, "alerts", "close", two[0].ID, two[1].ID, "--note", "not there")
	if len(closed) != 2 || len(closed[0].Missed) != 1 || !strings.HasPrefix(closed[0].Missed[0], "sink-postgres: ") || !strings.Contains(closed[0].Missed[0], server.address) {
		t.Errorf("closed while a store is away: got %+v, want that one named, and why", closed)
	} else if len(closed[1].Missed) != 1 || !strings.HasPrefix(closed[1].Missed[0], "sink-postgres: left out") {
		t.Errorf("closed next: got %+v, want the store left out", closed[1])
	}
	server.do("start")
	h.Wait(time.Minute, "PostgreSQL has what came meanwhile", func() bool { return count("sink-postgres") == raised })
	h.Wait(time.Minute, "the plugin is well again", func() bool { return h.Plugin("sink-postgres").Health == "ok" })
	if p := h.Plugin("sink-postgres"); p.PID != pid || p.Restarts != 0 {
		t.Errorf("the plugin was ended for a server that is down: %+v", p)
	}
	h.Wait(time.Minute, "all log events are there", func() bool {
		return server.do("value postgres SELECT count(*) FROM ironpost.logs") == fmt.Sprint(5*raised)
	})
	out, err := h.CLI("config", "show")
	if err != nil || strings.Contains(out+h.Output(), server.password) {
		t.Errorf("the password is shown or logged, or %v", err)
	}
}
