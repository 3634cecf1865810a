package sigma

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// condition reads a condition, or a list of them, of which one must hold.
func (r *reader) condition(n *yaml.Node, what string, known []*search) (*Expr, error) {
	n = document.Deref(n)
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
		if len(nodes) == 0 {
			return nil, r.problem(n, CodeCondition, "%s is an empty list; name a search identifier", what)
		}
	}
	var subs []*Expr
	for _, c := range nodes {
		text, err := r.text(c, what, MaxCondition)
		if err != nil {
			return nil, err
		}
		p := &parser{tokens: tokenize(text), known: known}
		e, code, reason := p.parse()
		if code != "" {
			return nil, r.problem(document.Deref(c), code, "%s %q: %s", what, document.Clip(text), reason)
		}
		subs = append(subs, e)
	}
	return one(Or, subs), nil
}

// parser reads the tokens of a condition by recursive descent. The precedence,
// from the weakest: or, and, not, "x of", brackets.
type parser struct {
	tokens []string
	at     int
	depth  int
	known  []*search
	// joined counts the search identifiers that stand for patterns.
	joined int
	// code and reason are those of the first thing that is wrong.
	code, reason string
}

// tokenize splits a condition at blanks and around brackets and pipes.
func tokenize(s string) []string {
	for _, sign := range []string{"(", ")", "|"} {
		s = strings.ReplaceAll(s, sign, " "+sign+" ")
	}
	return strings.Fields(s)
}

func (p *parser) parse() (e *Expr, code, reason string) {
	if slices.Contains(p.tokens, "|") {
		return nil, CodeAggregation, "aggregations behind a pipe are no longer part of Sigma; keep what is before the pipe and write a correlation (event_count, value_count, temporal) that names this rule"
	}
	if len(p.tokens) == 0 {
		return nil, CodeCondition, "it is empty; name a search identifier"
	}
	e = p.or()
	if p.code == "" && p.at < len(p.tokens) {
		p.fail(CodeCondition, "%q stands where and, or, or the end was expected", document.Clip(p.tokens[p.at]))
	}
	return e, p.code, p.reason
}

func (p *parser) fail(code, format string, args ...any) *Expr {
	if p.code == "" {
		p.code, p.reason = code, fmt.Sprintf(format, args...)
	}
	return &Expr{Op: Or}
}

// word reports whether the next token is a word of the language, and takes it.
func (p *parser) word(w string) bool {
	if p.at < len(p.tokens) && strings.EqualFold(p.tokens[p.at], w) {
		p.at++
		return true
	}
	return false
}

func (p *parser) or() *Expr {
	subs := []*Expr{p.and()}
	for p.code == "" && p.word("or") {
		subs = append(subs, p.and())
	}
	return one(Or, subs)
}

func (p *parser) and() *Expr {
	subs := []*Expr{p.not()}
	for p.code == "" && p.word("and") {
		subs = append(subs, p.not())
	}
	return one(And, subs)
}

func (p *parser) not() *Expr {
	if p.depth++; p.depth > MaxDepth {
		return p.fail(CodeTooDeep, "brackets and nots are nested more than %d deep", MaxDepth)
	}
	defer func() { p.depth-- }()
	if p.word("not") {
		return &Expr{Op: Not, Subs: []*Expr{p.not()}}
	}
	return p.operand()
}

func (p *parser) operand() *Expr {
	if p.at == len(p.tokens) {
		return p.fail(CodeCondition, "it ends where a search identifier was expected")
	}
	token := p.tokens[p.at]
	p.at++
	switch {
	case token == "(":
		e := p.or()
		if p.code == "" && !p.word(")") {
			return p.fail(CodeCondition, "a bracket is not closed")
		}
		return e
	case p.at < len(p.tokens) && strings.EqualFold(p.tokens[p.at], "of"):
		p.at++
		return p.some(token)
	case token == ")" || isOperator(token):
		return p.fail(CodeCondition, "%q stands where a search identifier was expected", token)
	case strings.Contains(token, "*"):
		return p.fail(CodeCondition, "%q is a pattern, and needs \"1 of\" or \"all of\" before it", document.Clip(token))
	}
	names := make([]string, 0, len(p.known))
	for _, s := range p.known {
		if s.name == token {
			s.used = true
			return s.expr
		}
		names = append(names, s.name)
	}
	return p.fail(CodeUnknownSearch, "there is no search identifier %q; %s", document.Clip(token), meant(token, names))
}

func isOperator(token string) bool {
	return strings.EqualFold(token, "and") || strings.EqualFold(token, "or") || strings.EqualFold(token, "not") || strings.EqualFold(token, "of")
}

// some reads what follows "1 of", "any of" and "all of". Search identifiers that
// begin with _ are left out.
func (p *parser) some(quantity string) *Expr {
	op := Or
	switch strings.ToLower(quantity) {
	case "1", "any":
	case "all":
		op = And
	default:
		return p.fail(CodeCondition, "%q cannot stand before of; Sigma knows \"1 of\" and \"all of\"", document.Clip(quantity))
	}
	if p.at == len(p.tokens) || p.tokens[p.at] == "(" || p.tokens[p.at] == ")" || isOperator(p.tokens[p.at]) {
		return p.fail(CodeCondition, "of is not followed by them or a pattern such as selection_*")
	}
	pattern := p.tokens[p.at]
	p.at++
	if strings.EqualFold(pattern, "them") {
		pattern = "*"
	}
	var subs []*Expr
	for _, s := range p.known {
		if !strings.HasPrefix(s.name, "_") && covers(pattern, s.name) {
			s.used = true
			subs = append(subs, s.expr)
		}
	}
	if p.joined += len(subs); p.joined > MaxTests {
		return p.fail(CodeTooLarge, "its patterns stand for more than %d search identifiers", MaxTests)
	}
	if len(subs) == 0 {
		names := make([]string, len(p.known))
		for i, s := range p.known {
			names[i] = s.name
		}
		return p.fail(CodeUnknownSearch, "no search identifier fits %q; %s", document.Clip(pattern), meant(pattern, names))
	}
	return one(op, subs)
}

// covers reports whether a pattern, in which * is anything, is all of a name.
func covers(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	rest, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[last])
}
