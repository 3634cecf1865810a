//go:build bench

package main_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver of the sink's databases

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/cmd/ironpost/testdata/bench/server"
)

// The counters of the host that a run goes by.
const (
	receivedMetric = `ironpost_events_total{stage="received"}`
	parsedMetric   = `ironpost_events_total{stage="parsed"}`
)

// sustainedPlugins take part, with the settings that they have without any.
var sustainedPlugins = []string{"source-file", "parser-syslog", "detector-rules", "sink-sqlite"}

// sustainedHost is a host whose source follows server.log.
type sustainedHost struct {
	*hosttest.Host
	metrics string
	client  http.Client
	pids    map[string]int
}

func startSustained(t *testing.T, load rulesLoad) *sustainedHost {
	t.Helper()
	address := hosttest.FreeAddress(t)
	h := &sustainedHost{metrics: "http://" + address + "/metrics", pids: make(map[string]int)}
	// The host would spend more on compression than on what it is asked.
	h.client.Transport = &http.Transport{DisableCompression: true}
	t.Cleanup(h.client.CloseIdleConnections)
	h.Host = hosttest.Start(t, hosttest.Options{NoStart: true, Plugins: sustainedPlugins})
	paths := make([]string, len(load.paths))
	for i, p := range load.paths {
		paths[i] = strconv.Quote(p)
	}
	h.WriteConfig(fmt.Sprintf("[general]\ndata_dir = %q\n[control]\nsocket = %q\n[plugins]\ndirs = [%q]\n[metrics]\nlisten = %q\n[source_file]\npaths = [%q]\n[rules]\npaths = [%s]\n",
		filepath.Join(h.Dir, "data"), h.Socket, filepath.Join(h.Dir, "plugins"), address, h.Log("server.log"), strings.Join(paths, ", ")))
	started := make(chan struct{})
	var sharing sync.WaitGroup
	sharing.Go(func() { shareSessions(t, started) })
	h.Start()
	close(started)
	sharing.Wait()
	h.pids["host"] = h.PID()
	for _, name := range sustainedPlugins {
		p := h.Plugin(name)
		if p.State != "running" {
			t.Fatalf("plugin %s is %s (%s), want it to run", name, p.State, p.LastError)
		}
		h.pids[name] = p.PID
	}
	return h
}

// shareSessions gives plugins the priority of this test's session, as soon as a host
// has started them, until started is closed and all have it. Where Linux divides
// processors among sessions first (sched_autogroup), each plugin, which is a session
// of its own, would get as much as the whole of any other work on the machine,
// whatever the nice value of the test.
func shareSessions(t *testing.T, started <-chan struct{}) {
	own, err := os.ReadFile("/proc/self/autogroup")
	if err != nil {
		return // there is no such division
	}
	var number, nice int
	if n, _ := fmt.Sscanf(string(own), "/autogroup-%d nice %d", &number, &nice); n != 2 || nice == 0 {
		return
	}
	shared := make(map[int]bool)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for last := false; !last; {
		select {
		case <-started:
			last = true
		case <-tick.C:
		}
		for _, host := range childrenOf(os.Getpid()) {
			for _, plugin := range childrenOf(host) {
				if shared[plugin] {
					continue
				}
				shared[plugin] = true
				if err := os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", plugin), []byte(strconv.Itoa(nice)), 0); err != nil {
					t.Logf("process %d keeps the priority of its session: %v", plugin, err)
				}
			}
		}
	}
}

// childrenOf are the processes that a process started.
func childrenOf(pid int) (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is right
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for field := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// metric is one value of those for Prometheus.
func (h *sustainedHost) metric(t *testing.T, name string) float64 {
	t.Helper()
	answer, err := h.client.Get(h.metrics)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("the host serves no %s", name)
	return 0
}

// checkFlow holds what every stage counted against the lines that were written.
func (h *sustainedHost) checkFlow(t *testing.T, lines int) {
	t.Helper()
	var s benchStatus
	h.JSON(&s, "status")
	s.clean(t)
	if s.Received != uint64(lines) || s.Parsed != uint64(lines) {
		t.Errorf("got %d lines received and %d parsed, want %d", s.Received, s.Parsed, lines)
	}
	// The detector is sent the alerts as well.
	if got, want := h.metric(t, `ironpost_plugin_events_total{plugin="detector-rules"}`), lines+int(s.Alerts); int(got) != want {
		t.Errorf("the detector was sent %.0f events, want %d", got, want)
	}
	for name, pid := range h.pids {
		if name == "host" {
			continue
		}
		if p := h.Plugin(name); p.PID != pid || p.Dropped != 0 {
			t.Errorf("%s has the process %d and dropped %d, want %d and 0", name, p.PID, p.Dropped, pid)
		}
	}
}

// end stops the host.
func (h *sustainedHost) end(t *testing.T) {
	t.Helper()
	if err := h.Stop(); err != nil {
		t.Error(err)
	}
}

// alertKey names an alert by its rule and the messages of what it cites.
func alertKey(rule string, messages []string) string {
	return rule + "\x00" + strings.Join(messages, "\x00")
}

// plantedAlerts are those about the first incidents, by their keys.
func plantedAlerts(incidents int, sigma bool) map[string]bool {
	want := make(map[string]bool)
	for i := range incidents {
		for _, a := range server.Incident(i).Alerts(sigma) {
			want[alertKey(a.Rule, a.Messages)] = true
		}
	}
	return want
}

// alertsReader reads the sink's database beside the sink.
type alertsReader struct{ *sql.DB }

func openAlerts(t *testing.T, h *hosttest.Host) alertsReader {
	t.Helper()
	path := filepath.Join(h.Dir, "data", "sink-sqlite", "alerts.db")
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: "mode=ro&_pragma=busy_timeout(5000)"}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return alertsReader{db}
}

func (r alertsReader) count(t *testing.T) (n int) {
	t.Helper()
	if err := r.QueryRow("SELECT count(*) FROM alerts").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// storedAlert is an alert in the database.
type storedAlert struct {
	key    string
	cited  int
	read   time.Time // when the source read the last line that it cites
	raised time.Time // when the host received it
	seen   time.Time // when it was read from the database
}

// after visits the alerts behind a row, and returns the last row.
func (r alertsReader) after(t *testing.T, row int64, visit func(storedAlert)) int64 {
	t.Helper()
	rows, err := r.Query("SELECT seq, rule_id, doc FROM alerts WHERE seq > ? ORDER BY seq", row)
	if err != nil {
		t.Error(err)
		return row
	}
	defer rows.Close()
	for rows.Next() {
		var rule, text string
		if err := rows.Scan(&row, &rule, &text); err != nil {
			t.Error(err)
			return row
		}
		var doc struct {
			Observed int64 `json:"observed"`
			Logs     []struct {
				Observed int64  `json:"observed"`
				Message  string `json:"message"`
			} `json:"logs"`
		}
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Errorf("alert in row %d: %v", row, err)
		}
		a := storedAlert{cited: len(doc.Logs), raised: time.Unix(0, doc.Observed), seen: time.Now()}
		messages := make([]string, len(doc.Logs))
		for i, l := range doc.Logs {
			messages[i], a.read = l.Message, time.Unix(0, l.Observed)
		}
		a.key = alertKey(rule, messages)
		visit(a)
	}
	if err := rows.Err(); err != nil {
		t.Error(err)
	}
	return row
}

// check holds the alerts in the database, with the events that they cite, against
// those that the lines were made to raise.
func (r alertsReader) check(t *testing.T, want map[string]bool) {
	t.Helper()
	got, cited, strange := 0, 0, 0
	seen := make(map[string]bool)
	r.after(t, 0, func(a storedAlert) {
		got++
		cited += a.cited
		if !want[a.key] || seen[a.key] {
			if strange++; strange <= 5 {
				t.Errorf("an alert that should not be there: %.300q", a.key)
			}
		}
		seen[a.key] = true
	})
	if got != len(want) || strange != 0 {
		t.Errorf("got %d alerts in the database, %d of them strange; want %d", got, strange, len(want))
	}
	t.Logf("%d alerts in the database, which cite %d events, are those that the lines were made to raise", got, cited)
}

// alertFollower reads alerts as they come.
type alertFollower struct {
	done chan struct{}
	seen map[string]storedAlert
}

// followPeriod is how often the database is asked.
const followPeriod = 2 * time.Millisecond

// followAlerts follows the alerts until there are n.
func followAlerts(t *testing.T, db alertsReader, n int) *alertFollower {
	t.Helper()
	f := &alertFollower{done: make(chan struct{}), seen: make(map[string]storedAlert, n)}
	quit := make(chan struct{})
	go func() {
		defer close(f.done)
		tick := time.NewTicker(followPeriod)
		defer tick.Stop()
		for row := int64(0); len(f.seen) < n; {
			select {
			case <-tick.C:
			case <-quit:
				return
			}
			row = db.after(t, row, func(a storedAlert) { f.seen[a.key] = a })
		}
	}()
	t.Cleanup(func() { close(quit); <-f.done })
	return f
}

func (f *alertFollower) wait(t *testing.T) map[string]storedAlert {
	t.Helper()
	select {
	case <-f.done:
	case <-time.After(time.Minute):
		t.Fatal("not every alert came within a minute of the last line")
	}
	return f.seen
}
