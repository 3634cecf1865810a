// Package setup finds what a machine has that Ironpost can watch, and writes a
// configuration for it. It only looks; it starts, attaches and changes nothing.
package setup

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Interface is a network interface.
type Interface struct {
	Name string
	// Default is true for the one that the default route uses.
	Default   bool
	Addresses []string
}

// Findings are what a machine has.
type Findings struct {
	// Journal is true when journald keeps a journal.
	Journal    bool
	Files      []LogFile
	Docker     bool
	Interfaces []Interface
	// Packages are folders with installed software and the databases about it.
	Packages []string
	// NotWatched says what the configuration leaves out, one sentence each.
	NotWatched []string
}

// Discover looks below root, "/" on a real machine.
func Discover(root string) (Findings, error) {
	var f Findings
	at := func(path string) string { return filepath.Join(root, path) }
	for _, dir := range []string{"run/log/journal", "var/log/journal"} {
		journals, err := filepath.Glob(filepath.Join(at(dir), "*", "*.journal"))
		f.Journal = f.Journal || err == nil && len(journals) > 0
	}
	files, err := logs(root)
	if err != nil {
		return f, err
	}
	f.Files = files
	if info, err := os.Stat(at("var/run/docker.sock")); err == nil {
		f.Docker = info.Mode()&fs.ModeSocket != 0
	}
	interfaces, err := interfaces(at("proc/net/route"))
	if err != nil {
		return f, err
	}
	f.Interfaces = interfaces
	f.Packages = packages(root)
	f.NotWatched = f.gaps()
	return f, nil
}

// interfaces lists those that are up, without loopback, the default one first.
func interfaces(routes string) ([]Interface, error) {
	table, err := os.ReadFile(routes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the routes: %w", err)
	}
	standard := defaultInterface(string(table))
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var out []Interface
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 || i.Flags&net.FlagUp == 0 {
			continue
		}
		found := Interface{Name: i.Name, Default: i.Name == standard}
		addresses, err := i.Addrs()
		if err == nil {
			for _, a := range addresses {
				found.Addresses = append(found.Addresses, a.String())
			}
		}
		out = append(out, found)
	}
	slices.SortStableFunc(out, func(a, b Interface) int {
		return cmp.Compare(rank(a), rank(b))
	})
	return out, nil
}

func rank(i Interface) int {
	if i.Default {
		return 0
	}
	return 1
}

// defaultInterface reads /proc/net/route: the interface of the route to
// 0.0.0.0/0 with the smallest metric.
func defaultInterface(table string) string {
	name, best := "", -1
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 8 || fields[1] != "00000000" || fields[7] != "00000000" {
			continue
		}
		metric, err := strconv.Atoi(fields[6])
		if err == nil && (best < 0 || metric < best) {
			name, best = fields[0], metric
		}
	}
	return name
}

// gaps says what the written configuration does not watch.
func (f Findings) gaps() []string {
	var out []string
	if !f.Journal && len(f.Files) == 0 {
		out = append(out, "logs: neither a journal nor a log file that is known was found; name yours in [source_file] paths")
	}
	if !slices.ContainsFunc(f.Files, func(l LogFile) bool { return l.Path == auditLog }) {
		out = append(out, "commands that are run: no "+auditLog+"; install auditd, with rules for execve")
	}
	switch len(f.Interfaces) {
	case 0:
		out = append(out, "packets: no interface is up")
	default:
		out = append(out, "packets: no interface is touched until one is named; set interface in [ebpf]")
	}
	if len(f.Packages) == 0 {
		out = append(out, "packages of this machine: no database of packages was found; name folders in host of [sbom]")
	}
	if f.Docker {
		out = append(out, "containers: Docker runs here; source-docker reads what they print, and nothing in this configuration isolates them")
	}
	return out
}

// paths are those of the files; without those whose lines the journal holds, or
// with these alone.
func (f Findings) paths(journaled bool) []string {
	var out []string
	for _, log := range f.Files {
		if log.journaled == journaled {
			out = append(out, log.Path)
		}
	}
	return out
}

// Configuration writes the file, with comments. It is valid as it stands.
func (f Findings) Configuration() []byte {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Written by: ironpost setup. Check it with: ironpost config validate FILE")
	p("")
	p("[general]")
	p("# detect raises alerts; simulate also records what would be done; enforce does it.")
	p("mode = \"simulate\"")
	p("")
	disabled, files := f.sources()
	if len(disabled) > 0 {
		p("[plugins]")
		p("# The journal and log files of syslog hold the same lines; only one of them is read.")
		p("disabled = %s", list(disabled))
		p("")
	}
	if len(files) > 0 {
		p("[source_file]")
		p("paths = %s", list(files))
		if others := f.paths(true); f.Journal && len(others) > 0 {
			p("# These hold what the journal holds; add them when you disable source-journald:")
			p("# %s", list(others))
		}
		p("")
	} else if others := f.paths(true); len(others) > 0 {
		p("# Instead of the journal, with source-journald disabled above:")
		p("# [source_file]")
		p("# paths = %s", list(others))
		p("")
	}
	if len(f.Packages) > 0 {
		p("[sbom]")
		p("# What is installed here is watched for known vulnerabilities, once there are advisories:")
		p("# ironpost vulndb import PATH, or ironpost vulndb update.")
		p("host = %s", list(f.Packages))
		p("")
	}
	p("[ebpf]")
	p("# No interface is touched until one is named here. In mode simulate nothing is")
	p("# dropped.")
	if len(f.Interfaces) == 0 {
		p("# interface = [\"eth0\"]")
	}
	for _, i := range f.Interfaces {
		note := strings.Join(i.Addresses, " ")
		if i.Default {
			note = strings.TrimSpace(note + " (default route)")
		}
		p("# interface = %s  # %s", list([]string{i.Name}), note)
	}
	p("")
	p("# Not watched:")
	for _, gap := range f.NotWatched {
		p("# - %s", gap)
	}
	return b.Bytes()
}

// sources chooses what is read: the journal, or the files that hold the same
// lines, and the files of programs' own.
func (f Findings) sources() (disabled, files []string) {
	own := f.paths(false)
	switch {
	case f.Journal && len(own) == 0:
		return []string{"source-file"}, nil
	case f.Journal:
		return nil, own
	}
	if files = append(f.paths(true), own...); len(files) > 0 {
		return []string{"source-journald"}, files
	}
	return nil, nil
}

// list writes a TOML array of strings.
func list(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = strconv.Quote(v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
