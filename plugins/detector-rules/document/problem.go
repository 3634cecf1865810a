package document

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Problem says why a document, or a whole file, was rejected, or what is doubtful
// about one that was not.
type Problem struct {
	File string `json:"file"`
	// Rule is the id of the rule, empty when it could not be read.
	Rule string `json:"rule"`
	// Line counts from 1.
	Line int `json:"line"`
	// Code is one of the Code constants of the language: stable, for programs.
	Code string `json:"code"`
	// Reason is for people.
	Reason string `json:"reason"`
}

// Error returns "file:line: reason (code)".
func (p *Problem) Error() string {
	return fmt.Sprintf("%s:%d: %s (%s)", p.File, p.Line, p.Reason, p.Code)
}

// Nearest returns the name of known that is closest to word, or "" when none
// is close enough to be what was meant.
func Nearest(word string, known []string) string {
	best, bestDistance := "", 1+max(1, len(word)/3)
	for _, name := range known {
		if d := distance(word, name); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance is the number of single-character edits between two words, a swap of
// neighbours counting as one (optimal string alignment). Long words are cut, so
// that hostile input costs no more than the names it is compared with.
func distance(a, b string) int {
	const longest = 64
	x, y := []rune(a[:min(len(a), longest)]), []rune(b[:min(len(b), longest)])
	above, row, twoAbove := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		twoAbove, above, row = above, row, twoAbove
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(above[j+1]+1, row[j]+1, above[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], twoAbove[j-1]+1)
			}
		}
	}
	return row[len(y)]
}

// Clip shortens text that is quoted in a reason.
func Clip(s string) string {
	const longest = 60
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "..."
}

// Deref follows an alias. Who calls it has made sure that it ends: nodes are not
// in circles, which the reader of YAML refuses.
func Deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// Describe names what a node is, for people.
func Describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	if n.ShortTag() == "!!null" {
		return "empty"
	}
	return strconv.Quote(Clip(n.Value))
}

// ParseNetwork reads an address or a prefix; a mapped IPv4 address is an IPv4 one.
func ParseNetwork(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}
