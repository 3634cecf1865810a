package match

import (
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// family says how the packages of an ecosystem are looked up.
type family uint8

const (
	plain  family = iota // by their name; what follows the ecosystem is a registry
	debian               // by the name of their source
	apk                  // by both names
	rpm                  // by both names
)

func familyOf(base string) family {
	switch base {
	case "Debian", "Ubuntu", "Echo":
		return debian
	case "Alpine", "Alpaquita", "BellSoft Hardened Containers", "Chainguard", "CleanStart", "MinimOS", "Wolfi":
		return apk
	case "AlmaLinux", "Azure Linux", "Mageia", "Photon OS", "openEuler", "openSUSE", "Red Hat", "Rocky Linux", "SUSE":
		return rpm
	}
	return plain
}

// release is what follows a distribution's name, so that forms of one can be compared.
type release struct {
	product string // "pro" of Ubuntu, "rhel_eus" of Red Hat
	number  string
}

// parseRelease reads the release of a distribution: "12", "v3.18", "Pro:18.04:LTS",
// "enterprise_linux:9::baseos", "Leap 15.4".
func parseRelease(base, text string) release {
	text = strings.ToLower(strings.TrimSpace(text))
	switch base {
	case "Ubuntu":
		r := release{}
		for part := range strings.SplitSeq(text, ":") {
			switch {
			case part == "lts" || part == "":
			case part[0] >= '0' && part[0] <= '9':
				r.number = part
			default:
				r.product = part
			}
		}
		return r
	case "Red Hat":
		product, rest, ok := strings.Cut(text, ":")
		if !ok {
			product, rest = "enterprise_linux", text
		}
		number, _, _ := strings.Cut(rest, ":")
		return release{product, number}
	case "Alpine":
		return release{number: leading(strings.TrimPrefix(text, "v"), 2)}
	case "Debian", "Rocky Linux", "AlmaLinux":
		return release{number: leading(text, 1)}
	}
	return release{number: text}
}

// leading returns the first n parts of a dotted number.
func leading(text string, n int) string {
	for i := range len(text) {
		if text[i] == '.' {
			if n--; n == 0 {
				return text[:i]
			}
		}
	}
	return text
}

// about reports whether an advisory for a release, "" for all, is about packages of another,
// which is a zero release when it is not known.
func about(base, advisory string, own release) bool {
	if advisory == "" || own == (release{}) || familyOf(base) == plain {
		return true
	}
	r := parseRelease(base, advisory)
	if base == "Red Hat" && r.product == own.product {
		return r.number == own.number || leading(own.number, 1) == r.number
	}
	return r == own
}

// lookup is a name under which advisories about a package are, with the version to compare.
type lookup struct{ name, version string }

// lookups returns the one or two names of a package.
func lookups(p packageNames, f family, into []lookup) []lookup {
	source := lookup{p.source, p.sourceVersion}
	if source.version == "" {
		source.version = p.version
	}
	own := lookup{p.name, p.version}
	switch {
	case f == plain || source.name == "":
		return append(into, own)
	case f == debian:
		return append(into, source)
	case source == own:
		return append(into, own)
	}
	return append(into, own, source)
}

// packageNames is the part of a package that names are taken from.
type packageNames struct{ name, version, source, sourceVersion string }

// key is how the database names a package.
func key(base, name string) vulndb.Name {
	return vulndb.Name{Ecosystem: base, Name: vulndb.Normal(base, name)}
}
