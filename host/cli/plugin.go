package cli

import (
	"bytes"
	"context"
	"fmt"
	"slices"
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
	cmd.AddCommand(c.pluginListCmd(), c.pluginInfoCmd(), c.pluginTopCmd(), c.pluginLogsCmd(), c.pluginNewCmd(), c.pluginTestCmd(),
		c.pluginEnableCmd(),
		c.pluginChangeCmd("disable", "Stop a plugin, and do not start it again",
			`Lets the plugin finish what it has received, stops it, and keeps it stopped also
after a restart of the host. What it would have seen meanwhile is reported as a
coverage gap.`,
			func(h *control.Client) pluginCall { return h.DisablePlugin }),
		c.pluginChangeCmd("reload", "Replace a plugin's process without a loss, also of one that was given up",
			`Starts a new process of the plugin, with the configuration of now, and ends the old
one when the new one is up and the old one has finished what it received: nothing
is lost. When the new one does not start, the old one goes on. A plugin in state
"failed", which the host no longer restarts by itself, is tried again.`,
			func(h *control.Client) pluginCall { return h.ReloadPlugin }),
		c.pluginInstallCmd(), c.pluginRemoveCmd(), c.pluginDescribeCmd(), c.pluginVerifyCmd(),
	)
	return cmd
}

func (c *cli) pluginListCmd() *cobra.Command {
	var wide bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Every plugin that the host found, with its state",
		Long: `Lists every candidate in the plugin directories, also those that are disabled or
refused. Codes of what is not run stand below; "ironpost plugin verify" shows for
each the rule, what was observed, what is wanted, and the command that mends it.

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
				if err := c.printTable(pluginTable(resp.GetPlugins(), wide), "no plugins were found; see: ironpost doctor"); err != nil {
					return err
				}
				return c.write(pluginNotes(resp.GetPlugins()))
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

// maxNotes bounds the notes below a list; --wide and verify show all.
const maxNotes = 10

// pluginNotes says which plugins are not run and where the mend is shown, within
// 120 columns.
func pluginNotes(plugins []*ironpostv1.PluginStatus) []byte {
	var b bytes.Buffer
	n := 0
	for _, p := range plugins {
		if p.GetCode() == "" {
			continue
		}
		if n++; n > maxNotes {
			continue
		}
		note := fmt.Sprintf("%s %s: %s", p.GetCode(), cut(view.Printable(p.GetName()), 22), view.Printable(p.GetLastError()))
		fmt.Fprintf(&b, "%s\n", cut(note, 120))
	}
	switch {
	case n == 0:
		return nil
	case n > maxNotes:
		fmt.Fprintf(&b, "and %d more\n", n-maxNotes)
	}
	return append(append([]byte("\n"), b.Bytes()...), "how to mend: ironpost plugin verify\n"...)
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
	line := lines(&b)
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
	line("signed by", info.GetSignature())
	line("restarts", count(s.GetRestarts()))
	line("last error", s.GetLastError())
	line("rule", info.GetRule())
	line("observed", info.GetObserved())
	line("wanted", info.GetWanted())
	line("mend", info.GetMend())
	line("format", d.GetFormat())
	line("section", d.GetSection())
	permissions(line, "asks for", d.GetPermissions())
	permissions(line, "granted", info.GetGranted())
	for _, permission := range info.GetNotGranted() {
		line("NOT granted", permission)
	}
	for _, sentence := range info.GetConfinement() {
		line("confined", sentence)
	}
	for _, sentence := range info.GetUnenforced() {
		line("NOT enforced", sentence)
	}
	settings(&b, d)
	if counters := info.GetCounters(); len(counters) > 0 {
		t := newTable("COUNTER", "VALUE")
		for _, n := range counters {
			t.row(n.GetName(), count(n.GetValue()))
		}
		fmt.Fprintf(&b, "\n%s", t.bytes())
	}
	return b.Bytes()
}

// lines returns a function that writes a named value on a line of its own, and
// nothing when there is no value.
func lines(b *bytes.Buffer) func(name, value string) {
	return func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "%-13s%s\n", name, view.Printable(value))
		}
	}
}

// settings writes what may stand in the section of a plugin.
func settings(b *bytes.Buffer, d *ironpostv1.Description) {
	if len(d.GetConfig()) == 0 {
		return
	}
	t := newTable("KEY", "DEFAULT", "HELP")
	for _, f := range d.GetConfig() {
		t.row(f.GetKey(), dash(f.GetDefault()), f.GetHelp())
	}
	fmt.Fprintf(b, "\nsettings in [%s]\n%s", view.Printable(d.GetSection()), t.bytes())
}

func permissions(line func(name, value string), name string, p *ironpostv1.Permissions) {
	all := view.Permissions(p)
	if len(all) == 0 {
		all = []string{"nothing"}
	}
	for _, permission := range all {
		line(name, permission)
		name = ""
	}
}

// pluginEnableCmd shows what is granted before it is.
func (c *cli) pluginEnableCmd() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "enable PLUGIN",
		Short: "Enable a plugin: pin its binary and grant its permissions",
		Long: `Shows what the plugin asks for, pins the SHA-256 of its binary, grants what it asks
for and starts it. On a terminal it asks first. The bytes that were shown are the
ones that are pinned; a binary that changes later is "changed" and is not run until
it is enabled again. A setting that widens a permission later, such as another path
to read, is not granted before the plugin is enabled again.`,
		Example: `  ironpost plugin enable parser-acme
  ironpost plugin enable --yes parser-acme`,
		Args:              between(1, 1, "PLUGIN"),
		ValidArgsFunction: c.completePlugins,
		RunE: func(cmd *cobra.Command, args []string) error {
			info, err := c.enable(cmd.Context(), args[0], yes)
			if err != nil {
				return fmt.Errorf("plugin enable %s: %w", args[0], err)
			}
			if c.json() {
				return c.message(info)
			}
			s := info.GetStatus()
			return c.line("%s: %s", args[0], strings.TrimSpace(s.GetState()+" "+s.GetHealth()))
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (c *cli) enable(ctx context.Context, name string, yes bool) (*ironpostv1.PluginInfoResponse, error) {
	var before, after *ironpostv1.PluginInfoResponse
	err := c.host(ctx, readTimeout, func(ctx context.Context, h *control.Client) (err error) {
		before, err = h.PluginInfo(ctx, &ironpostv1.PluginRequest{Name: name})
		return err
	})
	if err != nil {
		return nil, err
	}
	// A plugin that is refused is not asked about: the host says why it is.
	if sound := before.GetDescription() != nil && before.GetStatus().GetState() != "refused"; sound && !c.json() {
		if err := c.write(grantText(before)); err != nil {
			return nil, err
		}
		if !yes && c.interactive() {
			if err := c.agree("Enable it?"); err != nil {
				return nil, err
			}
		}
	}
	err = c.host(ctx, changeTimeout, func(ctx context.Context, h *control.Client) (err error) {
		after, err = h.EnablePlugin(ctx, &ironpostv1.PluginRequest{Name: name, Sha256: before.GetStatus().GetSha256()})
		return err
	})
	return after, err
}

// grantText shows what enabling a plugin grants, and what of that is new to one
// that was enabled before.
func grantText(info *ironpostv1.PluginInfoResponse) []byte {
	var b bytes.Buffer
	line := lines(&b)
	s, asked := info.GetStatus(), info.GetDescription().GetPermissions()
	line("name", strings.TrimSpace(s.GetName()+" "+s.GetVersion()))
	line("sha256", s.GetSha256())
	line("signed by", info.GetSignature())
	permissions(line, "is granted", asked)
	if s.GetState() == "changed" {
		had := view.Permissions(info.GetGranted())
		for _, p := range view.Permissions(asked) {
			if !slices.Contains(had, p) {
				line("NEW", p)
			}
		}
		return b.Bytes()
	}
	for _, p := range info.GetNotGranted() {
		line("NEW", p)
	}
	return b.Bytes()
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
