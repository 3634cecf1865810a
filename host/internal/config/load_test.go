package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDefaults(t *testing.T) {
	h := mustLoad(t, Options{}).Host()
	want := Host{
		General: General{DataDir: "/var/lib/ironpost", LogLevel: "info", LogFormat: "text", Mode: Simulate},
		Plugins: Plugins{
			Dirs: []string{"/usr/lib/ironpost/plugins"}, Enabled: []string{}, Disabled: []string{}, TrustedKeys: []string{},
			StartTimeout: 10 * time.Second, DescribeTimeout: 5 * time.Second, DrainTimeout: 10 * time.Second, AnswerTimeout: 30 * time.Second,
			Procs: 1, StateBytes: 64 << 20, MemoryBytes: DefaultMemoryBytes, DockerSocket: "/var/run/docker.sock",
		},
		Bus: Bus{
			BatchEvents: 1024, BatchBytes: 256 << 10, Credits: 16,
			RetainedBytes: 64 << 20, CheckpointInterval: 100 * time.Millisecond,
		},
		LogPipeline: LogPipeline{Routes: map[string]string{}, BatchSize: 2048, FlushInterval: 2 * time.Millisecond},
		EBPF:        EBPF{Enabled: true, Interfaces: []string{}, Mode: "auto", FlushInterval: 100 * time.Millisecond, Allow: []netip.Prefix{}, MaxEntries: 1 << 20, PinDir: "/sys/fs/bpf/ironpost"},
		Respond:     Respond{Allow: []netip.Prefix{}, TrustedProxies: []netip.Prefix{}, MaxBlocksPerMinute: 30, MaxTTL: 24 * time.Hour},
		Guard:       Guard{MaxPerMinute: 12, MaxAtOnce: 10, MaxShare: 50, MaxAlike: 5, MaxTTL: 24 * time.Hour, Approve: []string{}, ApprovalTTL: 15 * time.Minute},
		Fleet:       Fleet{Timeout: 20 * time.Millisecond, Share: []string{"block", "limit", "allow"}, Take: []string{"block", "limit", "allow"}},
		Audit:       Audit{KeepBytes: 256 << 20, HeadInterval: 5 * time.Minute},
		Control:     Control{Socket: "/run/ironpost/ironpost.sock", Group: "ironpost"},
	}
	if diff := cmp.Diff(want, h, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestHostValuesFromFile(t *testing.T) {
	c := mustLoad(t, Options{Strict: true, File: write(t, `
[general]
mode = "enforce"
[plugins]
enabled = []
[bus]
batch_bytes = 65536
[log_pipeline]
flush_interval = "1ms500us"
[log_pipeline.routes]
"/var/log/auth.log" = "syslog"
journald = "json"
[ebpf]
interface = ["eth0", "wg0"]
allow = ["192.0.2.7", "2001:db8::/32", "::ffff:198.51.100.0/120"]
[respond]
max_ttl = "7d"
trusted_proxies = "10.0.0.0/8"
[metrics]
listen = "[::1]:9090"
`)})
	h := c.Host()
	got := []any{
		h.General.Mode, h.Plugins.EnabledSet, h.Bus.BatchBytes, h.LogPipeline.FlushInterval, h.LogPipeline.Routes,
		h.EBPF.Interfaces, h.EBPF.Allow, h.Respond.MaxTTL, h.Respond.TrustedProxies, h.Metrics.Listen,
	}
	want := []any{
		Enforce, true, int64(65536), 1500 * time.Microsecond,
		map[string]string{"/var/log/auth.log": "syslog", "journald": "json"},
		[]string{"eth0", "wg0"},
		[]netip.Prefix{netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("198.51.100.0/24")},
		7 * 24 * time.Hour,
		[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		"[::1]:9090",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestPrecedence(t *testing.T) {
	file := write(t, "[bus]\ncredits = 5\n[log_pipeline.routes]\na = \"file\"\nb = \"file\"\n")
	flag := []Flag{{Name: "--credits", Key: "bus.credits", Value: 7}}
	env := []string{"IRONPOST_BUS_CREDITS=6", "IRONPOST_LOG_PIPELINE_ROUTES=b=env"}
	tests := []struct {
		name    string
		options Options
		credits int
		origin  string
		routes  map[string]string
	}{
		{"default", Options{}, 16, "default", map[string]string{}},
		{"file over default", Options{File: file}, 5, file + ":2", map[string]string{"a": "file", "b": "file"}},
		{"environment over file, a map as a whole", Options{File: file, Env: env}, 6, "env IRONPOST_BUS_CREDITS", map[string]string{"b": "env"}},
		{"flag over environment", Options{File: file, Env: env, Flags: flag}, 7, "flag --credits", map[string]string{"b": "env"}},
		{"flag over default", Options{Flags: flag}, 7, "flag --credits", map[string]string{}},
		{"text of a flag", Options{Flags: []Flag{{"--credits", "bus.credits", "8"}}}, 8, "flag --credits", map[string]string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := mustLoad(t, tt.options)
			if got := c.Host().Bus.Credits; got != tt.credits {
				t.Errorf("credits: got %d, want %d", got, tt.credits)
			}
			if diff := cmp.Diff(tt.routes, c.Host().LogPipeline.Routes); diff != "" {
				t.Errorf("routes (-want +got):\n%s", diff)
			}
			if got := setting(t, c, "bus.credits").Origin.String(); got != tt.origin {
				t.Errorf("origin: got %s, want %s", got, tt.origin)
			}
		})
	}
}

func setting(t *testing.T, c *Config, key string) Setting {
	t.Helper()
	for _, s := range c.Origins() {
		if s.Key == key {
			return s
		}
	}
	t.Fatalf("Origins has no key %s", key)
	return Setting{}
}

// Every form of an error, with its exact words and line.
func TestProblems(t *testing.T) {
	tests := []struct {
		name, file string
		want       string // FILE stands for the path
	}{
		{
			"unknown key", "[bus]\n\ncredit = 1\n",
			`FILE:3: bus.credit: unknown key; allowed: batch_bytes, batch_events, checkpoint_interval, credits, retained_bytes; did you mean credits?`,
		},
		{
			"key of another section", "[metrics]\nbatch_events = 1\n",
			`FILE:2: metrics.batch_events: unknown key; allowed: listen; it belongs below [bus]`,
		},
		{
			"key outside of a section", "data_dir = '/x'\n",
			`FILE:1: data_dir: this key stands outside of any section; it belongs below [general]`,
		},
		{
			"string for a number", "[bus]\ncredits = \"four\"\n",
			`FILE:2: bus.credits: "four" is a string; allowed: a whole number from 1 to 64`,
		},
		{
			"fraction for a whole number", "[bus]\ncredits = 4.5\n",
			`FILE:2: bus.credits: 4.5 is a number with a fraction; allowed: a whole number from 1 to 64`,
		},
		{
			"out of range above", "[bus]\nbatch_events = 1\ncredits = 65\n",
			`FILE:3: bus.credits: 65 is out of range; allowed: a whole number from 1 to 64`,
		},
		{
			"out of range below", "[bus]\ncredits = 0\n",
			`FILE:2: bus.credits: 0 is out of range; allowed: a whole number from 1 to 64`,
		},
		{
			"number for a duration", "[log_pipeline]\nflush_interval = 2\n",
			`FILE:2: log_pipeline.flush_interval: 2 has no unit; allowed: a duration such as "250ms" or "1h30m", from 100µs to 1s`,
		},
		{
			"no duration", "[log_pipeline]\nflush_interval = \"2 ms\"\n",
			`FILE:2: log_pipeline.flush_interval: "2 ms" is not a duration; allowed: a duration such as "250ms" or "1h30m", from 100µs to 1s`,
		},
		{
			"duration out of range", "[respond]\nmax_ttl = \"366d\"\n",
			`FILE:2: respond.max_ttl: 366d is out of range; allowed: a duration such as "250ms" or "1h30m", from 1s to 365d`,
		},
		{
			"ambiguous unit of a size", "[bus]\nbatch_bytes = \"128K\"\n",
			`FILE:2: bus.batch_bytes: "128K" is not a size; allowed: a size such as 4096 or "128KiB", from 4KiB to 1MiB`,
		},
		{
			"negative size", "[bus]\nbatch_bytes = -1\n",
			`FILE:2: bus.batch_bytes: -1 is out of range; allowed: a size such as 4096 or "128KiB", from 4KiB to 1MiB`,
		},
		{
			"unknown value", "[general]\nmode = \"enforced\"\n",
			`FILE:2: general.mode: "enforced" is not known; allowed: "detect", "simulate", "enforce"; did you mean enforce?`,
		},
		{
			"string for a boolean", "[ebpf]\nenabled = \"yes\"\n",
			`FILE:2: ebpf.enabled: "yes" is a string; allowed: true or false`,
		},
		{
			"element of a list on its own line", "[ebpf]\nallow = [\n  \"192.0.2.1\", # one\n  # two\n  \"192.0.2\",\n]\n",
			`FILE:5: ebpf.allow[1]: "192.0.2" is neither an address nor a network; allowed: a list of addresses or networks such as 192.0.2.7 or 192.0.2.0/24, at most 65536`,
		},
		{
			"element of another type", "[ebpf]\ninterface = [\"eth0\", 1]\n",
			`FILE:2: ebpf.interface[1]: 1 is a whole number; allowed: a list of names of network interfaces such as eth0, at most 64`,
		},
		{
			"host bits", "[respond]\nallow = [\"192.0.2.7/24\"]\n",
			`FILE:2: respond.allow[0]: "192.0.2.7/24" has bits set after the first 24, 192.0.2.0/24 would be the network; allowed: a list of addresses or networks such as 192.0.2.7 or 192.0.2.0/24, at most 65536`,
		},
		{
			"port", "[metrics]\nlisten = \"localhost:99999\"\n",
			`FILE:2: metrics.listen: "localhost:99999" has no port from 0 to 65535; allowed: host:port such as 127.0.0.1:9090`,
		},
		{
			"interface name", "[ebpf]\ninterface = \"a/b\"\n",
			`FILE:2: ebpf.interface[0]: "a/b" is not the name of a network interface; allowed: a list of names of network interfaces such as eth0, at most 64`,
		},
		{
			"table for a value", "[bus.credits]\nx = 1\n",
			`FILE:1: bus.credits: is a table; allowed: a whole number from 1 to 64`,
		},
		{
			"date for a value", "[bus]\ncredits = 2026-01-01\n",
			`FILE:2: bus.credits: is a date or a time; allowed: a whole number from 1 to 64`,
		},
		{
			"value for a map", "[log_pipeline]\nroutes = \"syslog\"\n",
			`FILE:2: log_pipeline.routes: "syslog" is a string; allowed: a table name = string, at most 4096`,
		},
		{
			"number in a map", "[log_pipeline.routes]\na = \"x\"\nb = 3\n",
			`FILE:3: log_pipeline.routes.b: 3 is a whole number; allowed: a table name = string, at most 4096`,
		},
		{
			"dotted name in a map", "[log_pipeline.routes]\nauth.log = \"syslog\"\n",
			`FILE:2: log_pipeline.routes.auth: is a table; allowed: a table name = string, at most 4096; a name with dots is written in quotes, as "a.b"`,
		},
		{
			"section as a value", "bus = 3\n",
			`FILE:1: bus: this is a section, and the file has a whole number of that name; allowed: [bus] once, with its keys below it`,
		},
		{
			"section as a list of tables", "[[bus]]\ncredits = 3\n",
			`FILE:1: bus: this is a section, and the file has a list of that name; allowed: [bus] once, with its keys below it`,
		},
		{
			"unknown section", "[metrics]\n[continer]\nx = 1\n",
			`FILE:2: continer: no plugin owns this section and it is not the host's; did you mean [container]?`,
		},
		{
			"unknown section that is near to nothing", "[[zzzzzzz]]\nx = 1\n",
			`FILE:1: zzzzzzz: no plugin owns this section and it is not the host's`,
		},
		{
			"syntax", "[bus]\ncredits = \n",
			`FILE:2: not valid TOML: unexpected character U+000A at start of value`,
		},
		{
			"key twice", "[bus]\ncredits = 1\ncredits = 2\n",
			`FILE:3: not valid TOML: key credits is already defined`,
		},
		{
			"section twice", "[bus]\n[ebpf]\n[bus]\n",
			`FILE:3: not valid TOML: table bus already exists`,
		},
		{
			"number too large for 64 bits", "[bus]\ncredits = 99999999999999999999\n",
			`FILE:2: not valid TOML: decimal number is too large to fit in a 64-bit signed integer`,
		},
		{
			"nesting of lists", "[bus]\ncredits = " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "\n",
			`FILE:2: not valid TOML: values are nested more than 32 deep`,
		},
		{
			"nesting of keys", "[a." + strings.Repeat("b.", 40) + "c]\n",
			`FILE:1: not valid TOML: keys are nested more than 32 deep`,
		},
		{
			"number of keys", strings.Repeat("[[a]]\n", maxKeys+1),
			`FILE:10001: not valid TOML: the file has more than 10000 keys`,
		},
		{
			"control character in a key", "[bus]\n\"a\\u001fb\" = 1\n",
			`FILE:2: not valid TOML: a key holds control characters`,
		},
		{
			"terminal escape in a key", "[bus]\n\"\\u001b[31m\" = 1\n",
			`FILE:2: bus."\x1b[31m": unknown key; allowed: batch_bytes, batch_events, checkpoint_interval, credits, retained_bytes`,
		},
		{
			"keys that only fit together", "[bus]\ncredits = 64\nretained_bytes = \"1MiB\"\n",
			`FILE:3: bus.retained_bytes: 1MiB is less than batch_bytes times credits; allowed: at least 16MiB, so that all batches in flight can be kept`,
		},
		{
			"relative pin directory", "[ebpf]\npin_dir = \"bpf\"\n",
			`FILE:2: ebpf.pin_dir: "bpf" is not an absolute path; allowed: the path of a directory in a bpffs, or empty to pin nothing`,
		},
		{
			"line in a file with CRLF and a byte order mark", "\xef\xbb\xbf[bus]\r\n\r\ncredits = 0\r\n",
			`FILE:3: bus.credits: 0 is out of range; allowed: a whole number from 1 to 64`,
		},
		{
			"line of an inline table", "bus = { batch_events = 1, credits = 0 }\n",
			`FILE:1: bus.credits: 0 is out of range; allowed: a whole number from 1 to 64`,
		},
		{
			"line of a dotted key", "\nbus.credits = 0\n",
			`FILE:2: bus.credits: 0 is out of range; allowed: a whole number from 1 to 64`,
		},
		{
			"all at once, in the order of the lines",
			"[general]\nmod = 1\n[bus]\ncredits = 0\nbatch_events = 0\n[nobody]\n",
			"FILE:2: general.mod: unknown key; allowed: data_dir, log_format, log_level, mode; did you mean mode?\n" +
				"FILE:4: bus.credits: 0 is out of range; allowed: a whole number from 1 to 64\n" +
				"FILE:5: bus.batch_events: 0 is out of range; allowed: a whole number from 1 to 65536\n" +
				"FILE:6: nobody: no plugin owns this section and it is not the host's",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, tt.file)
			_, err := Load(Options{
				File: path, Strict: true,
				Known: []Section{{Name: "container", Owner: "enforcer-docker", Unread: true}},
			})
			if err == nil {
				t.Fatalf("Load: no error, want %s", tt.want)
			}
			if got := strings.ReplaceAll(err.Error(), path, "FILE"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestFileAsAWhole(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.toml")
	if err := os.WriteFile(large, []byte(strings.Repeat("#", MaxFile+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path, want string
		is               error
	}{
		{"absent", filepath.Join(dir, "no.toml"), "the file does not exist; name it with --config, or create it with: ironpost setup", fs.ErrNotExist},
		{"directory", dir, "this is not a regular file; allowed: a TOML file", errNotRegular},
		{"too large", large, "the file is too large; allowed: at most 1MiB", errTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(Options{File: tt.path})
			if err == nil || err.Error() != tt.path+": "+tt.want {
				t.Errorf("got %v, want %s: %s", err, tt.path, tt.want)
			}
			if !errors.Is(err, tt.is) {
				t.Errorf("errors.Is(err, %v) is false", tt.is)
			}
			var p Problem
			if !errors.As(err, &p) || p.Owner != HostOwner || p.File != tt.path {
				t.Errorf("errors.As gives %+v", p)
			}
		})
	}
	t.Run("device", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			t.Skip("windows has no /dev/zero")
		}
		if _, err := Load(Options{File: "/dev/zero"}); !errors.Is(err, errNotRegular) {
			t.Errorf("got %v, want %v", err, errNotRegular)
		}
	})
	t.Run("absent and optional", func(t *testing.T) {
		mustLoad(t, Options{File: filepath.Join(dir, "no.toml"), Optional: true, Strict: true})
	})
	t.Run("empty", func(t *testing.T) {
		mustLoad(t, Options{File: write(t, ""), Strict: true})
	})
	t.Run("exactly the limit", func(t *testing.T) {
		mustLoad(t, Options{File: write(t, strings.Repeat("#", MaxFile)), Strict: true})
	})
	t.Run("no more problems than fit a page, none forgotten", func(t *testing.T) {
		var b strings.Builder
		b.WriteString("[bus]\n")
		for i := range 5000 {
			fmt.Fprintf(&b, "k%d = 1\n", i)
		}
		b.WriteString("[storage]\nworkers = 99\n")
		_, err := Load(Options{File: write(t, b.String()), Known: []Section{storage()}})
		var ps Problems
		if !errors.As(err, &ps) || len(ps) > maxProblems+5 {
			t.Fatalf("got %d problems, want at most %d", len(ps), maxProblems+5)
		}
		if ps.Of("sink-acme") == nil {
			t.Error("the problem of the plugin was lost behind those of the host")
		}
	})
}

func TestPluginSection(t *testing.T) {
	c := mustLoad(t, Options{Strict: true, Known: []Section{storage()}, File: write(t, `
[storage]
url = "postgres"
ratio = 1
timeout = "1d"
cache = "2MiB"
hosts = []
[storage.tls]
cert = "/c.pem"
[storage.labels]
"a.b" = "c"
`)})
	want := map[string]any{
		"url": "postgres", "level": "low", "password": Secret(""), "workers": int64(2), "ratio": 1.0, "compress": true,
		"timeout": 24 * time.Hour, "cache": int64(2 << 20), "hosts": []string{},
		"labels": map[string]string{"a.b": "c"},
		"tls":    map[string]any{"cert": "/c.pem", "verify": true},
	}
	if got := c.Section("storage"); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
	b, err := c.SectionJSON("storage")
	if err != nil {
		t.Fatal(err)
	}
	const wantJSON = `{"cache":2097152,"compress":true,"hosts":[],"labels":{"a.b":"c"},"level":"low","password":"",` +
		`"ratio":1,"timeout":86400000000000,"tls":{"cert":"/c.pem","verify":true},"url":"postgres","workers":2}`
	if string(b) != wantJSON {
		t.Errorf("got  %s\nwant %s", b, wantJSON)
	}
	if !c.HasSection("storage") || mustLoad(t, Options{Known: []Section{storage()}}).HasSection("storage") {
		t.Error("HasSection: want true with and false without the section")
	}
	t.Run("what it returns is the caller's", func(t *testing.T) {
		c.Section("storage")["tls"].(map[string]any)["cert"] = "changed"
		if got := c.Section("storage")["tls"].(map[string]any)["cert"]; got != "/c.pem" {
			t.Errorf("got %v, want /c.pem", got)
		}
	})
}

func TestPluginProblemsStopThatPluginAlone(t *testing.T) {
	path := write(t, "[storage]\nworkers = 9\ntls = 1\n[other]\nx = 1\n[nobody]\n")
	o := Options{
		File: path,
		Env:  []string{"IRONPOST_STORAGE_RATIO=2"},
		Known: []Section{
			storage(),
			{Name: "other", Owner: "other", Fields: []Field{{Key: "x", Type: Int}}},
			{Name: "other", Owner: "thief"},
			{Name: "general", Owner: "usurper"},
			{Name: "broken", Owner: "broken", Fields: []Field{{Key: "x", Type: "number"}}},
			{Name: "bus_x", Owner: HostOwner, Fields: []Field{{Key: "x", Type: "number"}}},
		},
	}
	c := mustLoad(t, o)
	want := []string{
		path + `:2: storage.workers: 9 is out of range; allowed: a whole number from 1 to 8`,
		path + `:3: storage.tls: is a whole number; allowed: a table with the keys cert, verify`,
		`env IRONPOST_STORAGE_RATIO: storage.ratio: 2 is out of range; allowed: a number from 0 to 1`,
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), c.PluginProblems("sink-acme").Error()); diff != "" {
		t.Errorf("problems of sink-acme (-want +got):\n%s", diff)
	}
	if c.Section("storage") != nil {
		t.Error("Section of a section with problems: want nil")
	}
	if _, err := c.SectionJSON("storage"); err == nil {
		t.Error("SectionJSON of a section with problems: want an error")
	}
	for owner, want := range map[string]string{
		"other":   "",
		"thief":   "other: the section declared by thief is not usable: the name is taken by other",
		"usurper": "general: the section declared by usurper is not usable: the name is taken by host",
		"broken":  "broken: the section declared by broken is not usable: key x: unknown type number",
	} {
		if got := c.PluginProblems(owner).Error(); got != want {
			t.Errorf("problems of %s: got %q, want %q", owner, got, want)
		}
	}
	if got := c.Section("other")["x"]; got != int64(1) {
		t.Errorf("the other plugin's value: got %v, want 1", got)
	}
	if got, want := c.UnknownSections(), []UnknownSection{{Name: "nobody", File: path, Line: 6}}; !reflect.DeepEqual(got, want) {
		t.Errorf("unknown sections: got %v, want %v", got, want)
	}
	if got := len(c.Problems().Warnings()); got != 2 {
		t.Errorf("warnings: got %d, want 2: %v", got, c.Problems().Warnings())
	}
	o.Strict = true
	if _, err := Load(o); err == nil {
		t.Error("strict: want an error")
	}
}

func TestUnreadSectionStopsNothing(t *testing.T) {
	c := mustLoad(t, Options{
		Strict: true,
		File:   write(t, "[container]\nanything = { goes = [1, 2] }\n"),
		Env:    []string{"IRONPOST_CONTAINER_ANYTHING=1"},
		Known:  []Section{{Name: "container", Owner: "enforcer-docker", Unread: true}},
	})
	if got := c.Section("container"); got != nil {
		t.Errorf("Section: got %v, want nil", got)
	}
}

func TestProblemJSON(t *testing.T) {
	_, err := Load(Options{File: write(t, "[bus]\ncredits = 0\n")})
	var p Problem
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want a Problem", err)
	}
	p.File = "ironpost.toml"
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"origin":"file","file":"ironpost.toml","line":2,"key":"bus.credits","owner":"host",` +
		`"problem":"0 is out of range","allowed":"a whole number from 1 to 64","warning":false}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}
