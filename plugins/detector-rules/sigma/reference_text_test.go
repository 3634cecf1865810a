package sigma_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// A pattern is a list of signs: a character, or one of the two wildcards.
const (
	refMany = "any"
	refOne  = "one"
)

// refPatterns applies the modifiers of texts in their order. A number that is
// written in another way than in decimal is looked for both ways.
func refPatterns(field string, modifiers []string, v *yaml.Node) [][]string {
	patterns := [][]string{refString(v.Value)}
	number := v.ShortTag() == "!!int" || v.ShortTag() == "!!float"
	if number || v.ShortTag() == "!!bool" {
		patterns = [][]string{refLiteral(strings.ToLower(v.Value))}
	}
	var f float64
	changed := slices.ContainsFunc(modifiers, func(m string) bool { return m != "all" && m != "neq" })
	if number && field != "" && !changed && v.Decode(&f) == nil {
		decimal := strconv.FormatFloat(f, 'f', -1, 64)
		patterns = append(patterns, refLiteral(decimal))
	}
	for _, m := range modifiers {
		var next [][]string
		for _, p := range patterns {
			switch m {
			case "contains", "startswith", "endswith":
				next = append(next, refWrap(p, []string{m}))
			case "windash":
				next = append(next, refDashes(p)...)
			case "base64":
				next = append(next, refLiteral(refBase64([]byte(strings.Join(p, "")))))
			case "base64offset":
				// Where nothing stays the same there is nothing to recognise.
				for shift := range 3 {
					if static := refStatic([]byte(strings.Join(p, "")), shift); static != "" {
						next = append(next, refLiteral(static))
					}
				}
			case "wide", "utf16le", "utf16be", "utf16":
				next = append(next, refWide(p, m))
			default:
				next = append(next, p)
			}
		}
		patterns = next
	}
	// "Searching for keywords across an entire event."
	if field == "" && !slices.Contains(modifiers, "startswith") && !slices.Contains(modifiers, "endswith") {
		for i, p := range patterns {
			patterns[i] = refWrap(p, []string{"contains"})
		}
	}
	return patterns
}

func refWrap(p, modifiers []string) []string {
	for _, m := range modifiers {
		if m == "contains" || m == "endswith" {
			p = append([]string{refMany}, p...)
		}
		if m == "contains" || m == "startswith" {
			p = append(slices.Clone(p), refMany)
		}
	}
	return p
}

// refLiteral makes every character a sign of its own.
func refLiteral(s string) []string {
	var signs []string
	for len(s) > 0 {
		_, size := utf8.DecodeRuneInString(s)
		signs = append(signs, s[:size])
		s = s[size:]
	}
	return signs
}

// refString reads the escapes by counting backslashes. Before a wildcard each two
// are one, and one that is left takes the wildcard's meaning away. Elsewhere one
// or two are one, three or four are two.
func refString(s string) []string {
	var signs []string
	signOf := map[byte]string{'*': refMany, '?': refOne}
	for i := 0; i < len(s); {
		n := 0
		for i+n < len(s) && s[i+n] == '\\' {
			n++
		}
		i += n
		wild := i < len(s) && signOf[s[i]] != ""
		switch {
		case wild:
			for range n / 2 {
				signs = append(signs, `\`)
			}
			if n%2 == 1 {
				signs = append(signs, s[i:i+1])
			} else {
				signs = append(signs, signOf[s[i]])
			}
			i++
		case n > 0:
			for range (n + 1) / 2 {
				signs = append(signs, `\`)
			}
		default:
			end := strings.IndexAny(s[i:], `\*?`)
			if end < 0 {
				end = len(s) - i
			}
			signs = append(signs, refLiteral(s[i:i+end])...)
			i += end
		}
	}
	return signs
}

// refDashes writes every dash that begins a word, and follows none, in all ways.
func refDashes(p []string) [][]string {
	word := regexp.MustCompile(`^[\pL\p{Nd}_]$`)
	isWord := func(i int) bool {
		return i >= 0 && i < len(p) && p[i] != refMany && p[i] != refOne && word.MatchString(p[i])
	}
	all := [][]string{nil}
	for i, sign := range p {
		ways := []string{sign}
		if strings.Contains("-/–—―", sign) && !isWord(i-1) && isWord(i+1) {
			ways = []string{"-", "/", "–", "—", "―"}
		}
		var next [][]string
		for _, before := range all {
			for _, way := range ways {
				next = append(next, append(slices.Clone(before), way))
			}
		}
		all = next
	}
	return all
}

const refAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// refBase64 encodes by writing out the bits.
func refBase64(data []byte) string {
	bits := ""
	for _, b := range data {
		bits += fmt.Sprintf("%08b", b)
	}
	for len(bits)%6 != 0 {
		bits += "0"
	}
	out := ""
	for i := 0; i < len(bits); i += 6 {
		n, _ := strconv.ParseUint(bits[i:i+6], 2, 8)
		out += refAlphabet[n : n+1]
	}
	for len(out)%4 != 0 {
		out += "="
	}
	return out
}

// refStatic is what of the encoding stays the same whatever surrounds the data.
func refStatic(data []byte, shift int) string {
	surround := func(b byte) string {
		all := slices.Concat(slices.Repeat([]byte{b}, shift), data, slices.Repeat([]byte{b}, 3))
		return strings.TrimRight(refBase64(all), "=")
	}
	zeros, ones := surround(0x00), surround(0xff)
	static := ""
	for i := range zeros {
		if zeros[i] == ones[i] {
			static += zeros[i : i+1]
		}
	}
	return static
}

// refWide writes characters of the basic plane as two bytes.
func refWide(p []string, modifier string) []string {
	var out []string
	if modifier == "utf16" {
		out = append(out, "\xff", "\xfe")
	}
	for _, sign := range p {
		if sign == refMany || sign == refOne {
			out = append(out, sign)
			continue
		}
		r := []rune(sign)[0]
		low, high := string([]byte{byte(r)}), string([]byte{byte(r >> 8)})
		if modifier == "utf16be" {
			low, high = high, low
		}
		out = append(out, low, high)
	}
	return out
}

// refPattern tells whether a pattern is all of a text: "values are treated as
// case-insensitive strings".
func refPattern(p []string, cased bool) func(string) bool {
	same := strings.EqualFold
	if cased {
		same = func(a, b string) bool { return a == b }
	}
	return func(text string) bool {
		chars := refLiteral(text)
		// reach has the places of the text that the signs so far can end at.
		reach := make([]bool, len(chars)+1)
		reach[0] = true
		for _, sign := range p {
			next := make([]bool, len(chars)+1)
			for i, here := range reach {
				switch {
				case sign == refMany:
					next[i] = here || i > 0 && next[i-1]
				case !here:
				case i < len(chars) && (sign == refOne || same(sign, chars[i])):
					next[i+1] = true
				}
			}
			reach = next
		}
		return reach[len(chars)]
	}
}
