package search

import (
	"iter"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// dot stands in a whole address for what divides its parts. It is of private use, so that
// an address is one word to every index, and nobody's text has the same one.
const dot = "\ue001"

// Addresses yields the IP addresses of a text in their order, each as one word, in its
// shortest form; one of IPv4 written as IPv6 is of IPv4. A port, brackets and the end of a
// sentence are no part of an address; what touches another letter or digit, or has more
// numbers, is none.
func Addresses(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for begin := 0; begin < len(text); {
			if !inAddress(text[begin]) {
				begin++
				continue
			}
			end, dots, colons := begin, 0, 0
			for ; end < len(text) && inAddress(text[end]); end++ {
				switch text[end] {
				case '.':
					dots++
				case ':':
					colons++
				}
			}
			if dots >= 3 || colons >= 2 {
				for _, a := range addressesOf(text, begin, end) {
					if !yield(wordOf(a)) {
						return
					}
				}
			}
			begin = end
		}
	}
}

func inAddress(c byte) bool { return c == '.' || c == ':' || isHex(c) }

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

func isMark(r rune) bool { return r == '.' || r == ':' }

// addressesOf returns the addresses in text[begin:end], which is as long as it can be.
func addressesOf(text string, begin, end int) []netip.Addr {
	run := text[begin:end]
	// What belongs to a longer word is left out, the mark beside it is not.
	if r, _ := utf8.DecodeLastRuneInString(text[:begin]); begin > 0 && isWord(r) {
		run = run[max(strings.IndexFunc(run, isMark), 0):]
	} else {
		run = strings.TrimLeft(run, ".")
	}
	if r, _ := utf8.DecodeRuneInString(text[end:]); end < len(text) && isWord(r) {
		run = run[:strings.LastIndexFunc(run, isMark)+1]
	} else {
		run = strings.TrimRight(run, ".")
	}
	if strings.Trim(run, ".:") == "" {
		return nil
	}
	left, right := strings.TrimPrefix(run, ":"), strings.TrimSuffix(run, ":")
	for _, s := range []string{run, left, right, strings.TrimSuffix(left, ":")} {
		if a, err := netip.ParseAddr(s); err == nil {
			return []netip.Addr{a.Unmap()}
		}
	}
	var all []netip.Addr
	for s := range strings.SplitSeq(run, ":") {
		if a, err := netip.ParseAddr(s); err == nil {
			all = append(all, a)
		}
	}
	return all
}

func wordOf(a netip.Addr) string {
	return strings.NewReplacer(".", dot, ":", dot+dot).Replace(a.String())
}

// asAddress returns the word of a text that is an address and nothing else.
func asAddress(text string) (string, bool) {
	a, err := netip.ParseAddr(strings.TrimSpace(text))
	if err != nil || a.Zone() != "" || strings.Trim(text, ".: ") == "" {
		return "", false
	}
	return wordOf(a.Unmap()), true
}
