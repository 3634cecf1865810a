package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// topFlags are the flags of both verbs.
type topFlags struct {
	interval time.Duration
	rounds   uint
	sort     string
}

// Bounds of --interval.
const (
	minInterval = 200 * time.Millisecond
	maxInterval = time.Hour
)

func (f *topFlags) register(cmd *cobra.Command) {
	cmd.Flags().DurationVarP(&f.interval, "interval", "i", time.Second, "time over which rates are measured, and between two tables")
	cmd.Flags().UintVarP(&f.rounds, "rounds", "n", 0, "stop after this many tables (default: one, on a terminal none)")
	cmd.Flags().StringVar(&f.sort, "sort", "cpu", "order of the plugins: cpu, rss, events, bytes, drops or name")
}

func (f *topFlags) check(cmd *cobra.Command) error {
	if f.interval < minInterval || f.interval > maxInterval {
		return usage(cmd, "--interval %v: want %v to %v", f.interval, minInterval, maxInterval)
	}
	if !slices.Contains([]string{"cpu", "rss", "events", "bytes", "drops", "name"}, f.sort) {
		return usage(cmd, "--sort %s: there is no such order; allowed are cpu, rss, events, bytes, drops, name", f.sort)
	}
	return nil
}

func (c *cli) topCmd() *cobra.Command {
	var f topFlags
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Rates of the flow, and what the host and each plugin cost",
		Long: `Shows how many records a second are received, parsed, left unparsed and dropped,
and what the host's own process and each plugin use. On a terminal the table is
drawn again each second until it is interrupted.`,
		Example: `  ironpost top
  ironpost top --sort rss
  ironpost top -o json | jq .flow`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.top(cmd, f, true) },
	}
	f.register(cmd)
	return cmd
}

func (c *cli) pluginTopCmd() *cobra.Command {
	var f topFlags
	cmd := &cobra.Command{
		Use:   "top",
		Short: "What each plugin costs: processor, memory, events, bytes",
		Long: `Shows what each enabled plugin uses: processor time and resident memory, events
and bytes that it was sent or that it emitted, events that it missed, and alerts
that it raised. Rates are those of the last interval. On a terminal the table is
drawn again each second until it is interrupted.`,
		Example: `  ironpost plugin top
  ironpost plugin top -n 1 --interval 10s --sort events
  ironpost plugin top -o json | jq '.[] | select(.cpu_percent > 50) | .name'`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.top(cmd, f, false) },
	}
	f.register(cmd)
	return cmd
}

// pluginCost is a line of the table.
type pluginCost struct {
	Name            string   `json:"name"`
	Kinds           []string `json:"kinds"`
	State           string   `json:"state"`
	PID             uint32   `json:"pid"`
	CPUPercent      float64  `json:"cpu_percent"` // of one processor
	CPUSeconds      float64  `json:"cpu_seconds"`
	RSSBytes        uint64   `json:"rss_bytes"`
	Events          uint64   `json:"events"`
	EventsPerSecond float64  `json:"events_per_second"`
	Bytes           uint64   `json:"bytes"`
	BytesPerSecond  float64  `json:"bytes_per_second"`
	Dropped         uint64   `json:"dropped"`
	Alerts          uint64   `json:"alerts"`
	Restarts        uint32   `json:"restarts"`
	// HeapObjectsAllocated is by the plugin's own account; 0 where it gives none.
	HeapObjectsAllocated uint64 `json:"heap_objects_allocated"`
}

// flowRates is what passes through the host.
type flowRates struct {
	Received          uint64  `json:"received"`
	ReceivedPerSecond float64 `json:"received_per_second"`
	Parsed            uint64  `json:"parsed"`
	ParsedPerSecond   float64 `json:"parsed_per_second"`
	Unparsed          uint64  `json:"unparsed"`
	UnparsedPerSecond float64 `json:"unparsed_per_second"`
	Dropped           uint64  `json:"dropped"`
	DroppedPerSecond  float64 `json:"dropped_per_second"`
	Alerts            uint64  `json:"alerts"`
	AlertsPerSecond   float64 `json:"alerts_per_second"`
}

// hostCost is what the host's own process uses.
type hostCost struct {
	PID        uint32  `json:"pid"`
	CPUPercent float64 `json:"cpu_percent"`
	CPUSeconds float64 `json:"cpu_seconds"`
	RSSBytes   uint64  `json:"rss_bytes"`
}

// topView is one table.
type topView struct {
	Flow    flowRates    `json:"flow"`
	Host    hostCost     `json:"host"`
	Plugins []pluginCost `json:"plugins"`
}

// topSample is what the host said at one moment.
type topSample struct {
	at      time.Time
	status  *ironpostv1.StatusResponse
	plugins map[string]*ironpostv1.PluginStatus
}

func (c *cli) top(cmd *cobra.Command, f topFlags, whole bool) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	out, file := c.stdout.(*os.File)
	live := file && terminal(out) && !c.json()
	rounds := f.rounds
	if rounds == 0 && !live {
		rounds = 1
	}
	return c.host(cmd.Context(), 0, func(ctx context.Context, h *control.Client) error {
		before, err := sampleTop(ctx, h, whole)
		if err != nil {
			return err
		}
		ticker := time.NewTicker(f.interval)
		defer ticker.Stop()
		for n := uint(0); rounds == 0 || n < rounds; n++ {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return nil // an interrupt is how it ends
			}
			now, err := sampleTop(ctx, h, whole)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			if err := c.showTop(compareTop(before, now, f.sort), whole, live); err != nil {
				return err
			}
			before = now
		}
		return nil
	})
}

// sampleTop asks the host.
func sampleTop(ctx context.Context, h *control.Client, whole bool) (topSample, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	s := topSample{at: time.Now(), status: &ironpostv1.StatusResponse{}, plugins: make(map[string]*ironpostv1.PluginStatus)}
	list, err := h.ListPlugins(ctx, &ironpostv1.ListPluginsRequest{Known: true})
	if err != nil {
		return s, err
	}
	for _, p := range list.GetPlugins() {
		if p.GetEnabled() || p.GetPid() != 0 {
			s.plugins[p.GetName()] = p
		}
	}
	if whole {
		s.status, err = h.Status(ctx, &ironpostv1.StatusRequest{})
	}
	return s, err
}

// compareTop turns two samples into rates. What a plugin that was replaced
// counted before is no rate below zero.
func compareTop(before, now topSample, order string) topView {
	seconds := max(now.at.Sub(before.at).Seconds(), 0.001)
	per := func(a, b uint64) float64 { return float64(b-min(a, b)) / seconds }
	percent := func(a, b float64) float64 { return 100 * max(b-a, 0) / seconds }
	v := topView{Plugins: []pluginCost{}}
	a, b := before.status, now.status
	dropped := [2]uint64{}
	for i, s := range []*ironpostv1.StatusResponse{a, b} {
		for _, d := range s.GetDropped() {
			dropped[i] += d.GetCount()
		}
	}
	v.Flow = flowRates{
		Received: b.GetReceived(), ReceivedPerSecond: per(a.GetReceived(), b.GetReceived()),
		Parsed: b.GetParsed(), ParsedPerSecond: per(a.GetParsed(), b.GetParsed()),
		Unparsed: b.GetUnparsed(), UnparsedPerSecond: per(a.GetUnparsed(), b.GetUnparsed()),
		Dropped: dropped[1], DroppedPerSecond: per(dropped[0], dropped[1]),
		Alerts: b.GetAlerts(), AlertsPerSecond: per(a.GetAlerts(), b.GetAlerts()),
	}
	v.Host = hostCost{b.GetPid(), percent(a.GetCpuSeconds(), b.GetCpuSeconds()), b.GetCpuSeconds(), b.GetRssBytes()}
	for name, p := range now.plugins {
		was := before.plugins[name]
		if was == nil {
			was = p
		}
		v.Plugins = append(v.Plugins, pluginCost{
			Name: name, Kinds: append([]string{}, p.GetKinds()...), State: p.GetState(), PID: p.GetPid(),
			CPUPercent: percent(was.GetCpuSeconds(), p.GetCpuSeconds()), CPUSeconds: p.GetCpuSeconds(), RSSBytes: p.GetRssBytes(),
			Events: p.GetEvents(), EventsPerSecond: per(was.GetEvents(), p.GetEvents()),
			Bytes: p.GetBytes(), BytesPerSecond: per(was.GetBytes(), p.GetBytes()),
			Dropped: p.GetDropped(), Alerts: p.GetAlerts(), Restarts: p.GetRestarts(),
			HeapObjectsAllocated: p.GetHeapObjectsAllocated(),
		})
	}
	key := func(p pluginCost) float64 {
		switch order {
		case "cpu":
			return p.CPUPercent
		case "rss":
			return float64(p.RSSBytes)
		case "events":
			return p.EventsPerSecond
		case "bytes":
			return p.BytesPerSecond
		case "drops":
			return float64(p.Dropped)
		}
		return 0
	}
	slices.SortFunc(v.Plugins, func(a, b pluginCost) int {
		switch ka, kb := key(a), key(b); {
		case ka > kb:
			return -1
		case ka < kb:
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return v
}

// clearScreen goes to the upper left corner and clears what is there.
const clearScreen = "\x1b[H\x1b[2J"

func (c *cli) showTop(v topView, whole, live bool) error {
	switch {
	case c.json() && whole:
		return c.value(v)
	case c.json():
		return c.value(v.Plugins)
	}
	var b bytes.Buffer
	if live {
		b.WriteString(clearScreen)
	}
	if whole {
		f := v.Flow
		line := func(name, format string, args ...any) {
			fmt.Fprintf(&b, "%-9s%s\n", name, view.Printable(fmt.Sprintf(format, args...)))
		}
		line("flow", "%s received/s, %s parsed/s, %s unparsed/s, %s dropped/s, %s alerts/s",
			rateText(f.ReceivedPerSecond), rateText(f.ParsedPerSecond), rateText(f.UnparsedPerSecond), rateText(f.DroppedPerSecond), rateText(f.AlertsPerSecond))
		line("total", "%d received, %d parsed, %d unparsed, %d dropped, %d alerts", f.Received, f.Parsed, f.Unparsed, f.Dropped, f.Alerts)
		line("host", "pid %d, %s%% of a processor, %s", v.Host.PID, percentText(v.Host.CPUPercent), size(v.Host.RSSBytes))
		b.WriteByte('\n')
	}
	t := newTable("NAME", "KIND", "STATE", "PID", "CPU%", "CPU", "RSS", "EV/S", "EVENTS", "BYTES/S", "DROPS", "ALERTS", "RESTARTS")
	for _, p := range v.Plugins {
		t.row(cut(view.Printable(p.Name), 22), dash(cut(strings.Join(p.Kinds, ","), 15)), dash(p.State), count(p.PID),
			percentText(p.CPUPercent), span(time.Duration(p.CPUSeconds*float64(time.Second))), size(p.RSSBytes), rateText(p.EventsPerSecond),
			count(p.Events), size(uint64(p.BytesPerSecond)), count(p.Dropped), count(p.Alerts), count(p.Restarts))
	}
	if len(t.rows) == 1 {
		b.WriteString("no plugins are enabled; see: ironpost plugin list\n")
	} else {
		b.Write(t.bytes())
	}
	return c.write(b.Bytes())
}

func percentText(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

func rateText(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}
