package sigma_test

import (
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// This is a second reading of the Sigma specification, for the tests alone: slow,
// literal, from the YAML to the verdict, and without a line of the loader or of
// the matcher. Where the specification leaves a choice, the comment says which
// was made.

// refRule is a rule as the reference sees it.
type refRule struct {
	id        string
	source    map[string]string
	detection *yaml.Node
}

// refEvent is an event as the reference sees it: values are texts, or nil for
// null. Numbers and booleans are texts already.
type refEvent struct {
	fields map[string][]*string
	lines  []string
	// belongs says whether a log source of a rule is the event's.
	belongs func(category, product, service string) bool
}

func refParse(document []byte) (*refRule, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(document, &root); err != nil {
		return nil, err
	}
	rule := &refRule{source: map[string]string{}, detection: refGet(root.Content[0], "detection")}
	if id := refGet(root.Content[0], "id"); id != nil {
		rule.id = id.Value
	}
	source := refGet(root.Content[0], "logsource")
	for i := 0; i+1 < len(source.Content); i += 2 {
		rule.source[source.Content[i].Value] = source.Content[i+1].Value
	}
	return rule, nil
}

func refGet(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// fires tells whether the rule holds for an event.
func (r *refRule) fires(e *refEvent) bool {
	if !e.belongs(r.source["category"], r.source["product"], r.source["service"]) {
		return false
	}
	condition := refGet(r.detection, "condition")
	if condition.Kind == yaml.ScalarNode {
		return r.condition(condition.Value, e)
	}
	// "The condition can be a list ... logically linked with OR."
	for _, c := range condition.Content {
		if r.condition(c.Value, e) {
			return true
		}
	}
	return false
}

// condition evaluates text by its operators, from the least binding: or, and,
// not, x of, brackets.
func (r *refRule) condition(text string, e *refEvent) bool {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "(", " ( "), ")", " ) ")
	return r.words(strings.Fields(text), e)
}

func (r *refRule) words(words []string, e *refEvent) bool {
	if parts := refSplit(words, "or"); len(parts) > 1 {
		return slices.ContainsFunc(parts, func(p []string) bool { return r.words(p, e) })
	}
	if parts := refSplit(words, "and"); len(parts) > 1 {
		return !slices.ContainsFunc(parts, func(p []string) bool { return !r.words(p, e) })
	}
	if strings.EqualFold(words[0], "not") {
		return !r.words(words[1:], e)
	}
	if words[0] == "(" {
		return r.words(words[1:len(words)-1], e)
	}
	if len(words) == 3 && strings.EqualFold(words[1], "of") {
		pattern := words[2]
		if strings.EqualFold(pattern, "them") {
			pattern = "*"
		}
		some, all := false, true
		for i := 0; i+1 < len(r.detection.Content); i += 2 {
			name := r.detection.Content[i].Value
			// "Detections starting with underscores are excluded by convention."
			fits, err := path.Match(pattern, strings.ReplaceAll(name, "/", ""))
			if err != nil || !fits || name == "condition" || strings.HasPrefix(name, "_") {
				continue
			}
			holds := r.search(name, e)
			some, all = some || holds, all && holds
		}
		if strings.EqualFold(words[0], "all") {
			return all
		}
		return some
	}
	return r.search(words[0], e)
}

// refSplit splits words at an operator that is in no bracket.
func refSplit(words []string, operator string) [][]string {
	var parts [][]string
	depth, from := 0, 0
	for i, w := range words {
		switch {
		case w == "(":
			depth++
		case w == ")":
			depth--
		case depth == 0 && strings.EqualFold(w, operator):
			parts = append(parts, words[from:i])
			from = i + 1
		}
	}
	return append(parts, words[from:])
}

// search evaluates a search identifier: "lists ... OR", "maps ... AND".
func (r *refRule) search(name string, e *refEvent) bool {
	n := refGet(r.detection, name)
	switch n.Kind {
	case yaml.MappingNode:
		return refMap(n, e)
	case yaml.SequenceNode:
		for _, c := range n.Content {
			if c.Kind == yaml.MappingNode && refMap(c, e) || c.Kind == yaml.ScalarNode && refItem("", []*yaml.Node{c}, e) {
				return true
			}
		}
		return false
	}
	return refItem("", []*yaml.Node{n}, e)
}

func refMap(n *yaml.Node, e *refEvent) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		values := []*yaml.Node{n.Content[i+1]}
		if values[0].Kind == yaml.SequenceNode {
			values = values[0].Content
		}
		if !refItem(n.Content[i].Value, values, e) {
			return false
		}
	}
	return true
}

// refItem evaluates one key of a map.
func refItem(key string, values []*yaml.Node, e *refEvent) bool {
	field, chain, _ := strings.Cut(key, "|")
	modifiers := strings.Split(chain, "|")
	if chain == "" {
		modifiers = nil
	}
	has := func(m string) bool { return slices.Contains(modifiers, m) }
	some, all := false, true
	for _, v := range values {
		holds := refValue(field, modifiers, v, e)
		some, all = some || holds, all && holds
	}
	result := some
	if has("all") {
		result = all
	}
	// "The field is different from the specified values": not equal to any, also
	// when the event lacks the field.
	if has("neq") {
		return !result
	}
	return result
}

// refValue evaluates one value of an item.
func refValue(field string, modifiers []string, v *yaml.Node, e *refEvent) bool {
	has := func(m string) bool { return slices.Contains(modifiers, m) }
	values, present := e.fields[field]
	switch {
	case has("exists"):
		// "This check only verifies the presence of a field, not its value."
		return present == (strings.ToLower(v.Value) == "true")
	case v.ShortTag() == "!!null":
		// A field without a value, or none at all.
		return !present || slices.Contains(values, nil)
	}
	texts := values
	if field == "" {
		texts = nil
		for _, other := range e.fields {
			texts = append(texts, other...)
		}
		for i := range e.lines {
			texts = append(texts, &e.lines[i])
		}
	}
	test := refTest(field, modifiers, v, e)
	for _, text := range texts {
		if text != nil && test(*text) {
			return true
		}
	}
	return false
}

// refTest returns the question that a value asks of a text.
func refTest(field string, modifiers []string, v *yaml.Node, e *refEvent) func(string) bool {
	has := func(m string) bool { return slices.Contains(modifiers, m) }
	comparison := func(x float64) bool {
		y, _ := strconv.ParseFloat(v.Value, 64)
		switch {
		case has("lt"):
			return x < y
		case has("lte"):
			return x <= y
		case has("gt"):
			return x > y
		case has("gte"):
			return x >= y
		}
		return x == y
	}
	switch {
	case has("re"):
		flags := ""
		for _, f := range []string{"i", "m", "s"} {
			if has(f) {
				flags += f
			}
		}
		if flags != "" {
			flags = "(?" + flags + ")"
		}
		return regexp.MustCompile(flags + v.Value).MatchString
	case has("cidr"):
		_, network, err := net.ParseCIDR(v.Value)
		if err != nil {
			panic(err)
		}
		return func(text string) bool { ip := net.ParseIP(text); return ip != nil && network.Contains(ip) }
	case has("minute"), has("hour"), has("day"), has("week"), has("month"), has("year"):
		return func(text string) bool {
			for _, layout := range []string{"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05.999", "2006-01-02 15:04", "2006-01-02"} {
				t, err := time.Parse(layout, text)
				if err != nil {
					continue
				}
				_, week := t.ISOWeek()
				part := map[string]int{"minute": t.Minute(), "hour": t.Hour(), "day": t.Day(), "week": week, "month": int(t.Month()), "year": t.Year()}
				for name, n := range part {
					if has(name) {
						return (len(layout) > 10 || name != "minute" && name != "hour") && comparison(float64(n))
					}
				}
			}
			return false
		}
	case has("lt"), has("lte"), has("gt"), has("gte"):
		return func(text string) bool { x, err := strconv.ParseFloat(text, 64); return err == nil && comparison(x) }
	case has("fieldref"):
		return func(text string) bool {
			for _, other := range e.fields[v.Value] {
				if other != nil && refPattern(refWrap(refLiteral(*other), modifiers), has("cased"))(text) {
					return true
				}
			}
			return false
		}
	}
	var questions []func(string) bool
	for _, p := range refPatterns(field, modifiers, v) {
		questions = append(questions, refPattern(p, has("cased")))
	}
	return func(text string) bool {
		return slices.ContainsFunc(questions, func(q func(string) bool) bool { return q(text) })
	}
}
