package cli

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/netip"
	"strings"

	"github.com/ironpost/ironpost/host/internal/control"
)

// Limits of a file with addresses.
const (
	maxImportBytes = 1 << 30
	maxImportLines = 1 << 24
	maxImportLine  = 4 << 10 // bytes
	readAhead      = 64 << 10
	maxShown       = 10 // wrong lines that are named
	shownText      = 60 // bytes of a wrong line
)

// addressReader reads lists as they are published: an address, a network or a
// range (192.0.2.0-192.0.2.255) a line, with comments that begin with # or ;, or
// a JSON object a line with the network in cidr.
type addressReader struct {
	lines *bufio.Scanner
	// emit is called with each network.
	emit func(netip.Prefix) error

	line, networks, size int
	// wrong counts the lines that are neither; named describes the first.
	wrong int
	named []string
}

func newAddressReader(r io.Reader, emit func(netip.Prefix) error) *addressReader {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, readAhead), readAhead)
	return &addressReader{lines: lines, emit: emit}
}

// read reads to the end. It returns errors of emit and of the reader as they
// are, and one that wraps control.ErrInvalid for what is too much.
func (r *addressReader) read() error {
	for r.lines.Scan() {
		r.line++
		raw := r.lines.Bytes()
		if r.size += len(raw) + 1; r.size > maxImportBytes {
			return invalid("line %d: more than %d bytes; split it into lists", r.line, maxImportBytes)
		}
		if r.line > maxImportLines {
			return invalid("more than %d lines; split it into lists", maxImportLines)
		}
		if len(raw) > maxImportLine {
			return longLine(r.line)
		}
		if err := r.take(raw); err != nil {
			return err
		}
	}
	err := r.lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		return longLine(r.line + 1)
	}
	return err
}

func longLine(n int) error {
	return invalid("line %d is longer than %d bytes; is this a list of addresses?", n, maxImportLine)
}

// take reads one line.
func (r *addressReader) take(raw []byte) error {
	if r.line == 1 {
		raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	}
	text := bytes.TrimSpace(raw)
	if p, ok := quickPrefix(text); ok {
		return r.one(p)
	}
	if len(text) > 0 && text[0] == '{' {
		return r.object(text)
	}
	if i := bytes.IndexAny(text, "#;"); i >= 0 {
		text = bytes.TrimSpace(text[:i])
	}
	if len(text) == 0 {
		return nil
	}
	if from, to, ok := bytes.Cut(text, []byte("-")); ok {
		return r.span(text, string(bytes.TrimSpace(from)), string(bytes.TrimSpace(to)))
	}
	p, err := control.ParsePrefix(string(text))
	if err != nil {
		r.reject(text)
		return nil
	}
	return r.one(p)
}

func (r *addressReader) one(p netip.Prefix) error {
	if r.networks++; r.networks > control.MaxImport {
		return invalid("line %d: more than %d networks; split it into lists", r.line, control.MaxImport)
	}
	return r.emit(p)
}

// object reads a line of Spamhaus's JSON lists. One about the list itself holds
// no network.
func (r *addressReader) object(text []byte) error {
	var line struct {
		CIDR string `json:"cidr"`
		Type string `json:"type"`
	}
	err := json.Unmarshal(text, &line)
	if err == nil && line.CIDR == "" && line.Type == "metadata" {
		return nil
	}
	p, cidrErr := control.ParsePrefix(line.CIDR)
	if err != nil || cidrErr != nil {
		r.reject(text)
		return nil
	}
	return r.one(p)
}

// span reads a range: the fewest networks that are exactly its addresses.
func (r *addressReader) span(text []byte, first, last string) error {
	from, err1 := netip.ParseAddr(first)
	to, err2 := netip.ParseAddr(last)
	if err1 != nil || err2 != nil || !from.Is4() || !to.Is4() || to.Less(from) {
		r.reject(text)
		return nil
	}
	a4, b4 := from.As4(), to.As4()
	a, b := uint64(binary.BigEndian.Uint32(a4[:])), uint64(binary.BigEndian.Uint32(b4[:]))
	for a <= b {
		// As many addresses as a is aligned to, and no more than there are.
		size := min(bits.TrailingZeros64(a|1<<32), bits.Len64(b-a+1)-1)
		binary.BigEndian.PutUint32(a4[:], uint32(a)) //nolint:gosec // at most b, which has 32 bits
		if err := r.one(netip.PrefixFrom(netip.AddrFrom4(a4), 32-size)); err != nil {
			return err
		}
		a += 1 << size
	}
	return nil
}

func (r *addressReader) reject(text []byte) {
	if r.wrong++; len(r.named) < maxShown {
		r.named = append(r.named, fmt.Sprintf("line %d: %q", r.line, cut(string(text), shownText)))
	}
}

// wrongLines names the lines that are no addresses, "" when there are none.
func (r *addressReader) wrongLines() string {
	out := strings.Join(r.named, ", ")
	if more := r.wrong - len(r.named); more > 0 {
		out += fmt.Sprintf(", and %d more", more)
	}
	return out
}

// quickPrefix reads what most lines of most lists are: an IPv4 address or network
// and nothing else. It leaves what is not just that, also what is wrong, to
// control.ParsePrefix, which takes four times as long.
func quickPrefix(text []byte) (netip.Prefix, bool) {
	var (
		addr         uint32
		value, dots  uint32
		digits, size = 0, uint32(32)
	)
	for i, c := range text {
		switch {
		case c >= '0' && c <= '9':
			if digits > 0 && value == 0 || digits == 3 {
				return netip.Prefix{}, false // 01: octal to some
			}
			value, digits = value*10+uint32(c-'0'), digits+1
			continue
		case digits == 0 || value > 255:
			return netip.Prefix{}, false
		case c == '.' && dots < 3:
			addr, dots, value, digits = addr<<8|value, dots+1, 0, 0
			continue
		case c != '/' || dots != 3:
			return netip.Prefix{}, false
		}
		rest := text[i+1:]
		switch {
		case len(rest) == 1:
			size = uint32(rest[0] - '0')
		case len(rest) == 2 && rest[0] != '0':
			size = uint32(rest[0]-'0')*10 + uint32(rest[1]-'0')
			if rest[1] < '0' || rest[1] > '9' {
				return netip.Prefix{}, false
			}
		default:
			return netip.Prefix{}, false
		}
		if rest[0] < '0' || rest[0] > '9' || size > 32 {
			return netip.Prefix{}, false
		}
		break
	}
	if dots != 3 || digits == 0 || value > 255 {
		return netip.Prefix{}, false
	}
	addr = addr<<8 | value
	if addr&(1<<(32-size)-1) != 0 {
		return netip.Prefix{}, false
	}
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], addr)
	return netip.PrefixFrom(netip.AddrFrom4(a), int(size)), true
}
