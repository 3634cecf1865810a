package license

import "strings"

// parser reads an expression of SPDX 2.3, annex D, and writes its canonical form.
// It goes down one level of calls for each parenthesis, maxDepth at most.
type parser struct {
	rest     string
	lists    *index
	out      strings.Builder
	refs     []string
	compound bool
}

// expression reads licences joined by AND and OR. Which binds more is of no matter
// here: the text is kept.
func (p *parser) expression(depth int) bool {
	for {
		if !p.operand(depth) {
			return false
		}
		switch fold(p.next()) {
		case "and":
			p.take()
			p.out.WriteString(" AND ")
		case "or":
			p.take()
			p.out.WriteString(" OR ")
		default:
			return true
		}
		p.compound = p.compound || depth == 0
	}
}

// operand reads a licence, with its exception, or an expression in parentheses.
func (p *parser) operand(depth int) bool {
	word := p.take()
	if word == "(" {
		if depth == maxDepth {
			return false
		}
		p.out.WriteByte('(')
		if !p.expression(depth+1) || p.take() != ")" {
			return false
		}
		p.out.WriteByte(')')
		return true
	}
	if !p.license(word) {
		return false
	}
	if fold(p.next()) != "with" {
		return true
	}
	p.take()
	exception, ok := p.lists.exceptions[fold(p.take())]
	p.out.WriteString(" WITH ")
	p.out.WriteString(exception)
	return ok
}

// license reads an identifier, one with "+" for later versions, or a reference to
// what the document says itself. References into other documents are refused: no
// document of ours could say which they are.
func (p *parser) license(word string) bool {
	if known, ok := p.lists.licenses[fold(word)]; ok {
		p.out.WriteString(known.id)
		return true
	}
	if plain, later := strings.CutSuffix(word, "+"); later {
		if known, ok := p.lists.licenses[fold(plain)]; ok {
			p.out.WriteString(known.id)
			p.out.WriteByte('+')
			return true
		}
	}
	id, ok := strings.CutPrefix(word, "LicenseRef-")
	if !ok || id == "" || strings.ContainsFunc(id, func(r rune) bool { return !IDChar(r) }) {
		return false
	}
	p.refs = append(p.refs, word)
	p.out.WriteString(word)
	return true
}

// IDChar is true for what SPDX allows in an identifier that a document makes up.
func IDChar(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '-'
}

// next returns the next word, "" at the end.
func (p *parser) next() string {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	if p.rest == "" {
		return ""
	}
	if p.rest[0] == '(' || p.rest[0] == ')' {
		return p.rest[:1]
	}
	if end := strings.IndexAny(p.rest, " \t\r\n()"); end >= 0 {
		return p.rest[:end]
	}
	return p.rest
}

// take returns the next word and goes past it.
func (p *parser) take() string {
	word := p.next()
	p.rest = p.rest[len(word):]
	return word
}
