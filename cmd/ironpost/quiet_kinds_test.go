//go:build quiet && linux

package main_test

import (
	"context"
	"errors"
	"sync"
	"time"
)

// traffic is a kind of traffic of a quiet day.
type traffic struct {
	name string
	// matches select what arrives of it, in the words of iptables; @NAME is the
	// address of a machine. One that begins with "6:" is of that family alone.
	// The first kind that matches counts a packet.
	matches []string
	// run makes a round of it, and returns what was done in words; it fails when a
	// program does. Round 0 is a sample, round 1 the day. Without run the traffic
	// goes on by itself.
	run func(ctx context.Context, w *town, round int) (string, error)
	// check, at the end, says how those fared that go on by themselves.
	check func(ctx context.Context, w *town) (string, error)
}

const otherTraffic = "anything else"

// kinds is the quiet day. What a day spreads over its hours comes at once here;
// no rate is above what such a program reaches on a real day.
var kinds = []traffic{
	{name: "neighbour discovery", matches: []string{"6:-p icmpv6 --icmpv6-type 133", "6:-p icmpv6 --icmpv6-type 135", "6:-p icmpv6 --icmpv6-type 136", "6:-p icmpv6 --icmpv6-type 143"}, run: neighbours},
	{name: "mDNS, SSDP, NetBIOS", matches: []string{"-p udp -m multiport --dports 137,1900,5353,17500"}},
	{name: "DHCP", matches: []string{"-p udp -m multiport --dports 67,68"}, run: renewals},
	{name: "NTP, client and server", matches: []string{"-p udp -m multiport --ports 123"}, check: clocks},
	{name: "syslog over UDP", matches: []string{"-p udp --dport 514"}, run: messages},
	{name: "package upgrades", matches: []string{"-s @mirror -p tcp --sport 80"}, run: upgrades},
	{name: "builds: modules, git", matches: []string{"-s @mirror -p tcp -m multiport --sports 2222,8081,9418"}, run: builds},
	{name: "backups, in and out", matches: []string{"-s @backup -p tcp --dport 22", "-s @mirror -p tcp --sport 22"}, run: backups},
	{name: "calls of interfaces", matches: []string{"-s @mirror -p tcp --sport 8082"}, run: calls},
	{name: "transfers, telephones", matches: []string{"-s @client -p tcp -m multiport --dports 5201,5202", "-s @client -p udp -m multiport --dports 5004,5201,5202", "-s @mirror -p tcp --sport 5201", "-s @mirror -p udp --sport 5201"}, run: transfers},
	{name: "Prometheus", matches: []string{"-s @monitor -p tcp -m multiport --dports 9100:9110,9198,9199,9464"}, check: scrapes},
	{name: "health checks by this host", matches: []string{"-s @mirror -p tcp"}},
	{name: "health checks", matches: []string{"-s @balancer -p tcp", "-s @balancer"}, run: deployment, check: health},
	{name: "health checks of sshd alone", matches: []string{"-s @sentinel -p tcp", "-s @sentinel"}},
	{name: "ping, mtr, traceroute", matches: []string{"-s @monitor"}, run: pings},
	{name: "probes of readiness", matches: []string{"-s @kubelet -p tcp", "-s @kubelet"}, run: readiness},
	{name: "look-ups of this host", matches: []string{"-s @resolver -p udp", "-s @resolver -p tcp"}, run: lookups},
	{name: "look-ups of others", matches: []string{"-s @client -p udp --dport 53", "-s @client -p tcp --dport 53"}, run: answers},
	{name: "ssh sessions", matches: []string{"-s @client -p tcp --dport 22"}, run: sessions},
	{name: "a browser", matches: []string{"-s @client -p tcp -m multiport --dports 80,8443"}, run: browser},
	{name: "the store of a service", matches: []string{"-s @app -p tcp", "-s @app"}, run: store},
	{name: "a CI runner", matches: []string{"-s @ci -p tcp", "-s @ci"}, run: runner},
	{name: "fifty clients behind NAT", matches: []string{"-s @gateway -p tcp", "-s @gateway"}, run: office},
	{name: "containers", matches: []string{"-s @containers -p tcp", "-s @containers"}, run: containers},
}

// repeat runs a script on a machine until ctx is done or it was run n times, with
// a pause between the starts, and returns how often it was.
func repeat(ctx context.Context, m *machine, n int, pause time.Duration, script string) (int, error) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for i := range n {
		if _, err := m.sh(ctx, script); err != nil {
			return i, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return i, context.Cause(ctx)
		}
	}
	return n, nil
}

// together runs functions at the same time.
type together struct {
	sync.WaitGroup
	mu  sync.Mutex
	all []error
}

func (g *together) Go(run func() error) {
	g.WaitGroup.Go(func() {
		err := run()
		g.mu.Lock()
		defer g.mu.Unlock()
		g.all = append(g.all, err)
	})
}

// Wait returns the errors of all.
func (g *together) Wait() error {
	g.WaitGroup.Wait()
	return errors.Join(g.all...)
}
