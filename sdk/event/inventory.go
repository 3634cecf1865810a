package event

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// InventoryEvent says what is known of one package of one target: that it is
// there, whether it is in use, and what is wrong with it. Each event is the whole
// of it: a later one with the same ID takes the place of the earlier.
type InventoryEvent struct {
	Stream   *Stream
	Sequence uint64

	// ID is InventoryID(Target, PURL); the SDK fills it in where it is empty.
	ID string
	// Time is when the scanner looked.
	Time time.Time
	// Target is where the package is: "host", "container:" and 64 hexadecimal
	// digits, or "image:" and the digest. TargetName is what people call it; Image
	// is the digest of the image that a container was made from.
	Target, TargetName, Image string
	// Name, Version and Ecosystem are the package's own, as its package manager
	// writes them; PURL is its package URL.
	Name, Version, Ecosystem, PURL string
	// Arch is the architecture that it was built for; State is what the package
	// manager says of it, "" when it is installed.
	Arch, State string
	// Licenses are as the package declares them; Locations are the files that say
	// that it is there.
	Licenses, Locations []string
	// InUse says that a file of the package is executed or mapped by a process of
	// the target. False says that this was not observed.
	InUse bool
	// Removed says that the package is not there any more: ID alone counts. Without a
	// PURL the Target itself is gone, and all that was in it.
	Removed bool
	// Findings are the advisories that hold for the package.
	Findings []Finding
	// Omitted counts findings, locations and licenses that had to be left out, so
	// that the record stayed within MaxRecord. The SDK fills it in.
	Omitted uint32
}

// Finding is one advisory that holds for a package.
type Finding struct {
	// ID is the advisory's; Aliases are its other names, among them the CVE.
	ID      string
	Aliases []string
	// Severity grades Score, which is that of CVSS, 0 to 10.
	Severity Severity
	Score    float64
	// Fixed is the version that mends it, "" when there is none.
	Fixed string
	// KEV says that it is known to be exploited; EPSS is the probability, 0 to 1,
	// that it will be.
	KEV  bool
	EPSS float64
	// Status is what a statement of the vendor's or the operator's makes of it, in
	// the words of VEX: "affected", "not_affected", "under_investigation", ...; ""
	// when nobody said anything.
	Status string
}

// InventoryID returns the id of a package of a target: the first 128 bits, in
// hexadecimal, of SHA-256(target, 0, purl).
func InventoryID(target, purl string) string {
	sum := sha256.Sum256([]byte(target + "\x00" + purl))
	return hex.EncodeToString(sum[:16])
}

// Clone returns a copy that shares no memory with the event but its Stream.
func (e *InventoryEvent) Clone() *InventoryEvent {
	c := *e
	for _, s := range []*string{
		&c.ID, &c.Target, &c.TargetName, &c.Image, &c.Name, &c.Version, &c.Ecosystem, &c.PURL, &c.Arch, &c.State,
	} {
		*s = strings.Clone(*s)
	}
	c.Licenses, c.Locations = cloneTexts(e.Licenses), cloneTexts(e.Locations)
	c.Findings = slices.Clone(e.Findings)
	for i := range c.Findings {
		f := &c.Findings[i]
		f.ID, f.Fixed, f.Status, f.Aliases = strings.Clone(f.ID), strings.Clone(f.Fixed), strings.Clone(f.Status), cloneTexts(f.Aliases)
	}
	return &c
}

func cloneTexts(texts []string) []string {
	out := slices.Clone(texts)
	for i := range out {
		out[i] = strings.Clone(out[i])
	}
	return out
}
