package cli

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (c *cli) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "What the host does, and what stands in its way",
		Long: `Shows what the running host does: its version and mode, plugins by state, how
much was received, parsed and dropped (by stage and reason), alerts and actions,
the interfaces, and the coverage gaps: times in which a plugin saw nothing.`,
		Example: `  ironpost status
  ironpost status -o json | jq .dropped`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				s, err := h.Status(ctx, &ironpostv1.StatusRequest{})
				if err != nil {
					return err
				}
				if c.json() {
					return c.message(s)
				}
				return c.write(c.statusText(s))
			})
		},
	}
}

func (c *cli) statusText(s *ironpostv1.StatusResponse) []byte {
	var b bytes.Buffer
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s%s\n", name, view.Printable(fmt.Sprintf(format, args...)))
	}
	up := "-"
	if s.GetStarted() != nil {
		up = span(c.now().Sub(s.GetStarted().AsTime()))
	}
	line("host", "version %s, mode %s, pid %d, up %s, id %s", s.GetVersion(), s.GetMode(), s.GetPid(), up, s.GetHostId())
	var plugins []string
	for _, state := range slices.Sorted(maps.Keys(s.GetPlugins())) {
		plugins = append(plugins, fmt.Sprintf("%d %s", s.GetPlugins()[state], state))
	}
	line("plugins", "%s", dash(strings.Join(plugins, ", ")))
	line("events", "%d received, %d parsed, %d unparsed%s", s.GetReceived(), s.GetParsed(), s.GetUnparsed(), reasons(s.GetUnparsedReasons()))
	line("answers", "%d alerts, %d actions", s.GetAlerts(), s.GetActions())
	if a := reasons(s.GetAttributions()); a != "" {
		line("attributed", "%s", strings.Trim(a, " ()"))
	}
	if sh := s.GetShared(); sh != nil {
		line("counting", "%s", counting(sh))
	}
	if f := s.GetFleet(); f != nil {
		line("decisions", "%s", exchanging(f))
	}
	if g := s.GetGuard(); g != nil && !g.GetEnabled() {
		line("guard", "disabled %s", since(g))
	}
	if n := s.GetQuarantined(); n > 0 {
		line("quarantine", "%d records; see: ironpost quarantine list", n)
	}
	section := func(title string, t *table) {
		if len(t.rows) > 1 {
			fmt.Fprintf(&b, "\n%s\n", title)
			for l := range bytes.Lines(t.bytes()) {
				b.WriteString("  ")
				b.Write(l)
			}
		}
	}
	drops := newTable("STAGE", "REASON", "COUNT")
	for _, d := range s.GetDropped() {
		drops.row(d.GetStage(), d.GetReason(), count(d.GetCount()))
	}
	if len(drops.rows) == 1 {
		line("dropped", "nothing")
	}
	section("dropped", drops)
	ifaces := newTable("NAME", "MODE", "PACKETS", "BYTES", "DROPPED", "WOULD-DROP", "ERROR")
	for _, i := range s.GetInterfaces() {
		ifaces.row(i.GetName(), dash(i.GetMode()), count(i.GetPackets()), size(i.GetBytes()), count(i.GetDropped()), count(i.GetWouldDrop()), dash(i.GetError()))
	}
	section("interfaces", ifaces)
	streams := newTable("NAME", "SOURCE", "PARSER", "RECORDS")
	for _, st := range s.GetStreams() {
		streams.row(st.GetName(), st.GetPlugin(), dash(st.GetParser()), count(st.GetRecords()))
	}
	section("streams", streams)
	gaps := newTable("PLUGIN", "FROM", "TO", "EVENTS", "REASON")
	for _, g := range s.GetCoverageGaps() {
		gaps.row(g.GetPlugin(), stamp(g.GetFrom()), stamp(g.GetTo()), count(g.GetEvents()), g.GetReason())
	}
	section("coverage gaps", gaps)
	if w := s.GetWarnings(); len(w) > 0 {
		fmt.Fprint(&b, "\nwarnings\n")
		for _, sentence := range w {
			fmt.Fprintf(&b, "  %s\n", view.Printable(sentence))
		}
	}
	return b.Bytes()
}

// counting says how plugins count.
func counting(s *ironpostv1.SharedStatus) string {
	since := ""
	if s.GetSince() != nil {
		since = " since " + stamp(s.GetSince())
	}
	var how string
	switch {
	case s.GetEngine() != "" && s.GetReachable():
		how = fmt.Sprintf("with other hosts over %s%s", s.GetEngine(), since)
	case s.GetEngine() != "":
		how = fmt.Sprintf("alone%s, %s is away", since, s.GetEngine())
		if s.GetError() != "" {
			how += fmt.Sprintf(" (%s)", s.GetError())
		}
	case since != "":
		how = "alone" + since + ", the state plugin does not run"
	default:
		how = "on this host alone"
	}
	return fmt.Sprintf("%s; %d keys, %d waiting%s", how, s.GetKeys(), s.GetWaiting(), reasons(s.GetCounts()))
}

// exchanging says how decisions are exchanged with other hosts.
func exchanging(f *ironpostv1.FleetStatus) string {
	how := fmt.Sprintf("those of other hosts are known over %s since %s", f.GetEngine(), stamp(f.GetSince()))
	if !f.GetCurrent() {
		how = fmt.Sprintf("cut off from other hosts since %s", stamp(f.GetSince()))
		if f.GetError() != "" {
			how += fmt.Sprintf(" (%s)", f.GetError())
		}
	}
	return fmt.Sprintf("%s; %d followed, %d told", how, f.GetTaken(), f.GetShared())
}

// reasons writes " (bad_priority 2, not_json 1)", "" for none.
func reasons(counts []*ironpostv1.Count) string {
	var parts []string
	for _, r := range counts {
		parts = append(parts, fmt.Sprintf("%s %d", r.GetName(), r.GetValue()))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
