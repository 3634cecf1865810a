package doctor

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestKernelCheck(t *testing.T) {
	tests := []struct {
		release string
		want    Verdict
	}{
		{"5.14.21-150500.53-default", Missing},
		{"5.15.0-1", OK},
		{"5.15", OK},
		{"4.19.0", Missing},
		{"6.1.0-18-amd64", OK},
		{"10.0.0", OK},
		{"unknown", Warn},
		{"", Warn},
	}
	for _, tt := range tests {
		c := kernelCheck(tt.release)
		if c.Verdict != tt.want {
			t.Errorf("%q: got %s, want %s", tt.release, c.Verdict, tt.want)
		}
		if (c.Verdict == OK) != (c.Mend == "") {
			t.Errorf("%q: got mend %q", tt.release, c.Mend)
		}
	}
}

func TestCapabilities(t *testing.T) {
	set, ok := capabilities("Name:\tx\nCapPrm:\t0\nCapEff:\t000001ffffffffff\n")
	if !ok || set != 0x1ffffffffff {
		t.Errorf("got %x, %v", set, ok)
	}
	for _, text := range []string{"", "CapEff:\tzz\n", "Cap"} {
		if _, ok := capabilities(text); ok {
			t.Errorf("%q: got ok", text)
		}
	}
}

func TestPrivileges(t *testing.T) {
	tests := []struct {
		name string
		set  uint64
		want []Verdict // xdp, users, logs
	}{
		{"nothing", 0, []Verdict{Missing, Warn, Warn}},
		{"root", 0x1ffffffffff, []Verdict{OK, OK, OK}},
		{"bpf, perfmon and net", 1<<capBPF | 1<<capPerfmon | 1<<capNetAdmin, []Verdict{OK, Warn, Warn}},
		{"without perfmon", 1<<capBPF | 1<<capNetAdmin, []Verdict{Missing, Warn, Warn}},
		{"bpf alone", 1 << capBPF, []Verdict{Missing, Warn, Warn}},
		{"older kernels: sys_admin", 1<<capSysAdmin | 1<<capNetAdmin, []Verdict{OK, Warn, Warn}},
	}
	for _, tt := range tests {
		for i, c := range privileges(tt.set) {
			if c.Verdict != tt.want[i] {
				t.Errorf("%s: %s: got %s, want %s", tt.name, c.Name, c.Verdict, tt.want[i])
			}
		}
	}
}

func TestPlugins(t *testing.T) {
	dir := t.TempDir()
	if got := plugins([]string{dir, filepath.Join(dir, "absent")}); got.Verdict != Missing || got.Mend == "" {
		t.Errorf("empty: got %+v", got)
	}
	for name, mode := range map[string]os.FileMode{"parser-x": 0o755, "README": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if got := plugins([]string{dir}); runtime.GOOS != "windows" && (got.Verdict != OK || got.Found != "1 in "+dir) {
		t.Errorf("got %+v", got)
	}
}

func TestDocker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if got := docker(path); got.Verdict != Warn {
		t.Errorf("absent: got %+v", got)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := docker(path); got.Verdict != OK {
		t.Errorf("present: got %+v", got)
	}
}

func TestRunIsComplete(t *testing.T) {
	for _, c := range Run(Config{}) {
		if c.Name == "" || c.Found == "" || c.Needed == "" {
			t.Errorf("got %+v", c)
		}
		switch c.Verdict {
		case OK:
			if c.Mend != "" {
				t.Errorf("%s is ok and has a mend", c.Name)
			}
		case Warn, Missing:
			if c.Mend == "" {
				t.Errorf("%s has no mend", c.Name)
			}
		default:
			t.Errorf("%s: got verdict %q", c.Name, c.Verdict)
		}
	}
}
