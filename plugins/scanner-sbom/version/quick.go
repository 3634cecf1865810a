package version

import "strings"

// maxDigits is how many digits fit an int64 for certain.
const maxDigits = 18

// plain reports whether a text is certain to be a version of the scheme, so that
// it need not be parsed before something is compared with it.
func (s Scheme) plain(text string) bool {
	switch s {
	case SemVer, Maven, NuGet, Packagist, Pub, RedHat, RubyGems:
		return true // every text is one
	case Debian:
		_, ok := debian(text)
		return ok
	}
	_, ok := numeric(text, text)
	return ok
}

// quick compares with a version of the plain forms; false is that it does not know.
func (v *Version) quick(b string) (int, bool) {
	a := v.text
	switch v.scheme {
	case SemVer:
		return v.semver(b)
	case Debian:
		va, ok := debian(a)
		if !ok {
			return 0, false
		}
		vb, ok := debian(b)
		if !ok {
			return 0, false
		}
		return va.compare(vb), true
	case RedHat, Alpine, None:
		return 0, false
	}
	return numeric(a, b)
}

// numeric compares versions that are numbers and dots alone and have equally many
// of them: all schemes agree on these.
func numeric(a, b string) (int, bool) {
	n := 0
	for {
		x, resta, ok := number(a)
		if !ok {
			return 0, false
		}
		y, restb, ok := number(b)
		if !ok || (resta == "") != (restb == "") {
			return 0, false
		}
		if n == 0 {
			n = order(x, y)
		}
		if resta == "" {
			return n, true
		}
		if resta[0] != '.' || restb[0] != '.' {
			return 0, false
		}
		a, b = resta[1:], restb[1:]
	}
}

// number takes the number that s begins with. One with a leading zero is refused:
// the schemes do not agree what that means.
func number(s string) (n int64, rest string, ok bool) {
	i := 0
	for i < len(s) && i <= maxDigits && digit(s[i]) {
		n = n*10 + int64(s[i]-'0')
		i++
	}
	if i == 0 || i > maxDigits || (s[0] == '0' && i > 1) {
		return 0, "", false
	}
	return n, s[i:], true
}

// semver compares with versions of at most three numbers, with a leading v or without,
// with what is before a release (1.0.0-rc.1), without regard to the build (1.0.0+5).
func (v *Version) semver(b string) (int, bool) {
	if !v.simple {
		return 0, false
	}
	pb, preb, ok := release(b)
	if !ok {
		return 0, false
	}
	for i := range pb {
		if n := order(v.parts[i], pb[i]); n != 0 {
			return n, true
		}
	}
	prea := v.pre
	switch {
	case prea == preb:
		return 0, true
	case prea == "":
		return 1, true
	case preb == "":
		return -1, true
	}
	return prerelease(prea, preb)
}

// release splits a semantic version into its numbers and what is after the hyphen.
func release(s string) (parts [3]int64, pre string, ok bool) {
	s = strings.TrimPrefix(s, "v")
	for i := range parts {
		if parts[i], s, ok = number(s); !ok {
			return parts, "", false
		}
		if s == "" || s[0] != '.' {
			break
		}
		if i == len(parts)-1 {
			return parts, "", false // a fourth number
		}
		s = s[1:]
	}
	if s != "" {
		s, _, _ = strings.Cut(s, "+")
	}
	if s == "" {
		return parts, "", true
	}
	if s[0] != '-' || len(s) == 1 || s[1] == '-' {
		return parts, "", false
	}
	return parts, s[1:], true
}

// prerelease compares by section 11 of Semantic Versioning 2.0.0.
func prerelease(a, b string) (int, bool) {
	n := 0
	for {
		ia, resta, morea := strings.Cut(a, ".")
		ib, restb, moreb := strings.Cut(b, ".")
		na, digitsa, ok := identifier(ia)
		if !ok {
			return 0, false
		}
		nb, digitsb, ok := identifier(ib)
		if !ok {
			return 0, false
		}
		switch {
		case digitsa && digitsb:
			n = order(na, nb)
		case digitsa:
			n = -1
		case digitsb:
			n = 1
		default:
			n = strings.Compare(ia, ib)
		}
		switch {
		case n != 0 || !morea && !moreb:
			return n, true
		case !morea:
			return -1, true
		case !moreb:
			return 1, true
		}
		a, b = resta, restb
	}
}

// identifier reads one of the dotted parts of a prerelease. Signs are left to the
// library, which has its own mind about them.
func identifier(s string) (n int64, digits, ok bool) {
	if s == "" {
		return 0, false, false
	}
	digits = true
	for i := range len(s) {
		c := s[i]
		if c == '-' && i == 0 || c == '+' || c == '_' || c >= 0x80 {
			return 0, false, false
		}
		if digits = digits && digit(c); digits {
			if i >= maxDigits {
				return 0, false, false
			}
			n = n*10 + int64(c-'0')
		}
	}
	return n, digits, true
}

// debianVersion is split as deb-version(7) says.
type debianVersion struct {
	epoch              int64
	upstream, revision string
}

// debian splits a version; false leaves it to the library.
func debian(s string) (debianVersion, bool) {
	v := debianVersion{upstream: s, revision: "0"}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f {
			return v, false
		}
	}
	if e, rest, ok := strings.Cut(s, ":"); ok {
		n, left, ok := number(e)
		if !ok || left != "" {
			return v, false
		}
		v.epoch, v.upstream = n, rest
	}
	if i := strings.LastIndexByte(v.upstream, '-'); i >= 0 {
		v.upstream, v.revision = v.upstream[:i], v.upstream[i+1:]
	}
	return v, true
}

func (v debianVersion) compare(w debianVersion) int {
	if n := order(v.epoch, w.epoch); n != 0 {
		return n
	}
	if n := dpkg(v.upstream, w.upstream); n != 0 {
		return n
	}
	return dpkg(v.revision, w.revision)
}

// dpkg compares as verrevcmp of dpkg does: what is no digit by weight, then digits as
// a number, and so on.
func dpkg(a, b string) int {
	for a != "" || b != "" {
		for a != "" && !digit(a[0]) || b != "" && !digit(b[0]) {
			if n := order(int64(weight(a)), int64(weight(b))); n != 0 {
				return n
			}
			if a != "" && !digit(a[0]) {
				a = a[1:]
			}
			if b != "" && !digit(b[0]) {
				b = b[1:]
			}
		}
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		i, j := digits(a), digits(b)
		if n := order(int64(i), int64(j)); n != 0 {
			return n
		}
		if n := strings.Compare(a[:i], b[:j]); n != 0 {
			return n
		}
		a, b = a[i:], b[j:]
	}
	return 0
}

// weight sorts a tilde before the end, the end before letters, those before the rest.
func weight(s string) int {
	switch {
	case s == "" || digit(s[0]):
		return 0
	case s[0] == '~':
		return -1
	case s[0] >= 'A' && s[0] <= 'Z' || s[0] >= 'a' && s[0] <= 'z':
		return int(s[0])
	}
	return int(s[0]) + 256
}

func digits(s string) int {
	i := 0
	for i < len(s) && digit(s[i]) {
		i++
	}
	return i
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func order(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
