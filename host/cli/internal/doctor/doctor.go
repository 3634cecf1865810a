// Package doctor looks at what a machine offers to Ironpost: kernel, privileges,
// sandbox, sources of logs. It changes nothing and needs no host.
package doctor

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/host/internal/xdp"
)

// Verdict says how a check came out.
type Verdict string

// The verdicts.
const (
	// OK: it is there.
	OK Verdict = "ok"
	// Warn: Ironpost works with less.
	Warn Verdict = "warn"
	// Missing: what needs it does not work.
	Missing Verdict = "missing"
)

// Check is one thing that was looked at.
type Check struct {
	Name    string  `json:"check"`
	Verdict Verdict `json:"status"`
	// Found is what was seen.
	Found string `json:"found"`
	// Needed says what it is for.
	Needed string `json:"needed_for"`
	// Mend is how to get it, "" when all is well.
	Mend string `json:"mend"`
}

// Config says where to look.
type Config struct {
	// PluginDirs are the plugin directories; one of them will do.
	PluginDirs []string
}

// Run makes every check, in a fixed order.
func Run(c Config) []Check {
	checks := machine()
	return append(checks,
		docker("/var/run/docker.sock"),
		journal(),
		clang(),
		plugins(c.PluginDirs),
	)
}

// KernelFloor is the oldest kernel that Ironpost supports.
const KernelFloor = xdp.KernelFloor

// kernelCheck judges the release of a kernel, as uname tells it.
func kernelCheck(release string) Check {
	c := Check{Name: "kernel", Verdict: OK, Found: release, Needed: "everything"}
	major, minor, ok := kernelVersion(release)
	switch {
	case !ok:
		c.Verdict, c.Mend = Warn, "this release has no number; Ironpost needs Linux "+KernelFloor+" or newer"
	case major < 5 || major == 5 && minor < 15:
		c.Verdict, c.Mend = Missing, "run Linux "+KernelFloor+" or newer"
	}
	return c
}

// kernelVersion reads the numbers of a release such as 6.1.0-18-amd64.
func kernelVersion(release string) (major, minor int, ok bool) {
	first, rest, found := strings.Cut(release, ".")
	if !found {
		return 0, 0, false
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	major, err := strconv.Atoi(first)
	if err != nil {
		return 0, 0, false
	}
	minor, err = strconv.Atoi(rest[:end])
	return major, minor, err == nil
}

// capabilities finds the effective set in the text of /proc/self/status.
func capabilities(status string) (uint64, bool) {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return set, err == nil
		}
	}
	return 0, false
}

// The numbers of capabilities, from include/uapi/linux/capability.h.
const (
	capDACReadSearch = 2
	capSetGID        = 6
	capSetUID        = 7
	capNetAdmin      = 12
	capSysAdmin      = 21
	capPerfmon       = 38
	capBPF           = 39
)

// privileges judges a set of effective capabilities.
func privileges(set uint64) []Check {
	has := func(bit int) bool { return set>>bit&1 == 1 }
	xdp := Check{Name: "xdp privileges", Verdict: OK, Found: "CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN", Needed: "watching interfaces and blocking"}
	// CAP_SYS_ADMIN stands for the two that were once a part of it. Without
	// CAP_PERFMON the kernel's verifier refuses the program.
	var lacks []string
	for _, need := range []struct {
		name string
		has  bool
	}{
		{"CAP_BPF", has(capBPF) || has(capSysAdmin)},
		{"CAP_PERFMON", has(capPerfmon) || has(capSysAdmin)},
		{"CAP_NET_ADMIN", has(capNetAdmin)},
	} {
		if !need.has {
			lacks = append(lacks, need.name)
		}
	}
	if len(lacks) > 0 {
		xdp.Verdict, xdp.Found = Missing, "no "+strings.Join(lacks, ", no ")
		xdp.Mend = "run as root, or grant AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_NET_ADMIN in the systemd unit"
	}
	users := Check{Name: "plugin users", Verdict: OK, Found: "CAP_SETUID and CAP_SETGID", Needed: "running every plugin as a user of its own"}
	if !has(capSetUID) || !has(capSetGID) {
		users.Verdict, users.Found = Warn, "not root: plugins run as the user of the host"
		users.Mend = "run the host as root to give every plugin a user of its own"
	}
	logs := Check{Name: "reading logs", Verdict: OK, Found: "CAP_DAC_READ_SEARCH", Needed: "reading logs that only root may read"}
	if !has(capDACReadSearch) {
		logs.Verdict, logs.Found = Warn, "only logs that this user may read"
		logs.Mend = "run as root, or add the user to the group adm"
	}
	return []Check{xdp, users, logs}
}

// docker looks for the daemon's socket.
func docker(path string) Check {
	c := Check{Name: "docker", Verdict: OK, Found: path, Needed: "container logs and isolation"}
	info, err := os.Stat(path)
	switch {
	case err != nil || info.Mode()&fs.ModeSocket == 0:
		c.Verdict, c.Found, c.Mend = Warn, "no socket at "+path, "install Docker if this machine is to run containers"
	case !writable(path):
		c.Verdict, c.Found, c.Mend = Warn, path+" may not be opened", "run as root, or add the user to the group docker"
	}
	return c
}

// journal looks for journald and its reader.
func journal() Check {
	c := Check{Name: "journald", Verdict: OK, Needed: "logs of a machine without log files"}
	tool, err := exec.LookPath("journalctl")
	if err != nil {
		c.Verdict, c.Found, c.Mend = Warn, "no journalctl", "name log files in [source_file], or install systemd-journald"
		return c
	}
	c.Found = tool
	for _, dir := range []string{"/run/log/journal", "/var/log/journal"} {
		if found, err := filepath.Glob(filepath.Join(dir, "*", "*.journal")); err == nil && len(found) > 0 {
			c.Found += ", " + dir
			return c
		}
	}
	c.Verdict, c.Found = Warn, tool+", but no journal"
	c.Mend = "start systemd-journald, or name log files in [source_file]"
	return c
}

func clang() Check {
	c := Check{Name: "clang", Verdict: OK, Needed: "changing the kernel program (developers only)"}
	tool, err := exec.LookPath("clang")
	if err != nil {
		c.Verdict, c.Found, c.Mend = Warn, "no clang", "apt-get install clang llvm libbpf-dev; running and building Ironpost work without it"
		return c
	}
	c.Found = tool
	return c
}

// plugins counts executables in the directories.
func plugins(dirs []string) Check {
	c := Check{Name: "plugins", Verdict: OK, Needed: "everything but packets"}
	total := 0
	var found []string
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		n := 0
		for _, e := range entries {
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() && (info.Mode().Perm()&0o111 != 0 || runtime.GOOS == "windows") {
				n++
			}
		}
		total += n
		found = append(found, fmt.Sprintf("%d in %s", n, dir))
	}
	c.Found = strings.Join(found, ", ")
	if total == 0 {
		c.Verdict = Missing
		c.Found = "no executable in " + strings.Join(dirs, ", ")
		c.Mend = "build them with: make build; or name their directory in [plugins] dirs"
	}
	return c
}
