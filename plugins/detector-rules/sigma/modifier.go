package sigma

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// operand is a value of a rule on its way through the modifiers.
type operand struct {
	Test
	// number is the value of an unquoted number, written how the rule has it. A
	// modifier for text makes it one.
	isNumber bool
	number   float64
	written  string
	isBool   bool
	// pattern is the text of IsMatch, which is compiled at the end with flags.
	pattern Text
	flags   string
}

// item is one key of a search identifier: a field, its modifiers, its values.
type item struct {
	field string
	// what names the key in problems.
	what string
	node *yaml.Node
	// values are the values, each as its alternatives: some modifiers make
	// several texts of one.
	values   [][]operand
	all, neq bool
	// done are the modifiers so far.
	done []string
}

// modifiers says what each modifier does.
var modifiers = map[string]func(*reader, *item) error{
	"all":          (*reader).modAll,
	"neq":          func(_ *reader, it *item) error { it.neq = true; return nil },
	"contains":     affix(Contains),
	"startswith":   affix(StartsWith),
	"endswith":     affix(EndsWith),
	"cased":        (*reader).modCased,
	"exists":       (*reader).modExists,
	"windash":      (*reader).modWindash,
	"re":           (*reader).modRegex,
	"i":            flag("i"),
	"m":            flag("m"),
	"s":            flag("s"),
	"base64":       encoded("base64", func(s string) []string { return []string{base64.StdEncoding.EncodeToString([]byte(s))} }),
	"base64offset": encoded("base64offset", offsets),
	"wide":         widened("wide", "", false),
	"utf16le":      widened("utf16le", "", false),
	"utf16be":      widened("utf16be", "", true),
	"utf16":        widened("utf16", byteOrderMark, false),
	"lt":           compared(Less),
	"lte":          compared(LessEqual),
	"gt":           compared(Greater),
	"gte":          compared(GreaterEqual),
	"minute":       timed(Minute),
	"hour":         timed(Hour),
	"day":          timed(Day),
	"week":         timed(Week),
	"month":        timed(Month),
	"year":         timed(Year),
	"cidr":         (*reader).modCIDR,
	"expand":       (*reader).modExpand,
	"fieldref":     (*reader).modFieldRef,
}

// modify applies the modifiers in their order.
func (r *reader) modify(it *item, names []string) error {
	for i, name := range names {
		apply, ok := modifiers[name]
		if !ok {
			return r.problem(it.node, CodeUnknownModifier, "%s: there is no modifier %q; %s", it.what, document.Clip(name), meant(name, slices.Collect(maps.Keys(modifiers))))
		}
		if slices.Contains(names[:i], name) {
			return r.problem(it.node, CodeModifier, "%s: the modifier %s is given twice; keep one", it.what, name)
		}
		// cidr reads its text at once, so what is to be expanded comes first.
		if name == "cidr" && slices.Contains(names[i:], "expand") {
			if err := r.modExpand(it); err != nil {
				return err
			}
		}
		if err := apply(r, it); err != nil {
			return err
		}
		it.done = append(it.done, name)
	}
	return nil
}

func (r *reader) misused(it *item, format string, args ...any) error {
	return r.problem(it.node, CodeModifier, "%s: %s", it.what, fmt.Sprintf(format, args...))
}

// each replaces every alternative of every value by what change makes of it.
func (r *reader) each(it *item, change func(*operand) ([]operand, error)) error {
	for i, alternatives := range it.values {
		var out []operand
		for _, o := range alternatives {
			changed, err := change(&o)
			if err != nil {
				return err
			}
			out = append(out, changed...)
			if len(out) > r.tests {
				return r.problem(it.node, CodeTooLarge, "%s: the values become more than %d tests in this rule; use fewer options or placeholders", it.what, MaxTests)
			}
		}
		it.values[i] = out
	}
	return nil
}

// textual refuses what is no text; numbers and booleans become theirs.
func (r *reader) textual(it *item, o *operand, name string) error {
	if o.Kind != IsText {
		return r.misused(it, "%s is for texts, and the value is %s", name, o.describe())
	}
	o.isNumber, o.isBool = false, false
	return nil
}

// describe names what an operand is, for people.
func (o *operand) describe() string {
	switch o.Kind {
	case IsMatch:
		return "a regular expression"
	case IsNumber:
		return "a comparison of numbers"
	case IsTime:
		return "a part of a date"
	case InNetwork:
		return "a network"
	case IsNull:
		return "null"
	case Exists:
		return "a question for the field alone"
	case IsField:
		return "another field"
	}
	return strconv.Quote(document.Clip(o.Text.String()))
}

func (r *reader) modAll(it *item) error {
	if len(it.values) < 2 {
		return r.misused(it, "all joins the values of a list by and, and there is only one value; leave it out")
	}
	it.all = true
	return nil
}

func (r *reader) modCased(it *item) error {
	return r.each(it, func(o *operand) ([]operand, error) {
		if o.Kind == IsField {
			o.Cased = true
			return []operand{*o}, nil
		}
		if o.Kind == IsMatch {
			return nil, r.misused(it, "a regular expression regards case already; leave cased out")
		}
		if err := r.textual(it, o, "cased"); err != nil {
			return nil, err
		}
		o.Cased = true
		return []operand{*o}, nil
	})
}

// affix puts wildcards at the ends of a text.
func affix(c Comparison) func(*reader, *item) error {
	name := [...]string{Contains: "contains", StartsWith: "startswith", EndsWith: "endswith"}[c]
	many := Text{{Wild: Many}}
	return func(r *reader, it *item) error {
		return r.each(it, func(o *operand) ([]operand, error) {
			if o.Kind == IsField {
				if o.Comparison != Equal {
					return nil, r.misused(it, "%s follows another of contains, startswith, endswith; keep one", name)
				}
				o.Comparison = c
				return []operand{*o}, nil
			}
			if o.Kind == IsMatch {
				return nil, r.misused(it, "a regular expression is looked for anywhere already; leave %s out, and use ^ and $ for the ends", name)
			}
			if err := r.textual(it, o, name); err != nil {
				return nil, err
			}
			if c != StartsWith {
				o.Text = many.Join(o.Text)
			}
			if c != EndsWith {
				o.Text = o.Text.Join(many)
			}
			return []operand{*o}, nil
		})
	}
}

func (r *reader) modExists(it *item) error {
	if it.field == "" {
		return r.misused(it, "exists asks for a field, and this key names none")
	}
	if len(it.done) > 0 || len(it.values) != 1 || !it.values[0][0].isBool {
		return r.misused(it, "exists is the only modifier of its field and has one value, true or false without quotes")
	}
	o := &it.values[0][0]
	word, _ := o.Text.Plain()
	it.neq = word == "false"
	o.Kind, o.Text = Exists, nil
	return nil
}

func (r *reader) modWindash(it *item) error {
	return r.each(it, func(o *operand) ([]operand, error) {
		if err := r.textual(it, o, "windash"); err != nil {
			return nil, err
		}
		texts := o.Text.windash(r.tests)
		if texts == nil {
			return nil, r.problem(it.node, CodeTooLarge, "%s: windash makes more than %d texts of %s; give the options as several values", it.what, MaxTests, o.describe())
		}
		return o.variants(texts), nil
	})
}

func (o *operand) variants(texts []Text) []operand {
	out := make([]operand, len(texts))
	for i, t := range texts {
		out[i] = *o
		out[i].Text = t
	}
	return out
}

func (r *reader) modRegex(it *item) error {
	for _, name := range it.done {
		if name != "all" && name != "neq" && name != "expand" {
			return r.misused(it, "re takes the value as it is written, so it comes before %s or without it", name)
		}
	}
	return r.each(it, func(o *operand) ([]operand, error) {
		if o.Kind != IsText {
			return nil, r.misused(it, "re is for texts, and the value is %s", o.describe())
		}
		o.Kind, o.Text = IsMatch, nil
		if o.pattern == nil {
			o.pattern = Text(nil).with(Literal, o.written)
		}
		return []operand{*o}, nil
	})
}

func flag(name string) func(*reader, *item) error {
	return func(r *reader, it *item) error {
		return r.each(it, func(o *operand) ([]operand, error) {
			if o.Kind != IsMatch {
				return nil, r.misused(it, "%s is a flag of regular expressions and comes after re", name)
			}
			o.flags += name
			return []operand{*o}, nil
		})
	}
}

// encoded replaces the literal text.
func encoded(name string, encode func(string) []string) func(*reader, *item) error {
	return func(r *reader, it *item) error {
		return r.each(it, func(o *operand) ([]operand, error) {
			if err := r.textual(it, o, name); err != nil {
				return nil, err
			}
			s, ok := o.Text.Plain()
			if !ok {
				return nil, r.misused(it, "%s cannot encode the wildcards of %s; put %s before contains, startswith and endswith, and a backslash before * and ?", name, o.describe(), name)
			}
			if s == "" {
				return nil, r.misused(it, "%s of an empty text says nothing", name)
			}
			var texts []Text
			for _, e := range encode(s) {
				texts = append(texts, Text(nil).with(Literal, e))
			}
			if len(texts) == 0 {
				return nil, r.misused(it, "%s has nothing left of %s, which is too short", name, o.describe())
			}
			return o.variants(texts), nil
		})
	}
}

// widened makes every literal UTF-16.
func widened(name, prefix string, big bool) func(*reader, *item) error {
	return func(r *reader, it *item) error {
		return r.each(it, func(o *operand) ([]operand, error) {
			if err := r.textual(it, o, name); err != nil {
				return nil, err
			}
			o.Text = Text(nil).with(Literal, prefix).Join(o.Text.each(func(s string) string { return wide(s, big) }))
			return []operand{*o}, nil
		})
	}
}

func (r *reader) modFieldRef(it *item) error {
	if it.field == "" {
		return r.misused(it, "fieldref compares two fields, and this key names none")
	}
	return r.each(it, func(o *operand) ([]operand, error) {
		if err := r.textual(it, o, "fieldref"); err != nil {
			return nil, err
		}
		name, ok := o.Text.Plain()
		if !ok || name == "" {
			return nil, r.misused(it, "fieldref takes the name of a field, and %s is none; contains, startswith and endswith come after fieldref", o.describe())
		}
		o.Kind, o.Other, o.Text = IsField, name, nil
		return []operand{*o}, nil
	})
}
