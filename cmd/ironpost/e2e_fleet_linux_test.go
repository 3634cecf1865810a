package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// fewLogins alerts at every login, but on all hosts at most twice a week.
const fewLogins = `id: root_login
title: Login of root
severity: low
detection:
  conditions: [{field: message, operator: contains, value: "Accepted password for root"}]
rate_limit: {count: 2, timeframe_secs: 604800, scope: fleet}
`

// member is one host of a fleet.
type member struct {
	*hosttest.Host
	t    *testing.T
	name string
	n    int
}

func joinFleet(t *testing.T, name string, redis *redisServer) *member {
	t.Helper()
	dir := writeFiles(t, map[string]string{
		"rules/ssh.yaml":   strings.Replace(bruteForce, "    group_by: src_ip\n", "    group_by: src_ip\n    scope: fleet\n", 1),
		"rules/login.yaml": fewLogins,
	})
	m := &member{t: t, name: name, Host: hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-file", "parser-syslog", "detector-rules", "enforcer-xdp", "sink-sqlite", "state-redis"}, NoStart: true,
	})}
	appendConfig(t, m.Host, fmt.Sprintf("[rules]\npaths = [%q]\n[enforcer_xdp]\nmin_severity = \"high\"\nttl = \"10m\"\n[state_redis]\naddress = %q\n", dir+"/rules", redis.address)+
		follow(m.Dir+"/log", ""))
	m.Host.Start()
	if _, err := m.CLI("mode", "enforce"); err != nil {
		t.Fatal(err)
	}
	m.follows("true")
	return m
}

// follows waits until the host knows the others' decisions, or does not any more.
func (m *member) follows(current string) {
	m.t.Helper()
	m.Wait(time.Minute, m.name+" follows the others: "+current, func() bool {
		var s struct {
			Fleet struct {
				Current bool `json:"current"`
			} `json:"fleet"`
		}
		return m.Try(&s, "status") == nil && fmt.Sprint(s.Fleet.Current) == current
	})
}

// guess appends a failed login from an address.
func (m *member) guess(address string) { m.t.Helper(); m.login("Failed", address) }

// login appends a login that failed or was accepted.
func (m *member) login(what, address string) {
	m.t.Helper()
	m.n++
	appendTo(m.t, m.Log("auth.log"), fmt.Sprintf("%s %s sshd[8]: %s password for root from %s port %d ssh2\n",
		time.Now().UTC().Format(time.RFC3339Nano), m.name, what, address, 4000+m.n))
}

// limited is how many alerts of fewLogins were held back.
func (m *member) limited() int {
	var rules []struct {
		ID      string `json:"id"`
		Limited int    `json:"rate_limited"`
	}
	if m.Try(&rules, "rules", "list") != nil {
		return -1
	}
	for _, r := range rules {
		if r.ID == "root_login" {
			return r.Limited
		}
	}
	return -1
}

func (m *member) blocks(address string) bool {
	var list []struct {
		Prefix string `json:"prefix"`
	}
	if m.Try(&list, "block", "list") != nil {
		return false
	}
	for _, b := range list {
		if b.Prefix == address+"/32" {
			return true
		}
	}
	return false
}

func (m *member) alerts() int {
	var alerts []struct{}
	if m.Try(&alerts, "alerts", "list", "--limit", "1000") != nil {
		return -1
	}
	return len(alerts)
}

// TestFleet has two hosts share a Redis: what an attacker does on both counts together, and
// both block him. While Redis hangs each goes on alone; then all is brought together.
func TestFleet(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	a, b := joinFleet(t, "web1", redis), joinFleet(t, "web2", redis)
	both := []*member{a, b}
	total := func() int { return a.alerts() + b.alerts() }
	expect := func(what, address string, alerts int) {
		t.Helper()
		for _, m := range both {
			m.Wait(time.Minute, what+": "+m.name+" blocks "+address, func() bool { return m.blocks(address) })
		}
		a.Wait(time.Minute, what+": alerts", func() bool { return total() == alerts })
	}

	const attacker, patient, loud = "203.0.113.9", "203.0.113.10", "203.0.113.11"
	for _, m := range []*member{a, b, a, b, a} {
		m.guess(attacker)
	}
	expect("three and two logins", attacker, 1)

	// An operator of the other host ends it for both.
	if _, err := b.CLI("block", "remove", attacker); err != nil {
		t.Fatal(err)
	}
	a.Wait(time.Minute, "web1 follows web2's operator", func() bool { return !a.blocks(attacker) })

	redis.signal(syscall.SIGSTOP)
	for range 2 {
		a.guess(patient)
	}
	for range 3 {
		b.guess(patient)
	}
	for range 5 {
		b.guess(loud)
	}
	b.Wait(time.Minute, "web2 decides alone", func() bool { return b.blocks(loud) })
	a.Wait(time.Minute, "web1 has read its log", func() bool {
		var s struct {
			Received uint64 `json:"received"`
		}
		return a.Try(&s, "status") == nil && s.Received == 5
	})
	if a.blocks(patient) || b.blocks(patient) || a.blocks(loud) {
		t.Error("a host blocks what it cannot know of")
	}
	redis.signal(syscall.SIGCONT)
	for _, m := range both {
		m.follows("true")
	}
	expect("what both counted apart", patient, 3)
	expect("what one decided alone", loud, 3)

	// Nothing comes twice: what has to come after another attack is there.
	for range 5 {
		a.guess("203.0.113.12")
	}
	expect("another attack", "203.0.113.12", 4)

	// A limit is one of both hosts.
	for _, m := range both {
		m.login("Accepted", "203.0.113.20")
		m.login("Accepted", "203.0.113.21")
	}
	a.Wait(time.Minute, "two of four logins are held back", func() bool { return a.limited()+b.limited() == 2 })
	a.Wait(time.Minute, "two of four logins are told", func() bool { return total() == 6 })
	a.Wait(time.Minute, "status says that hosts count together", func() bool { // a slow answer says otherwise for a moment
		out, err := a.CLI("status")
		return err == nil && strings.Contains(out, "with other hosts over state-redis")
	})
}

// TestStateWithoutServer: a state plugin that was told of no server is as if there were none.
func TestStateWithoutServer(t *testing.T) {
	t.Parallel()
	h := hosttest.Start(t, hosttest.Options{Plugins: []string{"detector-rules", "state-redis"}})
	h.Wait(time.Minute, "the plugin runs", func() bool { return h.Plugin("state-redis").State == "running" })
	out, err := h.CLI("status")
	if err != nil || strings.Contains(out, "counting") || strings.Contains(out, "decisions") {
		t.Errorf("status: %v\n%s", err, out)
	}
}
