package export

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// MaxRaw bounds the original text of an exported alert, in bytes.
const MaxRaw = 4 << 10

// Subject is what an alert is about; what it does not say is the zero value.
type Subject struct {
	Source, Destination netip.Addr
	DestinationPort     uint16
	User, Process       string
	PID                 uint32
	Command, Path       string
	Container           string
	ContainerName       string
	Image               string
	// Host is the machine that it happened on, as the alert or all of its lines name it.
	Host string
	// Package is one that has a vulnerability, Vulnerability the advisory.
	Package, PackageVersion, PURL, Fixed string
	Vulnerability                        string
}

// SubjectOf reads an alert.
func SubjectOf(a *pb.AlertEvent) Subject {
	get := func(names ...string) string {
		for _, name := range names {
			if v := Value(a.GetEntities(), name); v != "" {
				return v
			}
		}
		return ""
	}
	s := Subject{
		Source: address(get("src_ip")), Destination: address(get("dst_ip")), DestinationPort: uint16(number(get("dst_port"), 16)),
		User: get("user"), Process: get("process"), PID: uint32(number(get("pid", "process_id"), 31)),
		Command: get("command"), Path: get("path"), Container: get("container_id"), ContainerName: get("container_name"), Image: get("image"),
		Host: get("host"), Package: get("package"), PackageVersion: get("version"), PURL: get("purl"), Fixed: get("fixed_version"),
		Vulnerability: get("vulnerability"),
	}
	if s.Host == "" {
		s.Host = hostOf(a.GetLogs())
	}
	return s
}

// hostOf is the host that all lines are from, "" where they differ.
func hostOf(logs []*pb.LogEvent) string {
	host := ""
	for i, l := range logs {
		if i > 0 && l.GetHost() != host {
			return ""
		}
		host = l.GetHost()
	}
	return host
}

// Local reports whether an alert is about the machine that raised it or a container on
// it, and not what somebody sent over a network.
func Local(a *pb.AlertEvent) bool {
	return a.GetProvenance() == pb.Provenance_PROVENANCE_HOST || a.GetProvenance() == pb.Provenance_PROVENANCE_CONTAINER
}

// Value returns the first value of a name, "" for none.
func Value(fields []*pb.Field, name string) string {
	if i := slices.IndexFunc(fields, func(f *pb.Field) bool { return f.GetKey() == name }); i >= 0 {
		return fields[i].GetValue()
	}
	return ""
}

// Seen returns when the first and the last of the events happened that an alert cites; of
// one that cites none, its own time.
func Seen(a *pb.AlertEvent) (first, last uint64) {
	note := func(t uint64) {
		if t == 0 {
			return
		}
		if first == 0 || t < first {
			first = t
		}
		last = max(last, t)
	}
	for _, l := range a.GetLogs() {
		note(l.GetTime())
	}
	for _, p := range a.GetPackets() {
		note(p.GetTime())
	}
	if first == 0 {
		note(a.GetTime())
	}
	return first, last
}

// Raw returns the original text of the lines that an alert cites, one a line, cut at
// MaxRaw, and how long it was.
func Raw(a *pb.AlertEvent) (text string, size int) {
	var b strings.Builder
	for i, l := range a.GetLogs() {
		if i > 0 {
			b.WriteByte('\n')
		}
		if len(l.GetRaw()) > 0 {
			b.WriteString(strings.ToValidUTF8(string(l.GetRaw()), "\uFFFD"))
		} else {
			b.WriteString(l.GetMessage())
		}
	}
	text = b.String()
	size = len(text)
	return Cut(text, MaxRaw), size
}

// Cut shortens a text to n bytes at most, whole characters.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func address(text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

func number(text string, bits int) uint64 {
	n, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		return 0
	}
	return n
}
