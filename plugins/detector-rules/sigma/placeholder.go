package sigma

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// modExpand replaces placeholders by what Options.Placeholders has for them. A
// placeholder with several values makes several texts; one with none, or unknown,
// rejects the rule.
func (r *reader) modExpand(it *item) error {
	return r.each(it, func(o *operand) ([]operand, error) {
		if o.Kind == IsMatch {
			return r.expandPattern(it, o)
		}
		if o.Kind != IsText {
			return nil, r.misused(it, "expand is for texts, and the value is %s", o.describe())
		}
		var lookup error
		texts := expand(o.Text, r.tests, func(name string) []Text {
			values, err := r.placeholder(it, name)
			if err != nil {
				lookup = err
			}
			return values
		})
		switch {
		case lookup != nil:
			return nil, lookup
		case texts == nil:
			return nil, r.problem(it.node, CodeTooLarge, "%s: the placeholders of %s stand for more than %d texts", it.what, o.describe(), MaxTests)
		}
		o.isNumber, o.isBool = false, false
		return o.variants(texts), nil
	})
}

// expandPattern is modExpand after re: what a placeholder stands for is text, of
// which only the wildcards mean something.
func (r *reader) expandPattern(it *item, o *operand) ([]operand, error) {
	var lookup error
	texts := expand(o.pattern, r.tests, func(name string) []Text {
		values, err := r.placeholder(it, name)
		if err != nil {
			lookup = err
		}
		for i, v := range values {
			values[i] = Text(nil).with(Literal, "(?:"+toPattern(v)+")")
		}
		return values
	})
	if lookup != nil {
		return nil, lookup
	}
	if texts == nil {
		return nil, r.problem(it.node, CodeTooLarge, "%s: the placeholders of %q stand for more than %d patterns", it.what, document.Clip(o.written), MaxTests)
	}
	out := make([]operand, len(texts))
	for i, t := range texts {
		out[i] = *o
		out[i].pattern = t
	}
	return out, nil
}

func toPattern(t Text) string {
	var b strings.Builder
	for _, p := range t {
		switch p.Wild {
		case Many:
			b.WriteString(".*")
		case One:
			b.WriteByte('.')
		default:
			b.WriteString(regexp.QuoteMeta(p.Text))
		}
	}
	return b.String()
}

func (r *reader) placeholder(it *item, name string) ([]Text, error) {
	values, ok := r.options.Placeholders[name]
	if !ok || len(values) == 0 {
		return nil, r.problem(it.node, CodePlaceholder, "unresolved placeholder %%%s%%", name)
	}
	out := make([]Text, 0, len(values))
	for _, v := range values {
		t := ParseText(v)
		if len(v) > MaxText || wildcards(t) > MaxWildcards {
			return nil, r.problem(it.node, CodeTooLarge, "%s", fmt.Sprintf("%s: a value of the placeholder %%%s%% is longer than %d bytes or has more than %d wildcards", it.what, name, MaxText, MaxWildcards))
		}
		out = append(out, t)
	}
	return out, nil
}

// expand replaces every %name% of the literals by its values, in all
// combinations, and every \% by %. It returns nil when there are more than limit.
func expand(t Text, limit int, values func(name string) []Text) []Text {
	out := []Text{nil}
	add := func(texts []Text) bool {
		if len(out)*len(texts) > limit {
			return false
		}
		next := make([]Text, 0, len(out)*len(texts))
		for _, o := range out {
			for _, text := range texts {
				next = append(next, o.Join(text))
			}
		}
		out = next
		return true
	}
	for _, p := range t {
		if p.Wild != Literal {
			add([]Text{{p}})
			continue
		}
		rest := p.Text
		for rest != "" {
			before, name, after, ok := cutPlaceholder(rest)
			if !add([]Text{Text(nil).with(Literal, strings.ReplaceAll(before, `\%`, `%`))}) {
				return nil
			}
			rest = after
			if ok && !add(values(name)) {
				return nil
			}
		}
	}
	return out
}

// cutPlaceholder splits a text around its first placeholder: a name of letters,
// digits and _ between two %, the first of which has no backslash before it.
func cutPlaceholder(s string) (before, name, after string, ok bool) {
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i > 0 && s[i-1] == '\\' {
			continue
		}
		end := i + 1
		for end < len(s) && isNameByte(s[end]) {
			end++
		}
		if end > i+1 && end < len(s) && s[end] == '%' {
			return s[:i], s[i+1 : end], s[end+1:], true
		}
	}
	return s, "", "", false
}

func isNameByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
