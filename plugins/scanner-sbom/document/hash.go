package document

import (
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// algorithm is a hash function by its names: an inventory's, and those of the two
// formats, "" where a format does not have it.
type algorithm struct {
	name      string
	cycloneDX string
	spdx      string
	digits    int // of the hash, in hexadecimal
}

// algorithms holds what the schemas of CycloneDX 1.5 and SPDX 2.3 list, of what has
// one length. The commonest come first.
var algorithms = []algorithm{
	{"sha256", "SHA-256", "SHA256", 64},
	{"sha512", "SHA-512", "SHA512", 128},
	{"sha1", "SHA-1", "SHA1", 40},
	{"md5", "MD5", "MD5", 32},
	{"sha384", "SHA-384", "SHA384", 96},
	{"sha224", "", "SHA224", 56},
	{"sha3-256", "SHA3-256", "SHA3-256", 64},
	{"sha3-384", "SHA3-384", "SHA3-384", 96},
	{"sha3-512", "SHA3-512", "SHA3-512", 128},
	{"blake2b-256", "BLAKE2b-256", "BLAKE2b-256", 64},
	{"blake2b-384", "BLAKE2b-384", "BLAKE2b-384", 96},
	{"blake2b-512", "BLAKE2b-512", "BLAKE2b-512", 128},
	{"blake3", "BLAKE3", "BLAKE3", 64},
}

// splitHash splits "sha256:0a1b..." into what it was made with and the digits; nil is
// for what no format can say.
func splitHash(hash string) (*algorithm, string) {
	name, digits, _ := strings.Cut(hash, ":")
	for i := range algorithms {
		if a := &algorithms[i]; a.name == name {
			if len(digits) == a.digits && hexadecimal(digits) {
				return a, digits
			}
			break
		}
	}
	return nil, ""
}

func hexadecimal(s string) bool {
	for i := range len(s) {
		if !hexDigits[s[i]] {
			return false
		}
	}
	return true
}

// hexDigits is a table, as hashes are a quarter of what a lockfile says.
var hexDigits = func() (t [256]bool) {
	for _, c := range "0123456789abcdefABCDEF" {
		t[c] = true
	}
	return t
}()

// joinHash is the inventory's form of a hash of either format. An algorithm that is not
// known keeps its name, in lower case.
func joinHash(algorithm, digits string) string {
	for i := range algorithms {
		if a := &algorithms[i]; a.cycloneDX == algorithm || a.spdx == algorithm {
			return a.name + ":" + digits
		}
	}
	return strings.ToLower(algorithm) + ":" + digits
}

// appendProblem appends a problem as an object of JSON.
func appendProblem(dst []byte, p inventory.Problem) []byte {
	dst = append(dst, `{"path":`...)
	dst = appendString(dst, p.Path)
	dst = append(dst, `,"code":`...)
	dst = appendString(dst, p.Code)
	dst = append(dst, `,"reason":`...)
	dst = appendString(dst, p.Reason)
	return append(dst, '}')
}
