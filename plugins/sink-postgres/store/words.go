package store

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/search"
)

const (
	// maxPosition and maxPositions are PostgreSQL's bounds of a tsvector: where a word can
	// stand, and how often it counts.
	maxPosition  = 16383
	maxPositions = 255
	// overflow is what a tsvector has that could not hold all positions, beside words. No
	// word is the same.
	overflow = "+"
)

// vector appends a tsvector of texts. Between two of them no phrase matches.
func (t tuple) vector(texts ...string) tuple {
	type lexeme struct {
		word      string
		positions []uint16
	}
	index := make(map[string]int, 32)
	var all []lexeme
	add := func(word string, position uint16) *lexeme {
		i, known := index[word]
		if !known {
			i = len(all)
			index[word] = i
			all = append(all, lexeme{word: word})
		}
		l := &all[i]
		if n := len(l.positions); n < maxPositions && (n == 0 || l.positions[n-1] < position) {
			l.positions = append(l.positions, position)
			return nil
		}
		return l
	}
	position, over := uint16(0), false
	for _, text := range texts {
		for word := range search.Words(text) {
			position = min(position+1, maxPosition)
			over = add(word, position) != nil || over || position == maxPosition
		}
		position = min(position+2, maxPosition)
	}
	if over {
		add(overflow, 1)
	}
	slices.SortFunc(all, func(a, b lexeme) int { return cmp.Compare(a.word, b.word) })
	at := len(t)
	t = binary.BigEndian.AppendUint32(t, 0)
	t = binary.BigEndian.AppendUint32(t, uint32(len(all)))
	for _, l := range all {
		t = append(append(t, l.word...), 0)
		t = binary.BigEndian.AppendUint16(t, uint16(len(l.positions)))
		for _, p := range l.positions {
			t = binary.BigEndian.AppendUint16(t, p)
		}
	}
	binary.BigEndian.PutUint32(t[at:], uint32(len(t)-at-4))
	return t
}

// text selects by words and phrases; stored.Contains does the rest: the server may have forgotten
// where the words of a long text stand.
func (s *selected) text(text string) error {
	if s.kind != event.KindAlert && s.kind != event.KindLog {
		return fmt.Errorf("%w: text is searched for in log events and alerts, not in %v", sdk.ErrQuery, s.kind)
	}
	terms, err := search.Parse(text)
	if err != nil {
		return fmt.Errorf("%w: %w", sdk.ErrQuery, err)
	}
	s.terms, s.probe = terms, true
	var all []string
	for _, term := range terms {
		words := make([]string, len(term.Words))
		for i, w := range term.Words {
			words[i] = "'" + w + "'" // of letters and digits alone
		}
		if term.Prefix {
			words[len(words)-1] += ":*"
		}
		one := strings.Join(words, " <-> ")
		if len(words) > 1 {
			one = fmt.Sprintf("(%s) | ('%s' & %s)", one, overflow, strings.Join(words, " & "))
		}
		all = append(all, "("+one+")")
	}
	s.and("t.words @@ ?::tsquery", strings.Join(all, " & "))
	return nil
}
