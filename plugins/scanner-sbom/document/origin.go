package document

import (
	"strings"

	"github.com/package-url/packageurl-go"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// ecosystems are OSV's names by the type of a package URL, for types whose packages
// have one home whatever the rest of the URL says.
var ecosystems = map[string]string{
	"bitnami": "Bitnami", "cargo": "crates.io", "composer": "Packagist", "conan": "ConanCenter", "cran": "CRAN", "gem": "RubyGems",
	"githubactions": "GitHub Actions", "golang": "Go", "hackage": "Hackage", "hex": "Hex", "julia": "Julia", "maven": "Maven",
	"npm": "npm", "nuget": "NuGet", "opam": "opam", "pub": "Pub", "pypi": "PyPI", "swift": "SwiftURL",
}

// ecosystemOfType is the ecosystem that the type of a package URL alone tells, "" when
// it tells none. It does not look at the rest, and allocates nothing.
func ecosystemOfType(purl string) string {
	rest, ok := strings.CutPrefix(purl, "pkg:")
	if !ok {
		return ""
	}
	typ, _, _ := strings.Cut(rest, "/")
	return ecosystems[typ]
}

// splitName splits a name as people of the ecosystem do; the group is "" where it has
// none. joinName is the way back.
func splitName(ecosystem, name string) (group, rest string) {
	separator := separatorOf(ecosystem)
	if separator == "" || ecosystem == "npm" && !strings.HasPrefix(name, "@") {
		return "", name
	}
	group, rest, ok := strings.Cut(name, separator)
	if !ok || group == "" {
		return "", name
	}
	return group, rest
}

func joinName(ecosystem, group, name string) string {
	if group == "" {
		return name
	}
	separator := separatorOf(ecosystem)
	if separator == "" {
		separator = "/"
	}
	return group + separator + name
}

func separatorOf(ecosystem string) string {
	switch ecosystem {
	case "Maven":
		return ":"
	case "npm", "Packagist":
		return "/"
	}
	return ""
}

// origin fills in what a package URL tells: ecosystem, name, version, architecture and
// source. system is the operating system that the document says, for packages of
// distributions that do not tell theirs. A URL that cannot be read tells nothing.
func origin(p *inventory.Package, system Distribution) {
	u, err := packageurl.FromString(p.PURL)
	if err != nil || !isContent(p.PURL) { // an image has a name of its own
		return
	}
	qualifiers := u.Qualifiers.Map()
	p.Ecosystem = ecosystems[u.Type]
	p.Version = firstOf(u.Version, p.Version)
	name := u.Name
	switch u.Type {
	case "deb", "apk", "rpm", "alpm":
		p.Ecosystem = distributionEcosystem(u.Namespace, qualifiers["distro"], qualifiers["distro_name"], system)
		p.Arch = qualifiers["arch"]
		// A version of rpm begins with the epoch, which its URLs have elsewhere.
		if epoch := qualifiers["epoch"]; u.Type == "rpm" && epoch != "" && epoch != "0" && !strings.Contains(p.Version, ":") {
			p.Version = epoch + ":" + p.Version
		}
		p.SourceName, p.SourceVersion = upstream(u.Type, qualifiers["upstream"])
	case "golang":
		// OSV has the versions of Go's packages without it.
		p.Version = strings.TrimPrefix(p.Version, "v")
		name = joinName("Go", u.Namespace, u.Name)
	default:
		name = joinName(p.Ecosystem, u.Namespace, u.Name)
	}
	if !sameName(p.Name, name) {
		p.Name = name
	}
}

// isContent is true for the URL of what a document is about when that is a package as
// well, as the program whose parts are listed is: not an image, which is a case for them.
func isContent(purl string) bool {
	return purl != "" && !strings.HasPrefix(purl, "pkg:oci/") && !strings.HasPrefix(purl, "pkg:docker/")
}

// sameName is true for names that differ in spelling alone: package URLs of some
// types fold case, and "_" and "." to "-".
func sameName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if spelled(a[i]) != spelled(b[i]) {
			return false
		}
	}
	return true
}

func spelled(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case c == '_' || c == '.':
		return '-'
	}
	return c
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// upstream reads the qualifier of that name: a source's name, with "@" and its version
// or, for rpm, the name of the source's file.
func upstream(typ, text string) (name, version string) {
	name, version, _ = strings.Cut(text, "@")
	file, ok := strings.CutSuffix(name, ".src.rpm")
	if typ != "rpm" || !ok {
		return name, version
	}
	release := strings.LastIndexByte(file, '-')
	if release < 0 {
		return file, ""
	}
	at := strings.LastIndexByte(file[:release], '-')
	if at < 0 {
		return file, ""
	}
	return file[:at], file[at+1:]
}

// distributionEcosystem is OSV's name of a distribution and its release. The qualifier
// "distro" is "debian-12.5" or a code name alone.
func distributionEcosystem(namespace, distro, distroName string, system Distribution) string {
	id := strings.ToLower(namespace)
	release := strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(firstOf(distro, distroName)), id), "-")
	if release == "" && (system.ID == id || id == "") {
		id, release = system.ID, system.Version
	}
	return OSVEcosystem(Distribution{ID: id, Version: release})
}

// OSVEcosystem is OSV's name of a distribution, with the release where OSV has one, and
// "" for one that it does not have.
func OSVEcosystem(d Distribution) string {
	release := strings.ToLower(d.Version)
	major, rest, dotted := strings.Cut(release, ".")
	minor, _, _ := strings.Cut(rest, ".")
	switch d.ID {
	case "debian":
		return with("Debian", firstOf(debianReleases[release], digitsOf(major)))
	case "ubuntu":
		release = firstOf(ubuntuReleases[release], release)
		major, rest, dotted = strings.Cut(release, ".")
		if minor, _, _ = strings.Cut(rest, "."); digitsOf(major) == "" || !dotted {
			return "Ubuntu"
		}
		// Every second April's release is supported for long.
		if minor == "04" && (major[len(major)-1]-'0')%2 == 0 {
			return "Ubuntu:" + major + "." + minor + ":LTS"
		}
		return "Ubuntu:" + major + "." + minor
	case "alpine":
		if major = digitsOf(strings.TrimPrefix(major, "v")); major == "" || !dotted {
			return "Alpine"
		}
		return "Alpine:v" + major + "." + minor
	case "rocky":
		return with("Rocky Linux", digitsOf(major))
	case "almalinux":
		return with("AlmaLinux", digitsOf(major))
	case "mageia":
		return with("Mageia", digitsOf(major))
	case "azurelinux", "mariner":
		return with("Azure Linux", digitsOf(major))
	case "photon":
		return with("Photon OS", release)
	case "openeuler", "openEuler":
		return with("openEuler", strings.ToUpper(release))
	case "opensuse", "opensuse-leap", "opensuse-tumbleweed":
		if strings.Contains(d.ID+release, "tumbleweed") {
			return "openSUSE:Tumbleweed"
		}
		if release = strings.TrimPrefix(strings.TrimPrefix(release, "leap-"), "leap"); release == "" {
			return "openSUSE"
		}
		return "openSUSE:Leap " + strings.TrimSpace(release)
	case "suse", "sles":
		if digitsOf(major) == "" {
			return "SUSE"
		}
		if minor == "" || minor == "0" {
			return "SUSE:Linux Enterprise Server " + major
		}
		return "SUSE:Linux Enterprise Server " + major + " SP" + minor
	case "redhat", "rhel":
		return "Red Hat"
	case "wolfi":
		return "Wolfi"
	case "chainguard":
		return "Chainguard"
	case "minimos":
		return "MinimOS"
	case "echo":
		return "Echo"
	}
	return ""
}

// Releases by code name, of those that still have advisories.
var (
	debianReleases = map[string]string{
		"jessie": "8", "stretch": "9", "buster": "10", "bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14",
	}
	ubuntuReleases = map[string]string{
		"trusty": "14.04", "xenial": "16.04", "bionic": "18.04", "focal": "20.04", "jammy": "22.04", "noble": "24.04",
	}
)

func with(name, release string) string {
	if release == "" {
		return name
	}
	return name + ":" + release
}

// digitsOf is s when it is a number, else "".
func digitsOf(s string) string {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return ""
		}
	}
	return s
}
