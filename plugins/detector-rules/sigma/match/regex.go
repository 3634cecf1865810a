package match

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// newPattern finds out what every match of a pattern has, so that most texts need
// not be matched.
func newPattern(re *regexp.Regexp) *question {
	q := &question{re: re}
	tree, err := syntax.Parse(re.String(), syntax.Perl)
	if err != nil {
		return q
	}
	q.required = folded(required(tree))
	q.shortest = shortestMatch(tree)
	if s := sequence(tree); len(s) > 1 {
		q.sequence = folded(s)
	}
	q.run = newBitap(tree)
	return q
}

func folded(texts []string) []string {
	for i, t := range texts {
		texts[i] = foldString(t)
	}
	return texts
}

// mayMatch reports whether a value has what every match has.
func (s *Scratch) mayMatch(q *question, number int32) bool {
	text := s.values[number].text
	return len(text) >= q.shortest && (q.required == nil || s.hasRequired(q, number)) && (q.run == nil || q.run.in(text))
}

// hasRequired is the part of mayMatch that looks at folded text.
func (s *Scratch) hasRequired(q *question, number int32) bool {
	text := s.folded(number)
	if q.sequence != nil {
		for _, part := range q.sequence {
			_, after, ok := strings.Cut(text, part)
			if !ok {
				return false
			}
			text = after
		}
		return true
	}
	for _, t := range q.required {
		if strings.Contains(text, t) {
			return true
		}
	}
	return false
}

// sequence returns texts that are in every match one after the other.
func sequence(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		return required(re)
	case syntax.OpCapture, syntax.OpPlus:
		return sequence(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return sequence(re.Sub[0])
		}
	case syntax.OpConcat:
		var all []string
		for _, s := range re.Sub {
			all = append(all, sequence(s)...)
		}
		return all
	}
	return nil
}

// shortestMatch returns how many characters a match has at least.
func shortestMatch(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return shortestMatch(re.Sub[0])
	case syntax.OpRepeat:
		return re.Min * shortestMatch(re.Sub[0])
	case syntax.OpConcat:
		sum := 0
		for _, s := range re.Sub {
			sum += shortestMatch(s)
		}
		return sum
	case syntax.OpAlternate:
		least := shortestMatch(re.Sub[0])
		for _, s := range re.Sub[1:] {
			least = min(least, shortestMatch(s))
		}
		return least
	}
	return 0
}

func required(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		if s := string(re.Rune); !strings.ContainsRune(s, utf8.RuneError) {
			return []string{s}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0])
		}
	case syntax.OpConcat:
		var best []string
		for _, s := range re.Sub {
			if texts := required(s); texts != nil && (best == nil || shortest(texts) > shortest(best)) {
				best = texts
			}
		}
		return best
	case syntax.OpAlternate:
		var all []string
		for _, s := range re.Sub {
			texts := required(s)
			if texts == nil || len(all)+len(texts) > 64 {
				return nil
			}
			all = append(all, texts...)
		}
		return all
	}
	return nil
}

func shortest(texts []string) int {
	n := len(texts[0])
	for _, t := range texts {
		n = min(n, len(t))
	}
	return n
}
