package version

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/osv-scalibr/semantic"
)

// MaxLen is the most bytes that a version may have. The longest that are published
// have about a hundred.
const MaxLen = 1 << 10

// ErrScheme says that nobody defined how the versions of an ecosystem are ordered.
var ErrScheme = errors.New("the order of its versions is not known")

// ErrVersion says that a text is no version of its ecosystem.
var ErrVersion = errors.New("not a version")

// A Scheme is one way to order versions. The zero Scheme orders nothing.
type Scheme uint8

// The schemes. Several ecosystems may share one.
const (
	None Scheme = iota
	SemVer
	Alpine
	CRAN
	Debian
	Hackage
	Maven
	NuGet
	Packagist
	Pub
	PyPI
	RedHat
	RubyGems
)

// rules names, for each scheme, an ecosystem by which semantic knows it.
var rules = [...]string{
	None: "", SemVer: "npm", Alpine: "Alpine", CRAN: "CRAN", Debian: "Debian", Hackage: "Hackage", Maven: "Maven",
	NuGet: "NuGet", Packagist: "Packagist", Pub: "Pub", PyPI: "PyPI", RedHat: "Red Hat", RubyGems: "RubyGems",
}

// Of returns the scheme of an ecosystem, None when nobody defined one.
func Of(ecosystem string) Scheme {
	base, _, _ := strings.Cut(ecosystem, ":")
	switch base {
	case "npm", "crates.io", "Go", "Bitnami", "Bioconductor", "ConanCenter", "Docker Hardened Images", "GHC", "Hex",
		"Julia", "SwiftURL", "GitHub Actions", "Kubernetes", "VSCode", "Linux":
		return SemVer
	case "PyPI":
		return PyPI
	case "Maven":
		return Maven
	case "Debian", "Ubuntu", "Echo":
		return Debian
	case "Alpine", "Alpaquita", "BellSoft Hardened Containers", "Chainguard", "CleanStart", "MinimOS", "Wolfi":
		return Alpine
	case "AlmaLinux", "Azure Linux", "Mageia", "Photon OS", "openEuler", "openSUSE", "Red Hat", "Rocky Linux", "SUSE":
		return RedHat
	case "RubyGems":
		return RubyGems
	case "Packagist":
		return Packagist
	case "NuGet":
		return NuGet
	case "Pub":
		return Pub
	case "CRAN":
		return CRAN
	case "Hackage":
		return Hackage
	}
	return None
}

// Version is one version, ready to be compared with many.
type Version struct {
	scheme Scheme
	text   string
	parsed semantic.Version // nil until a plain comparison does not do
	// parts and pre are those of a semantic version, if simple says so.
	parts  [3]int64
	pre    string
	simple bool
}

// Parse reads a version of an ecosystem. The error wraps [ErrScheme] or [ErrVersion].
func Parse(ecosystem, text string) (Version, error) {
	s := Of(ecosystem)
	if s == None {
		return Version{}, fmt.Errorf("ecosystem %.60q: %w", ecosystem, ErrScheme)
	}
	return s.Parse(text)
}

// Parse reads a version. The error wraps [ErrScheme] or [ErrVersion].
func (s Scheme) Parse(text string) (Version, error) {
	if s == None || int(s) >= len(rules) {
		return Version{}, ErrScheme
	}
	if text == "" || len(text) > MaxLen {
		return Version{}, fmt.Errorf("%d bytes: %w", len(text), ErrVersion)
	}
	v := Version{scheme: s, text: text}
	if s == SemVer {
		v.parts, v.pre, v.simple = release(text)
	}
	if s.plain(text) {
		return v, nil
	}
	var err error
	v.parsed, err = parse(s, text)
	return v, err
}

// Compare returns -1, 0 or 1 as v is before, equal to, or after the version in text.
// The error wraps [ErrVersion].
func (v *Version) Compare(text string) (int, error) {
	if text == "" || len(text) > MaxLen {
		return 0, fmt.Errorf("%d bytes: %w", len(text), ErrVersion)
	}
	if v.text == text && v.scheme != None {
		return 0, nil
	}
	if n, ok := v.quick(text); ok {
		return n, nil
	}
	if v.parsed == nil {
		var err error
		if v.parsed, err = parse(v.scheme, v.text); err != nil {
			return 0, err
		}
	}
	return compare(v.parsed, text)
}

// Scheme returns the scheme that v was parsed by.
func (v *Version) Scheme() Scheme { return v.scheme }

// String returns the version as it was written.
func (v *Version) String() string { return v.text }

// Compare orders two versions as [Version.Compare] does.
func (s Scheme) Compare(a, b string) (int, error) {
	v, err := s.Parse(a)
	if err != nil {
		return 0, err
	}
	return v.Compare(b)
}

// parse reads what the quick ways do not understand. The bytes come from whoever
// wrote the tree or the advisory: should the library break on them, that is an
// error of the version.
func parse(s Scheme, text string) (v semantic.Version, err error) {
	defer guard(text, &err)
	if s == None {
		return nil, ErrScheme
	}
	v, err = semantic.Parse(text, rules[s])
	if err != nil {
		return nil, fmt.Errorf("%.60q: %w: %w", text, ErrVersion, err)
	}
	return v, nil
}

func compare(v semantic.Version, text string) (n int, err error) {
	defer guard(text, &err)
	n, err = v.CompareStr(text)
	if err != nil {
		return 0, fmt.Errorf("%.60q: %w: %w", text, ErrVersion, err)
	}
	return n, nil
}

func guard(text string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%.60q: %w: %v", text, ErrVersion, r)
	}
}
