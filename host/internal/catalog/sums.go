package catalog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// SumsFile is the name of the list of built plugins, which lies beside the host's executable.
const SumsFile = "plugins.sha256"

// ErrSums wraps what is wrong with a plugins.sha256.
var ErrSums = errors.New("invalid " + SumsFile)

// maxSums bounds a plugins.sha256, in bytes.
const maxSums = 1 << 20

// Sums maps the file names of built plugins to their SHA-256 in lower-case hex.
type Sums map[string]string

// LoadSums reads the list beside the host's executable, which is held to
// the same rules as a plugin: the error may be a [*Refusal]. Without a file it returns an empty list: then no plugin is a built one.
func LoadSums(opts Options) (Sums, error) {
	path := filepath.Join(filepath.Dir(opts.HostExecutable), SumsFile)
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Sums{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the list of built plugins: %w", err)
	}
	defer f.Close()
	opts.Expected = nil
	if ref := Check(path, opts); ref != nil {
		return nil, ref
	}
	sums, err := ParseSums(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return sums, nil
}

// ParseSums reads the format of sha256sum(1), "HEX  NAME" or "HEX *NAME" a
// line. Names are file names without a directory. The error wraps [ErrSums] and has the line.
func ParseSums(r io.Reader) (Sums, error) {
	sums := Sums{}
	lines := bufio.NewScanner(io.LimitReader(r, maxSums+1))
	lines.Buffer(nil, 4096)
	size, n := 0, 0
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: line %d: %s", ErrSums, n, fmt.Sprintf(format, args...))
	}
	for lines.Scan() {
		n++
		size += len(lines.Bytes()) + 1
		if size > maxSums {
			return nil, bad("the file is larger than %d bytes", maxSums)
		}
		line := strings.TrimSuffix(lines.Text(), "\r")
		if line == "" {
			continue
		}
		if len(line) < 67 || line[64] != ' ' || (line[65] != ' ' && line[65] != '*') {
			return nil, bad("want 64 hex digits, two blanks and a file name")
		}
		digest, name := strings.ToLower(line[:64]), line[66:]
		if !ValidDigest(digest) {
			return nil, bad("%.64q is not a SHA-256", line[:64])
		}
		if len(name) > maxFileName || name == "." || name == ".." || strings.ContainsAny(name, `/\`) ||
			!utf8.ValidString(name) || strings.IndexFunc(name, unprintable) >= 0 {
			return nil, bad("%.128q is not a file name", name)
		}
		if old, ok := sums[name]; ok && old != digest {
			return nil, bad("%s is listed twice with different sums", name)
		}
		sums[name] = digest
	}
	if err := lines.Err(); err != nil {
		n++
		if errors.Is(err, bufio.ErrTooLong) {
			return nil, bad("longer than 4096 bytes")
		}
		return nil, fmt.Errorf("read %s: %w", SumsFile, err)
	}
	return sums, nil
}

// ValidDigest says whether s is a SHA-256 in lower-case hex.
func ValidDigest(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
