package host

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/xdp"
)

func pid() int { return os.Getpid() }

func setLevel(log hclog.Logger, level string) { log.SetLevel(hclog.LevelFromString(level)) }

// announce says, in the first lines, what is watched, what is not, and how to
// switch it on.
func (d *daemon) announce() {
	s := d.settings()
	say := func(format string, args ...any) { fmt.Fprintf(d.config.Stdout, format+"\n", args...) }
	say("Ironpost %s, mode %s%s", d.version, d.responder.Mode(), meaning(d.responder.Mode()))
	var names []string
	for _, p := range d.roster.List() {
		switch {
		case p.Code != "":
			say("  not running  plugin %s (%s): %s", p.Name, p.Code, p.LastError)
		case p.Enabled:
			names = append(names, p.Name)
		}
	}
	say("  plugins      %s", strings.Join(names, ", "))
	say("  logs         %s", d.watchedLogs())
	watchedAny := false
	d.network.each(func(name string, filter *xdp.Filter, err error) {
		if err != nil {
			say("  not watched  interface %s: %v", name, err)
			return
		}
		watchedAny = true
		say("  packets      interface %s (%s)", name, filter.AttachMode())
	})
	switch {
	case watchedAny:
	case runtime.GOOS != "linux":
		say("  not watched  packets: XDP needs Linux")
	case os.Geteuid() != 0:
		say("  not watched  packets: XDP needs root; run as root with IRONPOST_EBPF_INTERFACE=<interface>")
	case !s.EBPF.Enabled:
		say("  not watched  packets: ebpf.enabled is false")
	case len(s.EBPF.Interfaces) == 0:
		say("  not watched  packets: no interface is named; IRONPOST_EBPF_INTERFACE=<interface> or [ebpf] interface, here: %s", strings.Join(interfaceNames(), ", "))
	}
	say("  control      %s (ironpost --socket %s status)", s.Control.Socket, s.Control.Socket)
}

// announcePlugins says how many plugins came up, and how long that took from the
// start of the host.
func (d *daemon) announcePlugins(ctx context.Context) {
	waiting, cancel := context.WithTimeout(ctx, d.settings().Plugins.StartTimeout)
	defer cancel()
	_ = d.roster.Ready(waiting) // what is not ready is counted
	took := time.Since(d.started).Round(time.Millisecond)
	if ctx.Err() != nil {
		return
	}
	up, down := 0, 0
	for _, p := range d.roster.List() {
		switch {
		case p.State == "running" || p.State == "degraded":
			up++
		case p.Enabled:
			down++
		}
	}
	d.log.Info("plugins are up", "plugins", up, "not_up", down, "took", took.String())
}

// meaning explains a mode.
func meaning(m config.Mode) string {
	switch m {
	case config.Detect:
		return ": alerts are raised, nothing is done"
	case config.Simulate:
		return ": what would be done is recorded, nothing is dropped"
	default:
		return ": blocks are carried out"
	}
}

// watchedLogs says what the log sources are set to.
func (d *daemon) watchedLogs() string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var parts []string
	for section, key := range map[string]string{"source_file": "paths", "source_syslog": "listen", "source_journald": ""} {
		values := d.current.Section(section)
		if values == nil {
			continue
		}
		if key == "" {
			parts = append(parts, "the journal")
		} else if list, ok := values[key].([]string); ok && len(list) > 0 {
			parts = append(parts, strings.Join(list, " "))
		}
	}
	if len(parts) == 0 {
		return "none; set [source_file] paths"
	}
	return strings.Join(parts, "; ")
}

func interfaceNames() []string {
	list, err := net.Interfaces()
	if err != nil {
		return []string{"?"}
	}
	var names []string
	for _, i := range list {
		names = append(names, i.Name)
	}
	return names
}
