package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (c *cli) ebpfCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ebpf",
		Short: "The packet filters in the kernel: what is attached, and how it fares",
		Long: `Each interface that the host watches has a packet filter in the kernel. It is pinned
in a bpffs ([ebpf] pin_dir), so that it goes on while the host is away: blocked
addresses stay blocked, and blocks expire. "ironpost ebpf detach" ends it.`,
	}
	group(cmd)
	cmd.AddCommand(c.ebpfStatusCmd(), c.ebpfAttachCmd(), c.ebpfDetachCmd(), c.ebpfDumpCmd(), c.ebpfCaptureCmd())
	return cmd
}

func (c *cli) ebpfStatusCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "status [INTERFACE...]",
		Short: "Programs, modes, pins, counters, and how full the maps are",
		Long: `Shows every filter: its program as the kernel knows it, where in the receive path
it runs, where it is pinned or why it is not, what it counted, and how full its
maps are. Without a host it reads the pins, which needs root.

  attached  a host has it
  waiting   the interface is not there
  detached  an operator took it off
  failed    it could not be attached; the error says why
  left      it goes on without a host`,
		Example: `  ironpost ebpf status
  ironpost ebpf status eth0 -o json | jq '.filters[0].maps'`,
		Args: between(0, -1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := c.filters(cmd.Context(), args)
			if err != nil {
				return fmt.Errorf("ebpf status: %w", err)
			}
			if c.json() {
				return c.message(r)
			}
			return c.write(filtersText(r))
		},
	}
}

// filters asks the host, or the pins when none runs.
func (c *cli) filters(ctx context.Context, names []string) (r *ironpostv1.FiltersResponse, err error) {
	err = c.host(ctx, changeTimeout, func(ctx context.Context, h *control.Client) error {
		r, err = h.Filters(ctx, &ironpostv1.FiltersRequest{Interfaces: names})
		return err
	})
	if errors.Is(err, control.ErrNotRunning) {
		return c.app.PinnedFilters(c.sources(), names)
	}
	return r, err
}

func filtersText(r *ironpostv1.FiltersResponse) []byte {
	var b bytes.Buffer
	line := func(indent, name, format string, args ...any) {
		fmt.Fprintf(&b, "%s%-*s%s\n", indent, 12-len(indent), name, view.Printable(fmt.Sprintf(format, args...)))
	}
	verdict := "supported"
	if !r.GetKernelSupported() {
		verdict = "too old"
	}
	line("", "kernel", "%s, %s (%s or newer is wanted)", r.GetKernel(), verdict, r.GetKernelFloor())
	if !r.GetHostRunning() {
		line("", "host", "not running; this is read from the pins")
	}
	line("", "pins", "%s", dash(r.GetPinDir()))
	if len(r.GetFilters()) == 0 {
		line("", "filters", "none")
	}
	for _, f := range r.GetFilters() {
		fmt.Fprintf(&b, "\n%s  %s\n", view.Printable(f.GetInterface()), f.GetState())
		if f.GetError() != "" {
			line("  ", "error", "%s", f.GetError())
		}
		if f.GetProgramId() == 0 && len(f.GetMaps()) == 0 {
			if f.GetPins() != "" {
				line("  ", "pinned", "%s", f.GetPins())
			}
			continue
		}
		simulate := "blocks are carried out"
		if f.GetSimulate() {
			simulate = "simulated: nothing is dropped"
		}
		line("  ", "program", "%s, id %d, tag %s, loaded %s, link %d", f.GetProgramName(), f.GetProgramId(), f.GetProgramTag(), stamp(f.GetProgramLoaded()), f.GetLinkId())
		line("  ", "mode", "%s; %s", dash(f.GetMode()), simulate)
		if f.GetPins() != "" {
			line("  ", "pinned", "%s", f.GetPins())
		} else {
			line("  ", "not pinned", "it ends with the host: %s", f.GetUnpinned())
		}
		line("  ", "packets", "%d (%s), dropped %d, would drop %d", f.GetPackets(), size(f.GetBytes()), f.GetDropped(), f.GetWouldDrop())
		var counters []string
		for _, n := range f.GetCounters() {
			counters = append(counters, fmt.Sprintf("%s %d", n.GetName(), n.GetValue()))
		}
		line("  ", "counters", "%s", dash(strings.Join(counters, ", ")))
		t := newTable("MAP", "TYPE", "ID", "IN-USE", "ROOM", "FULL", "MEMORY")
		for _, m := range f.GetMaps() {
			used, full := "-", "-"
			if m.GetCounted() {
				used = count(m.GetEntries())
				full = fmt.Sprintf("%.1f%%", 100*float64(m.GetEntries())/float64(max(m.GetMaxEntries(), 1)))
			}
			t.row(m.GetName(), m.GetType(), count(m.GetId()), used, count(m.GetMaxEntries()), full, size(m.GetBytes()))
		}
		for l := range bytes.Lines(t.bytes()) {
			b.WriteString("  ")
			b.Write(l)
		}
	}
	return b.Bytes()
}

func (c *cli) ebpfAttachCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "attach [INTERFACE...]",
		Short: "Attach filters: to interfaces, or to all that were taken out or failed",
		Long: `Attaches the filter to interfaces and loads the lists. One that the configuration
does not name is watched until the host ends; its filter is detached when the
host starts again.`,
		Example: `  ironpost ebpf attach eth0
  ironpost ebpf attach              # everything that is configured and not attached`,
		Args: between(0, -1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.changeFilters(cmd.Context(), "attach", &ironpostv1.FiltersRequest{Interfaces: args},
				func(h *control.Client) filtersCall { return h.AttachFilters })
		},
	}
}

func (c *cli) ebpfDetachCmd() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "detach INTERFACE...",
		Short: "Take filters off their interfaces and remove what is pinned",
		Long: `Takes filters off. Nothing is watched or dropped there until "ironpost ebpf attach",
or until the host starts again. Without a host it takes off what the last one
left, whichever host that was, which needs root.`,
		Example: `  ironpost ebpf detach eth0
  ironpost ebpf detach --all`,
		Args: between(0, -1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return usage(cmd, "name interfaces, or --all")
			}
			err := c.changeFilters(cmd.Context(), "detach", &ironpostv1.FiltersRequest{Interfaces: args, All: all},
				func(h *control.Client) filtersCall { return h.DetachFilters })
			if !errors.Is(err, control.ErrNotRunning) {
				return err
			}
			r, err := c.app.DetachPinned(c.sources(), args)
			if err != nil {
				return fmt.Errorf("ebpf detach: %w", err)
			}
			return c.showChange(r)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every interface that has a filter")
	return cmd
}

type filtersCall func(context.Context, *ironpostv1.FiltersRequest, ...grpc.CallOption) (*ironpostv1.FiltersResponse, error)

func (c *cli) changeFilters(ctx context.Context, verb string, req *ironpostv1.FiltersRequest, pick func(*control.Client) filtersCall) error {
	return c.host(ctx, changeTimeout, func(ctx context.Context, h *control.Client) error {
		r, err := pick(h)(ctx, req)
		if err != nil {
			return fmt.Errorf("ebpf %s: %w", verb, err)
		}
		return c.showChange(r)
	})
}

// showChange prints one line for each filter.
func (c *cli) showChange(r *ironpostv1.FiltersResponse) error {
	if c.json() {
		return c.message(r)
	}
	if len(r.GetFilters()) == 0 {
		return c.line("there is no filter")
	}
	for _, f := range r.GetFilters() {
		text := f.GetInterface() + ": " + f.GetState()
		switch {
		case f.GetState() == "attached" && f.GetPins() != "":
			text += ", " + f.GetMode() + ", pinned in " + f.GetPins()
		case f.GetState() == "attached":
			text += ", " + f.GetMode() + ", not pinned: " + f.GetUnpinned()
		case f.GetState() == "detached" && f.GetPins() != "":
			text += ", was pinned in " + f.GetPins()
		case f.GetState() != "detached" && f.GetError() != "":
			text += ": " + f.GetError()
		}
		if err := c.line("%s", view.Printable(text)); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) ebpfDumpCmd() *cobra.Command {
	req := &ironpostv1.DumpFilterRequest{}
	var span string
	cmd := &cobra.Command{
		Use:   "dump INTERFACE",
		Short: "The top sources and ports of an interface, and the lists as the kernel has them",
		Long: `Watches an interface for a second, or as long as --for says, and shows which sources
sent the most packets and which ports got the most; then its packet rules, and the
entries of its lists, by address: what is allowed, and what is blocked. Without a host it shows what
was seen since the last one ended, as far as the tables had room; that needs root.`,
		Example: `  ironpost ebpf dump eth0
  ironpost ebpf dump eth0 --for 10s --top 20
  ironpost ebpf dump eth0 --skip 1000 --limit 1000 -o json | jq -r '.entries[].prefix'`,
		Args: between(1, 1, "INTERFACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := parseSpan(span)
			if err != nil {
				return fmt.Errorf("--for: %w", err)
			}
			if d > time.Minute {
				return invalid("--for %s: a minute is the most", span)
			}
			req.Interface, req.Seconds = args[0], d.Seconds()
			var r *ironpostv1.DumpFilterResponse
			err = c.host(cmd.Context(), changeTimeout, func(ctx context.Context, h *control.Client) (err error) {
				r, err = h.DumpFilter(ctx, req)
				return err
			})
			if errors.Is(err, control.ErrNotRunning) {
				r, err = c.app.DumpPinned(c.sources(), req)
			}
			if err != nil {
				return fmt.Errorf("ebpf dump %s: %w", args[0], err)
			}
			if c.json() {
				return c.message(r)
			}
			return c.write(dumpText(r, req.GetSkip()))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&span, "for", "1s", "how long to watch, at most 1m")
	flags.Uint32Var(&req.Top, "top", 10, "how many sources and ports to show, at most 1000")
	flags.Uint32Var(&req.Limit, "limit", 1000, "how many entries to show, at most 10000")
	flags.Uint32Var(&req.Skip, "skip", 0, "entries to pass over")
	return cmd
}

func dumpText(r *ironpostv1.DumpFilterResponse, skip uint32) []byte {
	var b bytes.Buffer
	section := func(title string, t *table) {
		fmt.Fprintf(&b, "%s\n", title)
		if len(t.rows) == 1 {
			b.WriteString("  none\n\n")
			return
		}
		for l := range bytes.Lines(t.bytes()) {
			b.WriteString("  ")
			b.Write(l)
		}
		b.WriteByte('\n')
	}
	when := "since the last host ended"
	if r.GetFrom() != nil {
		when = "in " + r.GetTo().AsTime().Sub(r.GetFrom().AsTime()).Round(10*time.Millisecond).String()
	}
	sources := newTable("SOURCE", "PACKETS", "BYTES", "DROPPED", "WOULD-DROP")
	for _, s := range r.GetSources() {
		sources.row(s.GetAddress(), count(s.GetPackets()), size(s.GetBytes()), count(s.GetDropped()), count(s.GetWouldDrop()))
	}
	section("top sources "+when, sources)
	ports := newTable("PORT", "PACKETS", "BYTES")
	for _, p := range r.GetPorts() {
		ports.row(count(p.GetPort()), count(p.GetPackets()), size(p.GetBytes()))
	}
	section("top destination ports "+when+" (0: without ports)", ports)
	rules := newTable("MATCH", "ACTION", "DRY-RUN", "EXPIRES", "HITS", "DROPPED", "WOULD-DROP")
	for _, r := range r.GetRules() {
		rules.row(ruleMatch(r), ruleAction(r), yes(r.GetDryRun()), stamp(r.GetExpires()), count(r.GetHits()), count(r.GetDropped()), count(r.GetWouldDrop()))
	}
	section("packet rules, in the order in which they are asked", rules)
	entries := newTable("PREFIX", "ACTION", "EXPIRES", "HITS", "DRY-RUN")
	for _, e := range r.GetEntries() {
		entries.row(e.GetPrefix(), e.GetAction(), stamp(e.GetExpires()), count(e.GetHits()), yes(e.GetDryRun()))
	}
	section(fmt.Sprintf("entries, %d from %d on of %d", len(r.GetEntries()), skip, r.GetTotal()), entries)
	return b.Bytes()
}
