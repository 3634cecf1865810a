package cli

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (c *cli) pluginCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "List, inspect, enable and disable plugins",
		Long: `Everything that reads, parses, detects, answers or stores is a plugin: an
executable in a plugin directory, run as a process of its own with the permissions
that it declared and you granted.`,
	}
	group(cmd)
	cmd.AddCommand(c.pluginListCmd(), c.pluginInfoCmd(),
		c.pluginChangeCmd("enable", "Enable a plugin: pin its binary and grant its permissions",
			`Pins the SHA-256 of the plugin's binary, grants the permissions that it declares
("ironpost plugin info" shows them) and starts it. A binary that changes later is
not run until it is enabled again.`,
			func(h *control.Client) pluginCall { return h.EnablePlugin }),
		c.pluginChangeCmd("disable", "Stop a plugin, and do not start it again",
			`Lets the plugin finish what it has received, stops it, and keeps it stopped also
after a restart of the host. What it would have seen meanwhile is reported as a
coverage gap.`,
			func(h *control.Client) pluginCall { return h.DisablePlugin }),
		c.pluginChangeCmd("reload", "Restart a plugin, also one that was given up",
			`Restarts the plugin. One in state "failed", which the host no longer restarts by
itself, is tried again.`,
			func(h *control.Client) pluginCall { return h.ReloadPlugin }),
	)
	return cmd
}

func (c *cli) pluginListCmd() *cobra.Command {
	var wide bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Every plugin that the host found, with its state",
		Long: `Lists every candidate in the plugin directories, also those that are disabled or
refused; --wide shows the code of a refusal.

States: discovered, refused, disabled, changed (the binary is not the one that
was enabled), starting, running, degraded, draining, backoff, failed.`,
		Example: `  ironpost plugin list
  ironpost plugin list --wide
  ironpost plugin list -o json | jq '.[] | select(.state != "running")'`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				resp, err := h.ListPlugins(ctx, &ironpostv1.ListPluginsRequest{})
				if err != nil {
					return err
				}
				if c.json() {
					return list(c, resp.GetPlugins())
				}
				return c.printTable(pluginTable(resp.GetPlugins(), wide), "no plugins were found; see: ironpost doctor")
			})
		},
	}
	cmd.Flags().BoolVar(&wide, "wide", false, "show also PID, SHA256, RSS, EV/S, DROPS, CODE and LAST-ERROR")
	return cmd
}

// pluginTable keeps the narrow form within 120 columns whatever plugins are
// called; the wide form shows names in full.
func pluginTable(plugins []*ironpostv1.PluginStatus, wide bool) *table {
	header := []string{"NAME", "KIND", "VERSION", "API", "ENABLED", "STATE", "HEALTH", "RESTARTS", "UPTIME", "TRUST"}
	limit := func(s string, n int) string { return dash(cut(view.Printable(s), n)) }
	if wide {
		header = append(header, "PID", "SHA256", "RSS", "EV/S", "DROPS", "CODE", "LAST-ERROR")
		limit = func(s string, _ int) string { return dash(s) }
	}
	t := newTable(header...)
	for _, p := range plugins {
		uptime := "-"
		if p.GetUptimeSeconds() > 0 {
			uptime = span(time.Duration(p.GetUptimeSeconds() * float64(time.Second)))
		}
		row := []string{
			limit(p.GetName(), 22), limit(strings.Join(p.GetKinds(), ","), 15), limit(p.GetVersion(), 10),
			limit(count(p.GetApi()), 3), yes(p.GetEnabled()), limit(p.GetState(), 10), limit(p.GetHealth(), 8),
			limit(count(p.GetRestarts()), 8), limit(uptime, 7), limit(p.GetTrust(), 9),
		}
		if wide {
			row = append(row, count(p.GetPid()), dash(cut(p.GetSha256(), 13)), size(p.GetRssBytes()),
				strconv.FormatFloat(p.GetEventsPerSecond(), 'f', 1, 64), count(p.GetDropped()),
				dash(p.GetCode()), dash(p.GetLastError()))
		}
		t.row(row...)
	}
	return t
}

func (c *cli) pluginInfoCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "info PLUGIN",
		Short: "What a plugin is, what it asked for and what it got",
		Long: `Shows what the plugin says of itself, the permissions that it asked for and those
that were granted, how the kernel confines it and what the kernel could not give,
its settings and its counters. For a refused plugin: what was seen, what is
wanted, and how to mend it.`,
		Example: `  ironpost plugin info parser-syslog
  ironpost plugin info parser-syslog -o json | jq .unenforced`,
		Args:              between(1, 1, "PLUGIN"),
		ValidArgsFunction: c.completePlugins,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				info, err := h.PluginInfo(ctx, &ironpostv1.PluginRequest{Name: args[0]})
				if err != nil {
					return fmt.Errorf("plugin info %s: %w", args[0], err)
				}
				return c.showPlugin(info)
			})
		},
	}
}

func (c *cli) showPlugin(info *ironpostv1.PluginInfoResponse) error {
	if c.json() {
		return c.message(info)
	}
	return c.write(pluginText(info))
}

func pluginText(info *ironpostv1.PluginInfoResponse) []byte {
	var b bytes.Buffer
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-13s%s\n", name, view.Printable(value))
		}
	}
	s, d := info.GetStatus(), info.GetDescription()
	line("name", s.GetName())
	line("summary", d.GetSummary())
	line("kinds", strings.Join(s.GetKinds(), ", "))
	line("version", fmt.Sprintf("%s (api %d)", dash(s.GetVersion()), s.GetApi()))
	line("state", strings.TrimSpace(fmt.Sprintf("%s %s", s.GetState(), s.GetCode())))
	line("health", s.GetHealth())
	line("enabled", yes(s.GetEnabled()))
	line("trust", s.GetTrust())
	line("path", info.GetPath())
	line("sha256", s.GetSha256())
	line("restarts", count(s.GetRestarts()))
	line("last error", s.GetLastError())
	line("observed", info.GetObserved())
	line("wanted", info.GetWanted())
	line("mend", info.GetMend())
	line("format", d.GetFormat())
	line("section", d.GetSection())
	permissions(line, "asks for", d.GetPermissions())
	permissions(line, "granted", info.GetGranted())
	for _, sentence := range info.GetConfinement() {
		line("confined", sentence)
	}
	for _, sentence := range info.GetUnenforced() {
		line("NOT enforced", sentence)
	}
	if fields := d.GetConfig(); len(fields) > 0 {
		t := newTable("KEY", "DEFAULT", "HELP")
		for _, f := range fields {
			t.row(f.GetKey(), dash(f.GetDefault()), f.GetHelp())
		}
		fmt.Fprintf(&b, "\nsettings in [%s]\n%s", view.Printable(d.GetSection()), t.bytes())
	}
	if counters := info.GetCounters(); len(counters) > 0 {
		t := newTable("COUNTER", "VALUE")
		for _, n := range counters {
			t.row(n.GetName(), count(n.GetValue()))
		}
		fmt.Fprintf(&b, "\n%s", t.bytes())
	}
	return b.Bytes()
}

func permissions(line func(name, value string), name string, p *ironpostv1.Permissions) {
	all := []string{}
	add := func(what string, values []string) {
		for _, v := range values {
			all = append(all, what+" "+v)
		}
	}
	add("listen", p.GetListen())
	add("connect", p.GetConnect())
	add("read", p.GetRead())
	add("write", p.GetWrite())
	add("command", p.GetCommands())
	for _, flag := range []struct {
		set  bool
		name string
	}{{p.GetDocker(), "docker"}, {p.GetBaseFiles(), "base files"}, {p.GetProcesses(), "processes"}} {
		if flag.set {
			all = append(all, flag.name)
		}
	}
	if len(all) == 0 {
		all = []string{"nothing"}
	}
	for _, permission := range all {
		line(name, permission)
		name = ""
	}
}

// pluginCall is one of the calls that change a plugin.
type pluginCall func(context.Context, *ironpostv1.PluginRequest, ...grpc.CallOption) (*ironpostv1.PluginInfoResponse, error)

func (c *cli) pluginChangeCmd(verb, short, long string, pick func(*control.Client) pluginCall) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " PLUGIN",
		Short:             short,
		Long:              long,
		Example:           "  ironpost plugin " + verb + " parser-acme",
		Args:              between(1, 1, "PLUGIN"),
		ValidArgsFunction: c.completePlugins,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.host(cmd.Context(), changeTimeout, func(ctx context.Context, h *control.Client) error {
				info, err := pick(h)(ctx, &ironpostv1.PluginRequest{Name: args[0]})
				if err != nil {
					return fmt.Errorf("plugin %s %s: %w", verb, args[0], err)
				}
				if c.json() {
					return c.message(info)
				}
				s := info.GetStatus()
				return c.line("%s: %s", args[0], strings.TrimSpace(s.GetState()+" "+s.GetHealth()))
			})
		},
	}
}

// completePlugins offers the names of plugins to the shell; without a host it
// offers nothing.
func (c *cli) completePlugins(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	_ = c.host(cmd.Context(), time.Second, func(ctx context.Context, h *control.Client) error {
		resp, err := h.ListPlugins(ctx, &ironpostv1.ListPluginsRequest{})
		for _, p := range resp.GetPlugins() {
			names = append(names, view.Printable(p.GetName()))
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}
