package search

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	// MaxWord is how much of a word counts, in bytes.
	MaxWord = 256
	// MaxText is the longest query, in bytes.
	MaxText = 4096
	// MaxTerms is the greatest number of words in a query.
	MaxTerms = 64
)

// ErrText says that a query holds nothing to search for, or too much.
var ErrText = errors.New("bad search text")

// Term is what an event must contain: words that follow each other.
type Term struct {
	// Words are folded as Words folds them; there is at least one.
	Words []string
	// Prefix says that the last word is the beginning of one.
	Prefix bool
}

// Parse reads a query. The error is ErrText.
func Parse(text string) ([]Term, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("%w: it is %d bytes long; at most %d can be searched for", ErrText, len(text), MaxText)
	}
	var terms []Term
	total := 0
	for part := range parts(text) {
		t := Term{Prefix: strings.HasSuffix(part, "*")}
		if w, is := asAddress(part); is {
			t.Words = []string{w}
		} else {
			for w := range parted(part) {
				t.Words = append(t.Words, w)
			}
		}
		if len(t.Words) == 0 {
			continue
		}
		// The star belongs to the word right before it.
		if t.Prefix {
			last, _ := utf8.DecodeLastRuneInString(strings.TrimRight(part, "*"))
			t.Prefix = isWord(last)
		}
		if total += len(t.Words); total > MaxTerms {
			return nil, fmt.Errorf("%w: at most %d words can be searched for", ErrText, MaxTerms)
		}
		terms = append(terms, t)
	}
	if len(terms) == 0 {
		return nil, fmt.Errorf("%w: there is no word in it; a word is of letters and digits", ErrText)
	}
	return terms, nil
}

// parts yields what stands in quotes, with the star behind it, and what blanks divide.
func parts(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			text = strings.TrimLeftFunc(text, unicode.IsSpace)
			if text == "" {
				return
			}
			var part string
			if text[0] == '"' {
				part, text, _ = strings.Cut(text[1:], `"`)
				if strings.HasPrefix(text, "*") {
					part, text = part+"*", text[1:]
				}
			} else {
				end := strings.IndexFunc(text, func(r rune) bool { return r == '"' || unicode.IsSpace(r) })
				if end < 0 {
					end = len(text)
				}
				part, text = text[:end], text[end:]
			}
			if !yield(part) {
				return
			}
		}
	}
}

// Words yields the words of a text in their order, folded, and after them its Addresses.
func Words(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for w := range parted(text) {
			if !yield(w) {
				return
			}
		}
		for w := range Addresses(text) {
			if !yield(w) {
				return
			}
		}
	}
}

// parted yields the words that are not whole addresses.
func parted(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		begin := -1
		for i, r := range text {
			switch {
			case isWord(r):
				if begin < 0 {
					begin = i
				}
				continue
			case begin < 0:
				continue
			}
			if w := fold(text[begin:i]); w != "" && !yield(w) {
				return
			}
			begin = -1
		}
		if begin >= 0 {
			if w := fold(text[begin:]); w != "" {
				yield(w)
			}
		}
	}
}

func isWord(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z'
	}
	return unicode.In(r, unicode.L, unicode.N, unicode.Co, unicode.Mn)
}

// fold makes a word comparable.
func fold(word string) string {
	for i := range len(word) {
		if c := word[i]; c >= utf8.RuneSelf || c >= 'A' && c <= 'Z' {
			word = strings.Map(foldRune, word)
			break
		}
	}
	if len(word) > MaxWord {
		word = strings.ToValidUTF8(word[:MaxWord], "")
	}
	return word
}

// foldRune returns the small letter without accents; -1 for an accent by itself.
func foldRune(r rune) rune {
	switch {
	case r < utf8.RuneSelf:
		return unicode.ToLower(r)
	case unicode.Is(unicode.Mn, r):
		return -1
	}
	r = unicode.ToLower(r)
	if base, _ := utf8.DecodeRune(norm.NFD.PropertiesString(string(r)).Decomposition()); base != utf8.RuneError {
		return base
	}
	return r
}

// Matches says whether texts contain all terms. A phrase is found within one text.
func Matches(terms []Term, texts ...string) bool {
	found := make([]bool, len(terms))
	left := len(terms)
	for _, text := range texts {
		var window []string // the words right before, as many as the longest phrase has
		longest := 0
		for _, t := range terms {
			longest = max(longest, len(t.Words))
		}
		for w := range Words(text) {
			if window = append(window, w); len(window) > longest {
				window = window[1:]
			}
			for i, t := range terms {
				if !found[i] && t.endsWith(window) {
					found[i] = true
					left--
				}
			}
			if left == 0 {
				return true
			}
		}
	}
	return left == 0
}

// endsWith says whether the last of some words are those of the term.
func (t Term) endsWith(words []string) bool {
	n := len(t.Words)
	if len(words) < n {
		return false
	}
	words = words[len(words)-n:]
	last := n - 1
	return slices.Equal(words[:last], t.Words[:last]) &&
		(words[last] == t.Words[last] || t.Prefix && strings.HasPrefix(words[last], t.Words[last]))
}
