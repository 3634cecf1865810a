package vulndb

import (
	"strings"
)

// Split parts an ecosystem into its base and its release: "Debian:12" is "Debian" and "12".
func Split(ecosystem string) (base, release string) {
	base, release, _ = strings.Cut(ecosystem, ":")
	return base, release
}

// Normal returns the form of a name under which its advisories are kept: names that an
// ecosystem holds for the same have the same. The ecosystem is given without release.
func Normal(base, name string) string {
	switch base {
	case "PyPI":
		return pep503(name)
	case "crates.io":
		for i := range len(name) {
			if c := name[i]; c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80 {
				return strings.ReplaceAll(lower(name), "_", "-")
			}
		}
	case "Go":
		if name == "go" { // as programs call the standard library
			return "stdlib"
		}
	case "NuGet", "Packagist", "Hex", "Pub", "GitHub Actions", "VSCode":
		return lower(name)
	case "SwiftURL":
		name = strings.TrimPrefix(strings.TrimPrefix(lower(name), "https://"), "http://")
		return strings.TrimSuffix(strings.TrimSuffix(name, "/"), ".git")
	}
	return name
}

// lower is strings.ToLower that leaves what is lower already alone, also beyond ASCII.
func lower(s string) string { return strings.ToLower(s) }

// pep503 lowers a name and makes every run of "-", "_" and "." one hyphen.
func pep503(name string) string {
	clean := true
	for i := range len(name) {
		c := name[i]
		if c >= 'A' && c <= 'Z' || c == '_' || c == '.' || c == '-' && i > 0 && name[i-1] == '-' || c >= 0x80 {
			clean = false
			break
		}
	}
	if clean {
		return name
	}
	var b strings.Builder
	run := false
	for _, r := range strings.ToLower(name) {
		if r == '-' || r == '_' || r == '.' {
			if !run {
				b.WriteByte('-')
			}
			run = true
			continue
		}
		run = false
		b.WriteRune(r)
	}
	return b.String()
}

// FNV-1a, 64 and 32 bits.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// hash is of the text as it is.
func hash(text string) uint64 { return sum(fnvOffset, text) }

// hashKey is of ecosystem and normal name.
func hashKey(base, name string) uint64 {
	return mix(sum((sum(fnvOffset, base)^'\n')*fnvPrime, name))
}

func sum(h uint64, text string) uint64 {
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * fnvPrime
	}
	return h
}

// mix spreads what FNV leaves close together, so that the high bits can choose a bucket
// (the finalizer of MurmurHash3).
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// hashVersion is what is kept of a version that a record lists.
func hashVersion(text string) uint32 {
	h := mix(hash(text))
	return uint32(h) ^ uint32(h>>32)
}
