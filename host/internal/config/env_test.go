package config

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEnvironmentValues(t *testing.T) {
	c := mustLoad(t, Options{Strict: true, Known: []Section{storage()}, Env: []string{
		"PATH=/bin", "HOME", "",
		"IRONPOST_EBPF_INTERFACE=eth0, wg0 ,",
		"IRONPOST_EBPF_ENABLED=0",
		"IRONPOST_LOG_PIPELINE_BATCH_SIZE=12",
		"IRONPOST_LOG_PIPELINE_ROUTES=a.log=syslog,b = json",
		"IRONPOST_LOG_PIPELINE_FLUSH_INTERVAL=5ms",
		"IRONPOST_METRICS_LISTEN=",
		"IRONPOST_STORAGE_TLS_CERT=/x=y,z",
		"IRONPOST_STORAGE_CACHE=8KiB",
		"IRONPOST_STORAGE_RATIO=0.25",
		"IRONPOST_STORAGE_HOSTS=",
	}})
	h := c.Host()
	got := []any{h.EBPF.Interfaces, h.EBPF.Enabled, h.LogPipeline.BatchSize, h.LogPipeline.Routes, h.LogPipeline.FlushInterval, h.Metrics.Listen}
	want := []any{[]string{"eth0", "wg0"}, false, 12, map[string]string{"a.log": "syslog", "b": "json"}, 5 * time.Millisecond, ""}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("host: got  %v\nwant %v", got, want)
	}
	s := c.Section("storage")
	got = []any{s["tls"].(map[string]any)["cert"], s["cache"], s["ratio"], s["hosts"]}
	want = []any{"/x=y,z", int64(8192), 0.25, []string{}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("plugin: got  %v\nwant %v", got, want)
	}
}

func TestEnvironmentResolution(t *testing.T) {
	sections := []Section{
		{Name: "log", Owner: "log", Fields: []Field{{Key: "pipeline_batch_size", Type: Int}, {Key: "level", Type: String}}},
		{Name: "log_file", Owner: "log-file", Fields: []Field{{Key: "path", Type: String}}},
		{Name: "log-file-x", Owner: "log-file-x", Fields: []Field{{Key: "path", Type: String}, {Key: "a.b", Type: String}}},
		{Name: "bus_credits", Owner: "thief", Fields: []Field{{Key: "x", Type: String}}},
		{Name: "respond_max", Owner: "thief", Fields: []Field{{Key: "ttl", Type: String}}},
		{Name: "gone", Owner: "gone", Unread: true},
	}
	var c collector
	r := newResolver(newSchema(HostSections(), sections, &c))
	if ps := c.sorted(); ps != nil {
		t.Fatal(ps)
	}
	tests := []struct{ name, section, key string }{
		{"IRONPOST_LOG_LEVEL", "log", "level"},
		{"IRONPOST_LOG_PIPELINE_BATCH_SIZE", "log_pipeline", "batch_size"},
		{"IRONPOST_LOG_PIPELINE_X", "log_pipeline", ""},
		{"IRONPOST_LOG_FILE_PATH", "log_file", "path"},
		{"IRONPOST_LOG_FILE_X_PATH", "log-file-x", "path"},
		{"IRONPOST_LOG_FILE_X_A_B", "log-file-x", "a.b"},
		{"IRONPOST_BUS_CREDITS", "bus", "credits"},
		{"IRONPOST_BUS_CREDITS_X", "bus_credits", "x"},
		{"IRONPOST_RESPOND_MAX_TTL", "respond", "max_ttl"},
		{"IRONPOST_GENERAL_DATA_DIR", "general", "data_dir"},
		{"IRONPOST_GONE_X", "gone", ""},
		{"IRONPOST_BUS", "", ""},
		{"IRONPOST_", "", ""},
		{"IRONPOST_ebpf_interface", "", ""},
		{"IRONPOST_SERVICE_HOST", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, f := r.resolve(tt.name)
			var section, key string
			if s != nil {
				section = s.Name
			}
			if f != nil {
				key = f.Key
			}
			if section != tt.section || key != tt.key {
				t.Errorf("got [%s] %s, want [%s] %s", section, key, tt.section, tt.key)
			}
		})
	}
}

func TestEnvironmentProblems(t *testing.T) {
	tests := []struct {
		name string
		env  []string
		want string // "" for none
	}{
		{"bad number", []string{"IRONPOST_BUS_CREDITS=x"}, `env IRONPOST_BUS_CREDITS: bus.credits: "x" is not a whole number; allowed: a whole number from 1 to 64`},
		{"empty number", []string{"IRONPOST_BUS_CREDITS="}, `env IRONPOST_BUS_CREDITS: bus.credits: "" is not a whole number; allowed: a whole number from 1 to 64`},
		{"out of range", []string{"IRONPOST_BUS_CREDITS=65"}, `env IRONPOST_BUS_CREDITS: bus.credits: 65 is out of range; allowed: a whole number from 1 to 64`},
		{"bad boolean", []string{"IRONPOST_EBPF_ENABLED=maybe"}, `env IRONPOST_EBPF_ENABLED: ebpf.enabled: "maybe" is neither true nor false; allowed: true or false`},
		{"bad element", []string{"IRONPOST_EBPF_ALLOW=192.0.2.1,x"}, `env IRONPOST_EBPF_ALLOW: ebpf.allow[1]: "x" is neither an address nor a network; allowed: a list of addresses or networks such as 192.0.2.7 or 192.0.2.0/24, at most 65536`},
		{"no pair", []string{"IRONPOST_LOG_PIPELINE_ROUTES=a"}, `env IRONPOST_LOG_PIPELINE_ROUTES: log_pipeline.routes: "a" is not a pair name=value; allowed: a table name = string, at most 4096`},
		{"invalid UTF-8", []string{"IRONPOST_CONTROL_GROUP=\xff"}, `env IRONPOST_CONTROL_GROUP: control.group: is not valid UTF-8; allowed: a string of at most 32 bytes`},
		{"unknown key of a known section", []string{"IRONPOST_EBPF_INTERFAXE=eth0"}, `env IRONPOST_EBPF_INTERFAXE: ebpf: nothing is configured by this variable; did you mean IRONPOST_EBPF_INTERFACE?`},
		{"unknown section", []string{"IRONPOST_BUSS_CREDITS=1"}, `env IRONPOST_BUSS_CREDITS: nothing is configured by this variable; did you mean IRONPOST_BUS_CREDITS?`},
		{"near to nothing", []string{"IRONPOST_PORT_8080_TCP_ADDRESS_OF_A_SERVICE=1"}, `env IRONPOST_PORT_8080_TCP_ADDRESS_OF_A_SERVICE: nothing is configured by this variable`},
		{"reserved", []string{"IRONPOST_PLUGIN_COOKIE=1"}, ""},
		{"referred to by a secret", []string{"IRONPOST_DB=hunter2", "IRONPOST_STORAGE_PASSWORD=env:IRONPOST_DB"}, ""},
		{"of somebody else", []string{"IRON_X=1", "XIRONPOST_Y=1"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(Options{Env: tt.env, Strict: true, ReservedEnv: []string{"IRONPOST_PLUGIN_COOKIE"}, Known: []Section{storage()}})
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("unknown variables stop nothing", func(t *testing.T) {
		c := mustLoad(t, Options{Env: []string{"IRONPOST_EBPF_INTERFAXE=eth0"}})
		if got := len(c.Problems().Warnings()); got != 1 {
			t.Errorf("warnings: got %d, want 1", got)
		}
	})
}
