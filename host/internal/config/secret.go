package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"unicode/utf8"
)

const (
	redacted = "(secret)"
	// maxSecret bounds a secret read through a "file:" reference, in bytes.
	maxSecret = 64 << 10
)

// Secret is the value of a field that is declared secret: the value itself, or
// a reference "file:/absolute/path" or "env:NAME". Every way of printing or
// encoding it gives "(secret)", or "" when it is not set; only a conversion to
// string or Resolve gives more away. As an unexported field of a struct that is
// printed whole it is not protected, because package fmt calls no methods there.
type Secret string

// IsSet reports whether there is a value or a reference.
func (s Secret) IsSet() bool { return s != "" }

// String returns "(secret)", or "" when s is not set.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format writes what String returns for every verb, so that %x, %q and %#v
// give nothing away.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText returns what String returns.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue returns what String returns.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Resolve returns the value: the content of the file of a "file:" reference
// without its trailing line break, the variable of an "env:" reference found by
// lookup, else s itself. The file must be regular and at most 64 KiB. Errors
// name the reference, never a value. A nil lookup finds no variable.
func (s Secret) Resolve(lookup func(string) (string, bool)) (string, error) {
	if path, ok := strings.CutPrefix(string(s), "file:"); ok {
		b, err := readRegular(path, maxSecret)
		if err != nil {
			return "", fmt.Errorf("read secret: %w", err)
		}
		v := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
		if !utf8.ValidString(v) {
			return "", fmt.Errorf("read secret from %s: not valid UTF-8", path)
		}
		return v, nil
	}
	if name, ok := s.envName(); ok {
		if lookup != nil {
			if v, ok := lookup(name); ok {
				if !utf8.ValidString(v) {
					return "", fmt.Errorf("read secret from variable %s: not valid UTF-8", name)
				}
				return v, nil
			}
		}
		return "", fmt.Errorf("read secret: variable %s is not set", name)
	}
	return string(s), nil
}

// envName returns the variable of an "env:" reference.
func (s Secret) envName() (string, bool) { return strings.CutPrefix(string(s), "env:") }

var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = errors.New("too large")
)

// readRegular reads a regular file of at most limit bytes. Anything else, a
// FIFO above all, is refused before it is opened, because opening one can block
// for ever. Errors name the path; they match errNotRegular, errTooLarge or the
// system's error.
func readRegular(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a directory: %w", path, errNotRegular)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is a %s: %w", path, info.Mode().Type(), errNotRegular)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes: %w", path, limit, errTooLarge)
	}
	return b, nil
}
