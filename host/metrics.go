package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// exporter exposes what status and plugin list say in the form of Prometheus.
// It reads the same counters at each scrape and keeps none of its own.
type exporter struct {
	daemon *daemon

	events, dropped, unparsed, alerts, silenced                  *prometheus.Desc
	packets, packetDrops                                         *prometheus.Desc
	inMemory, attributions                                       *prometheus.Desc
	shared, sharedReachable, sharedWaiting, sharedKeys           *prometheus.Desc
	pluginUp, pluginCPU, pluginRSS, pluginRestarts, pluginEvents *prometheus.Desc
	pluginEventsTotal, pluginBytes, pluginAlerts, pluginLogLines *prometheus.Desc
	pluginState, pluginDropped, pluginHeapObjects, gapEvents     *prometheus.Desc
}

func newExporter(d *daemon) *exporter {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("ironpost_"+name, help, labels, nil)
	}
	return &exporter{
		daemon:         d,
		events:         desc("events_total", "Records by stage.", "stage"),
		dropped:        desc("dropped_total", "Records lost, by stage and reason.", "stage", "reason"),
		unparsed:       desc("unparsed_total", "Records that could not be parsed, by reason.", "reason"),
		alerts:         desc("alerts_total", "Alerts raised since the start."),
		silenced:       desc("alerts_silenced_total", "Those of them that a silence held back."),
		inMemory:       desc("batches_in_memory_total", "Large batches that waited in memory, since no pipe was to be had."),
		attributions:   desc("attributions_total", "Looks for who is behind an address or a process of an alert, by how they ended.", "result"),
		shared:         desc("shared_operations_total", "What plugins counted, by what became of it.", "result"),
		sharedWaiting:  desc("shared_waiting", "Operations that wait to be brought together with those of other hosts."),
		sharedKeys:     desc("shared_keys", "Keys that this host counts under."),
		packets:        desc("packets_total", "Packets seen on an interface.", "interface"),
		packetDrops:    desc("packets_dropped_total", "Packets that were dropped, or would have been.", "interface", "verdict"),
		pluginUp:       desc("plugin_running", "1 while the plugin runs.", "plugin"),
		pluginCPU:      desc("plugin_cpu_seconds_total", "Processor time of a plugin.", "plugin"),
		pluginRSS:      desc("plugin_resident_bytes", "Resident memory of a plugin.", "plugin"),
		pluginRestarts: desc("plugin_restarts_total", "Restarts of a plugin.", "plugin"),
		pluginEvents:   desc("plugin_events_per_second", "Records a second through a plugin.", "plugin"),
		pluginState:    desc("plugin_state", "1 for the state that an enabled plugin is in.", "plugin", "state"),

		sharedReachable: desc("shared_engine_reachable", "1 while the engine answers where hosts count together; absent where there is none.", "plugin"),

		pluginEventsTotal: desc("plugin_events_total", "Records that a plugin was sent, or that it emitted.", "plugin"),
		pluginBytes:       desc("plugin_bytes_total", "Bytes of the records that a plugin was sent, or that it emitted.", "plugin"),
		pluginAlerts:      desc("plugin_alerts_total", "Alerts that a plugin raised.", "plugin"),
		pluginLogLines:    desc("plugin_log_lines_dropped_total", "Lines of a plugin's log that were left out because there were too many.", "plugin"),
		pluginHeapObjects: desc("plugin_heap_objects_total", "Objects that a plugin allocated on its heap, as it says; absent where it does not.", "plugin"),

		pluginDropped: desc("plugin_dropped_total", "Records that a plugin missed.", "plugin"),
		gapEvents:     desc("coverage_gap_events", "Records missed in coverage gaps, by plugin and reason.", "plugin", "reason"),
	}
}

// Describe leaves the collector unchecked: what there is depends on the host.
func (m *exporter) Describe(chan<- *prometheus.Desc) {}

// Collect reads the counters.
func (m *exporter) Collect(out chan<- prometheus.Metric) {
	status, err := m.daemon.Status(context.Background())
	if err != nil {
		out <- prometheus.NewInvalidMetric(m.events, err)
		return
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter(m.events, float64(status.Received), "received")
	counter(m.events, float64(status.Parsed), "parsed")
	counter(m.events, float64(status.Unparsed), "unparsed")
	counter(m.alerts, float64(status.Alerts))
	counter(m.silenced, float64(m.daemon.alerts.silenced.Load()))
	counter(m.inMemory, float64(m.daemon.roster.BatchesInMemory()))
	for _, c := range status.Attributions {
		counter(m.attributions, float64(c.Value), c.Name)
	}
	if s := status.Shared; s != nil {
		for _, c := range s.Counts {
			counter(m.shared, float64(c.Value), c.Name)
		}
		gauge(m.sharedWaiting, float64(s.Waiting))
		gauge(m.sharedKeys, float64(s.Keys))
		if s.Engine != "" {
			reachable := 0.0
			if s.Reachable {
				reachable = 1
			}
			gauge(m.sharedReachable, reachable, s.Engine)
		}
	}
	for _, d := range status.Dropped {
		counter(m.dropped, float64(d.Count), d.Stage, d.Reason)
	}
	for _, c := range status.UnparsedReasons {
		counter(m.unparsed, float64(c.Value), c.Name)
	}
	for _, i := range status.Interfaces {
		counter(m.packets, float64(i.Packets), i.Name)
		counter(m.packetDrops, float64(i.Dropped), i.Name, "dropped")
		counter(m.packetDrops, float64(i.WouldDrop), i.Name, "would_drop")
	}
	gaps := make(map[[2]string]uint64)
	for _, g := range status.CoverageGaps {
		gaps[[2]string{g.Plugin, g.Reason}] += g.Events
	}
	for k, n := range gaps {
		gauge(m.gapEvents, float64(n), k[0], k[1])
	}
	seen := make(map[string]bool)
	for _, p := range m.daemon.roster.List() {
		if !p.Enabled || seen[p.Name] {
			continue
		}
		seen[p.Name] = true
		up := 0.0
		if p.State == "running" {
			up = 1
		}
		gauge(m.pluginUp, up, p.Name)
		gauge(m.pluginRSS, float64(p.RssBytes), p.Name)
		gauge(m.pluginEvents, p.EventsPerSecond, p.Name)
		counter(m.pluginCPU, p.CpuSeconds, p.Name)
		counter(m.pluginRestarts, float64(p.Restarts), p.Name)
		counter(m.pluginDropped, float64(p.Dropped), p.Name)
		gauge(m.pluginState, 1, p.Name, p.State)
		counter(m.pluginEventsTotal, float64(p.Events), p.Name)
		counter(m.pluginBytes, float64(p.Bytes), p.Name)
		counter(m.pluginAlerts, float64(p.Alerts), p.Name)
		counter(m.pluginLogLines, float64(p.LogLinesDropped), p.Name)
		if p.HeapObjectsAllocated > 0 {
			counter(m.pluginHeapObjects, float64(p.HeapObjectsAllocated), p.Name)
		}
	}
}

// serveMetrics answers scrapes until ctx is done; nothing is served when no
// address is configured.
func (d *daemon) serveMetrics(ctx context.Context) error {
	address := d.settings().Metrics.Listen
	if address == "" {
		return nil
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(newExporter(d)); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		d.log.Error("metrics are not served; change [metrics] listen", "error", err)
		return nil // a busy port is no reason to stop watching
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}
