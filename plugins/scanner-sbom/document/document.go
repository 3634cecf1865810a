package document

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// A Format is a kind of document that can be written.
type Format string

// The formats.
const (
	CycloneDX15 Format = "cyclonedx-1.5"
	CycloneDX16 Format = "cyclonedx-1.6"
	CycloneDX17 Format = "cyclonedx-1.7"
	SPDX23      Format = "spdx-2.3"
)

// Formats lists what can be written.
func Formats() []Format { return []Format{CycloneDX15, CycloneDX16, CycloneDX17, SPDX23} }

// ErrFormat is in errors about a format that is not written.
var ErrFormat = errors.New("unknown document format")

// ParseFormat returns the format of a name. "cyclonedx" and "spdx" are the versions
// that most readers understand: 1.6 and 2.3.
func ParseFormat(name string) (Format, error) {
	switch f := Format(strings.ToLower(name)); {
	case f == "cyclonedx":
		return CycloneDX16, nil
	case f == "spdx":
		return SPDX23, nil
	case slices.Contains(Formats(), f):
		return f, nil
	}
	return "", fmt.Errorf("%w %q: use cyclonedx, spdx, or one of %q", ErrFormat, name, Formats())
}

// A Kind says what was scanned.
type Kind string

// The kinds of targets.
const (
	Directory Kind = "directory"
	RootFS    Kind = "rootfs"
	Archive   Kind = "archive"
	Image     Kind = "image"
	Container Kind = "container"
)

// Target is what was scanned: the root of the document.
type Target struct {
	Name string
	Kind Kind
	// Version is the digest of an image, the id of a container, or "".
	Version string
	// PURL is the package URL of an image, "" when it has none.
	PURL string
	// Distribution is the operating system of the target. Without one it is taken from
	// the ecosystems of the packages, as "Debian:12".
	Distribution Distribution
}

// Distribution is an operating system, named as in /etc/os-release.
type Distribution struct {
	ID      string // "debian"
	Version string // "12"
	Name    string // "Debian GNU/Linux 12 (bookworm)", for people; may be ""
}

// Document is what a document says.
type Document struct {
	Target Target
	// Packages are best those of Inventory.Packages. Others are merged and sorted
	// first, as an Inventory does, without a change to them.
	Packages []*inventory.Package
	// Problems make the document say that it is incomplete.
	Problems []inventory.Problem
	// Findings are written by CycloneDX alone; SPDX 2.3 has no place for them.
	Findings []Finding
	// ToolVersion is the version of Ironpost.
	ToolVersion string
	// Created is when the inventory was taken, told in whole seconds of UTC. The
	// zero time is written as the beginning of 1970, which says that nobody knows.
	Created time.Time
}

// Append appends the document to dst, in one line with a line feed at its end. It
// fails on an unknown format and on findings about packages that the document does
// not hold. The document must not change meanwhile.
func (d *Document) Append(dst []byte, f Format) ([]byte, error) {
	packages := ordered(d.Packages)
	switch f {
	case CycloneDX15, CycloneDX16, CycloneDX17:
		return appendCycloneDX(dst, d, packages, f)
	case SPDX23:
		return appendSPDX(dst, d, packages), nil
	}
	return dst, fmt.Errorf("%w %q: use one of %q", ErrFormat, f, Formats())
}

// Write writes what Append appends, by one Write.
func (d *Document) Write(w io.Writer, f Format) error {
	// What a package takes, by experience, so that the buffer is seldom moved.
	const perPackage = 1 << 10
	content, err := d.Append(make([]byte, 0, 4<<10+len(d.Packages)*perPackage), f)
	if err != nil {
		return err
	}
	_, err = w.Write(content)
	return err
}

// created is the time that the document states.
func (d *Document) created() time.Time {
	if d.Created.IsZero() || d.Created.Year() > 9999 || d.Created.Year() < 0 {
		return time.Unix(0, 0).UTC()
	}
	return d.Created.UTC().Truncate(time.Second)
}

// distributions are the operating systems of the document: the target's, else those
// that its packages are from, sorted.
func (d *Document) distributions(packages []*inventory.Package) []Distribution {
	if d.Target.Distribution != (Distribution{}) {
		return []Distribution{d.Target.Distribution}
	}
	var out []Distribution
	last := ""
	for _, p := range packages {
		if p.Ecosystem == last {
			continue
		}
		last = p.Ecosystem
		name, release, ok := strings.Cut(p.Ecosystem, ":")
		// Ecosystems of other things have parts after a colon too.
		if id, known := distributionIDs[name]; ok && known {
			o := Distribution{ID: id, Version: strings.TrimPrefix(strings.TrimSuffix(release, ":LTS"), "v")}
			if !slices.Contains(out, o) {
				out = append(out, o)
			}
		}
	}
	slices.SortFunc(out, func(a, b Distribution) int {
		return strings.Compare(a.ID+" "+a.Version, b.ID+" "+b.Version)
	})
	return out
}

// distributionIDs are the ids of distributions by OSV's name.
var distributionIDs = map[string]string{
	"Debian": "debian", "Ubuntu": "ubuntu", "Alpine": "alpine", "Rocky Linux": "rocky", "AlmaLinux": "almalinux",
	"Red Hat": "rhel", "openSUSE": "opensuse", "SUSE": "sles", "openEuler": "openEuler", "Mageia": "mageia",
	"Wolfi": "wolfi", "Chainguard": "chainguard", "Azure Linux": "azurelinux", "Photon OS": "photon",
}

// ordered returns the packages in the order of their Refs, each Ref once, with hashes and
// licences sorted and said once. Relations are for the graph to sort.
func ordered(packages []*inventory.Package) []*inventory.Package {
	for _, p := range packages {
		if !rising(p.Licenses) || !rising(p.Hashes) {
			return merge(packages)
		}
	}
	if inOrder(packages) {
		return packages
	}
	// Lockfiles are sorted by name, which is nearly the order of Refs.
	sorted := slices.Clone(packages)
	slices.SortStableFunc(sorted, func(a, b *inventory.Package) int { return strings.Compare(a.Ref(), b.Ref()) })
	if inOrder(sorted) {
		return sorted
	}
	return merge(packages) // several have one Ref
}

// merge makes one package of those that have one Ref.
func merge(packages []*inventory.Package) []*inventory.Package {
	merged := inventory.New()
	for _, p := range packages {
		own := *p
		own.Locations = slices.Clone(p.Locations)
		own.Licenses = slices.Clone(p.Licenses)
		own.Hashes = slices.Clone(p.Hashes)
		own.DependsOn = slices.Clone(p.DependsOn)
		merged.Add(&own)
	}
	return merged.Packages()
}

// inOrder is true when each Ref is greater than the one before.
func inOrder(packages []*inventory.Package) bool {
	last := ""
	for i, p := range packages {
		ref := p.Ref()
		if i > 0 && ref <= last {
			return false
		}
		last = ref
	}
	return true
}

// rising is true when each string is greater than the one before.
func rising(list []string) bool {
	for i := 1; i < len(list); i++ {
		if list[i] <= list[i-1] {
			return false
		}
	}
	return true
}

// Moment is the time for Created: now, or what the environment variable
// SOURCE_DATE_EPOCH says, with which builds are made repeatable
// (https://reproducible-builds.org/specs/source-date-epoch/): seconds since 1970. An
// empty epoch says nothing.
func Moment(epoch string, now time.Time) (time.Time, error) {
	if epoch == "" {
		return now, nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil || seconds < 0 || seconds >= 1<<37 {
		return time.Time{}, fmt.Errorf("read SOURCE_DATE_EPOCH: %q is no time: give seconds since 1970", epoch)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
