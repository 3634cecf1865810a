package setup

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
)

// machine makes a root with the given files.
func machine(t *testing.T, paths ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, p := range paths {
		full := filepath.Join(root, p)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

type written struct {
	General    struct{ Mode string }
	Plugins    struct{ Disabled []string }
	SourceFile struct{ Paths []string } `toml:"source_file"`
	SBOM       struct{ Host []string }
	EBPF       struct{ Interface []string }
}

func TestConfiguration(t *testing.T) {
	tests := []struct {
		name  string
		files []string
		want  written
		gaps  []string // parts of sentences
	}{
		{
			name: "log files alone", files: []string{"var/log/auth.log", "var/log/syslog"},
			want: written{
				Plugins:    struct{ Disabled []string }{[]string{"source-journald"}},
				SourceFile: struct{ Paths []string }{[]string{"/var/log/auth.log", "/var/log/syslog"}},
			},
		},
		{
			name: "journal wins over files", files: []string{"var/log/auth.log", "var/log/journal/0123/system.journal"},
			want: written{Plugins: struct{ Disabled []string }{[]string{"source-file"}}},
		},
		{
			name: "journal in memory", files: []string{"run/log/journal/0123/system.journal"},
			want: written{Plugins: struct{ Disabled []string }{[]string{"source-file"}}},
		},
		{name: "nothing", gaps: []string{"neither a journal nor a log file"}},
		{
			name: "files of programs' own", files: []string{"var/log/auth.log", "var/log/audit/audit.log", "var/log/nginx/access.log", "var/log/postgresql/postgresql-16-main.log"},
			want: written{
				Plugins:    struct{ Disabled []string }{[]string{"source-journald"}},
				SourceFile: struct{ Paths []string }{[]string{"/var/log/auth.log", "/var/log/audit/audit.log", "/var/log/nginx/*.log", "/var/log/postgresql/*.log"}},
			},
		},
		{
			name: "beside the journal", files: []string{"var/log/auth.log", "var/log/journal/0123/system.journal", "var/log/audit/audit.log", "var/log/apache2/access.log"},
			want: written{SourceFile: struct{ Paths []string }{[]string{"/var/log/audit/audit.log", "/var/log/apache2/*.log"}}},
		},
		{
			name: "lines that stand in two files", files: []string{"var/log/syslog", "var/log/kern.log", "var/log/mail.log"},
			want: written{
				Plugins:    struct{ Disabled []string }{[]string{"source-journald"}},
				SourceFile: struct{ Paths []string }{[]string{"/var/log/syslog"}},
			},
		},
		{
			name: "the kernel's alone", files: []string{"var/log/kern.log"},
			want: written{
				Plugins:    struct{ Disabled []string }{[]string{"source-journald"}},
				SourceFile: struct{ Paths []string }{[]string{"/var/log/kern.log"}},
			},
			gaps: []string{"commands that are run: no /var/log/audit/audit.log"},
		},
		{
			name: "packages of Debian", files: []string{"var/lib/dpkg/status", "usr/bin/x", "opt/y"},
			want: written{SBOM: struct{ Host []string }{[]string{"/usr", "/opt", "/var/lib/dpkg"}}},
		},
		{
			name: "packages below /usr", files: []string{"usr/lib/sysimage/rpm/rpmdb.sqlite"},
			want: written{SBOM: struct{ Host []string }{[]string{"/usr"}}},
		},
		{name: "no packages", files: []string{"usr/bin/x"}, gaps: []string{"packages of this machine: no database"}},
		{name: "empty journal directory", files: []string{"var/log/journal/README"}, gaps: []string{"neither a journal"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Discover(machine(t, tt.files...))
			if err != nil {
				t.Fatal(err)
			}
			text := f.Configuration()
			var got written
			if err := toml.Unmarshal(text, &got); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			tt.want.General.Mode = "simulate"
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("configuration differs (-want +got):\n%s\n%s", diff, text)
			}
			for _, gap := range append(tt.gaps, "no interface") {
				if !strings.Contains(strings.Join(f.NotWatched, "\n"), gap) || !strings.Contains(string(text), gap) {
					t.Errorf("nothing says %q: %q", gap, f.NotWatched)
				}
			}
		})
	}
}

func TestDocker(t *testing.T) {
	root := machine(t, "var/run/x")
	l, err := net.Listen("unix", filepath.Join(root, "var/run/docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := Discover(root)
	if err != nil || !f.Docker {
		t.Errorf("got %+v, %v, want Docker found", f, err)
	}
}

func TestDefaultInterface(t *testing.T) {
	const head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
	tests := []struct{ name, table, want string }{
		{"none", head, ""},
		{"empty", "", ""},
		{"one", head + "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", "eth0"},
		{"smaller metric", head + "wlan0\t00000000\t01\t3\t0\t0\t600\t00000000\t0\t0\t0\neth0\t00000000\t01\t3\t0\t0\t100\t00000000\t0\t0\t0\n", "eth0"},
		{"half of everything", head + "tun0\t00000000\t01\t3\t0\t0\t0\t00000080\t0\t0\t0\n", ""},
	}
	for _, tt := range tests {
		if got := defaultInterface(tt.table); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
