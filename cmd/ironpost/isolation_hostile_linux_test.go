package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// hostileKinds are the kinds that the hostile plugin takes.
var hostileKinds = []string{"source", "parser", "detector", "enforcer", "scanner", "sink"}

// infoLine is what the tests read of plugin info.
type infoLine struct {
	Status      hosttest.Plugin   `json:"status"`
	Counters    map[string]uint64 `json:"counters"`
	Confinement []string          `json:"confinement"`
	Unenforced  []string          `json:"unenforced"`
}

// attemptNames returns the attempts of the hostile plugin, and what each does.
func attemptNames(t *testing.T, binary string) (names []string, what map[string]string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary, "list").Output()
	if err != nil {
		t.Fatal(err)
	}
	what = map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, does, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		names = append(names, name)
		what[name] = does
	}
	return names, what
}

// isolationTable is the table of attempts in docs/isolation.md: name, what is
// tried, what stops it, answer.
func isolationTable(t *testing.T) (names []string, rows map[string][]string) {
	t.Helper()
	f, err := os.Open(filepath.Join(hosttest.Root(), "docs", "isolation.md"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows = map[string][]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		cells := strings.Split(strings.Trim(s.Text(), "| "), " | ")
		if name := strings.Trim(cells[0], "`"); len(cells) == 4 && name != cells[0] {
			names = append(names, name)
			rows[name] = cells
		}
	}
	return names, rows
}

// TestIsolationTable holds the table of the documentation to the attempts.
func TestIsolationTable(t *testing.T) {
	t.Parallel()
	names, what := attemptNames(t, hosttest.Compile(t, "./cmd/ironpost/testdata/plugins/hostile"))
	documented, rows := isolationTable(t)
	if diff := cmp.Diff(names, documented); diff != "" {
		t.Fatalf("attempts of the hostile plugin and rows of docs/isolation.md (-plugin +docs):\n%s", diff)
	}
	for _, n := range names {
		if rows[n][1] != what[n] {
			t.Errorf("%s: docs/isolation.md says %q, the plugin %q", n, rows[n][1], what[n])
		}
	}
}

// targets are what the attempts are made on, for everybody to reach.
type targets struct {
	dir   string
	close []io.Closer
	tcp   net.Listener
	udp   net.PacketConn
}

func openTargets(t *testing.T) *targets {
	t.Helper()
	g := &targets{dir: writeFiles(t, map[string]string{"world": "untouched"})}
	var err error
	keep := func(c io.Closer, cause error) {
		if cause != nil {
			t.Fatal(cause)
		}
		g.close = append(g.close, c)
	}
	g.tcp, err = net.Listen("tcp", "127.0.0.1:0")
	keep(g.tcp, err)
	g.udp, err = net.ListenPacket("udp", "127.0.0.1:0")
	keep(g.udp, err)
	stream, err := net.Listen("unix", g.path("stream"))
	keep(stream, err)
	datagram, err := net.ListenPacket("unixgram", g.path("datagram"))
	keep(datagram, err)
	abstract, err := net.Listen("unix", "@"+g.path("abstract"))
	keep(abstract, err)
	for name, mode := range map[string]os.FileMode{"stream": 0o666, "datagram": 0o666, "world": 0o666, "": 0o1777} {
		if err := os.Chmod(g.path(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, c := range g.close {
			_ = c.Close()
		}
	})
	return g
}

func (g *targets) path(name string) string { return filepath.Join(g.dir, name) }

// section configures one hostile plugin.
func (g *targets) section(kind string, h *hosttest.Host, victim hosttest.Plugin, dir string) string {
	return fmt.Sprintf(`[hostile_%s]
host_pid = %d
victim_pid = %d
victim_dir = %q
control = %q
copies = %q
tcp = %q
udp = %q
stream = %q
datagram = %q
abstract = %q
outside = %q
world_file = %q
`, kind, h.PID(), victim.PID, dir, h.Socket, filepath.Join(h.Dir, "data", "plugins"), g.tcp.Addr(), g.udp.LocalAddr(),
		g.path("stream"), g.path("datagram"), g.path("abstract"), g.dir, g.path("world"))
}

// environOf returns one entry of the environment of a process.
func environOf(t *testing.T, pid int, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	for entry := range strings.SplitSeq(string(b), "\x00") {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	t.Fatalf("process %d has no %s", pid, name)
	return ""
}

// pace appends lines and returns how many a second went through the pipeline to
// the sink.
func pace(t *testing.T, h *hosttest.Host, mark string) float64 {
	t.Helper()
	const lines = 100_000
	var b bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&b, "2024-03-01T00:00:00Z web1 app[7]: %s request %d of a customer was served in good time\n", mark, i)
	}
	record := filepath.Join(h.Dir, "data", "sink-record", "record")
	size := func() int64 {
		info, err := os.Stat(record)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	last := []byte(fmt.Sprintf("%s request %d of", mark, lines-1))
	begin := time.Now()
	appendTo(t, h.Log("app.log"), b.String())
	h.Wait(3*time.Minute, "the lines reach the sink", func() bool {
		f, err := os.Open(record)
		if err != nil {
			return false
		}
		defer f.Close()
		tail := make([]byte, 64<<10)
		n, _ := f.ReadAt(tail, max(0, size()-int64(len(tail))))
		return bytes.Contains(tail[:n], last)
	})
	return lines / time.Since(begin).Seconds()
}

// TestHostilePlugins runs the hostile plugin as each kind beside a host's
// ordinary plugins: every attempt fails, and the others go on with their work.
func TestHostilePlugins(t *testing.T) {
	needRoot(t)
	binary := hosttest.Compile(t, "./cmd/ironpost/testdata/plugins/hostile")
	content, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	names, what := attemptNames(t, binary)
	g := openTargets(t)
	dir := writeFiles(t, nil)
	hosttest.Copy(t, hosttest.Compile(t, "./cmd/ironpost/testdata/plugins/sink-record"), filepath.Join(dir, "sink-record"))
	rules := writeFiles(t, map[string]string{"ssh.yaml": bruteForce})
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-file", "parser-syslog", "detector-rules"}, PluginDirs: []string{dir},
		Config: fmt.Sprintf("[rules]\npaths = [%q]\n[log_pipeline.routes]\nhostile-source = \"hostile\"\n", rules),
		Env:    []string{"HOSTILE_SECRET=of the host"}, NoStart: true,
	})
	appendConfig(t, h, follow(filepath.Join(h.Dir, "log"), ""))
	h.Start()
	if _, err := h.CLI("plugin", "enable", "--yes", "sink-record"); err != nil {
		t.Fatal(err)
	}
	ordinary := []string{"source-file", "parser-syslog", "detector-rules", "sink-record"}
	before := map[string]hosttest.Plugin{}
	for _, name := range ordinary {
		before[name] = h.Plugin(name)
	}
	alone := pace(t, h, "alone")

	victim := before["parser-syslog"]
	victimDir := environOf(t, victim.PID, "PLUGIN_UNIX_SOCKET_DIR")
	for _, kind := range hostileKinds {
		appendConfig(t, h, g.section(kind, h, victim, victimDir))
	}
	for _, kind := range hostileKinds {
		// The kind behind the program's end makes other bytes of it.
		if err := os.WriteFile(filepath.Join(dir, "hostile-"+kind), append(slices.Clone(content), kind...), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range hostileKinds {
		if _, err := h.CLI("plugin", "enable", "--yes", "hostile-"+kind); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 6 { // alerts, for the enforcer
		appendTo(t, h.Log("auth.log"), fmt.Sprintf("2024-03-01T00:00:0%dZ web1 sshd[77]: Failed password for root from 192.0.2.9 port %d ssh2\n", i, 4000+i))
	}
	infos := map[string]infoLine{}
	defer func() {
		if t.Failed() {
			t.Logf("what was counted: %v", infos)
		}
	}()
	h.Wait(40*time.Second, "every kind has tried everything twice", func() bool {
		for _, kind := range hostileKinds {
			var info infoLine
			if h.Try(&info, "plugin", "info", "hostile-"+kind) != nil {
				return false
			}
			infos[kind] = info
			if info.Counters["rounds"] < 2 {
				return false
			}
		}
		return true
	})
	besieged := pace(t, h, "besieged")

	reportAttempts(t, names, what, infos)
	t.Logf("lines a second through source, parser, detector and sink: %.0f alone, %.0f beside six hostile plugins: ratio %.2f", alone, besieged, besieged/alone)
	if besieged < alone/20 {
		t.Errorf("got a throughput of %.2f of that without hostile plugins, want that the others go on", besieged/alone)
	}
	for _, name := range ordinary {
		if p := h.Plugin(name); p.State != "running" || p.PID != before[name].PID || p.Restarts != before[name].Restarts {
			t.Errorf("%s: got %+v, want it to run as before: %+v", name, p, before[name])
		}
	}
	for _, path := range []string{filepath.Join(victimDir, "hostile"), g.path("hostile")} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s was made", path)
		}
	}
	if b, err := os.ReadFile(g.path("world")); err != nil || string(b) != "untouched" {
		t.Errorf("the file of others: got %q, %v, want it untouched", b, err)
	}
	if err := h.Stop(); err != nil {
		t.Errorf("got %v from a stop, want exit code 0", err)
	}
}

// reportAttempts prints what came of each attempt in each kind, and fails the
// test for each that succeeded, was not made, or is not what the documentation says.
func reportAttempts(t *testing.T, names []string, what map[string]string, infos map[string]infoLine) {
	t.Helper()
	_, documented := isolationTable(t)
	var b strings.Builder
	fmt.Fprintf(&b, "%-24s", "attempt")
	for _, kind := range hostileKinds {
		fmt.Fprintf(&b, "%-10s", kind)
	}
	b.WriteString("what\n")
	for _, name := range names {
		fmt.Fprintf(&b, "%-24s", name)
		for _, kind := range hostileKinds {
			outcomes := map[string]uint64{}
			for counter, n := range infos[kind].Counters {
				if rest, ok := strings.CutPrefix(counter, "attempt "+name+" "); ok {
					outcomes[rest] = n
				}
			}
			shown := ""
			for outcome, n := range outcomes {
				answer, denied := strings.CutPrefix(outcome, "denied ")
				if !denied {
					t.Errorf("%s: %s (%s) succeeded %s times", kind, name, what[name], strconv.FormatUint(n, 10))
					answer = outcome
				} else if row := documented[name]; len(row) == 4 && !slices.Contains(strings.Split(strings.ReplaceAll(row[3], "`", ""), " or "), answer) {
					t.Errorf("%s: %s is answered with %s, docs/isolation.md says %s", kind, name, answer, row[3])
				}
				shown = answer
			}
			if len(outcomes) == 0 {
				t.Errorf("%s: %s (%s) was not tried", kind, name, what[name])
			}
			fmt.Fprintf(&b, "%-10s", shown)
		}
		b.WriteString(what[name] + "\n")
	}
	t.Logf("what came of the attempts:\n%s", b.String())
	for _, kind := range hostileKinds {
		if len(infos[kind].Confinement) == 0 {
			t.Errorf("%s: plugin info does not say what confines it", kind)
		}
	}
	t.Logf("plugin info of one, not enforced on this machine:\n%s", strings.Join(infos["parser"].Unenforced, "\n"))
}
