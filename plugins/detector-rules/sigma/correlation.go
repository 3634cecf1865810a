package sigma

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
	"github.com/ironpost/ironpost/sdk/event"
)

// CorrelationType says what a correlation counts.
type CorrelationType string

// The types of correlation.
const (
	EventCount      CorrelationType = "event_count"
	ValueCount      CorrelationType = "value_count"
	Temporal        CorrelationType = "temporal"
	TemporalOrdered CorrelationType = "temporal_ordered"
	ValueSum        CorrelationType = "value_sum"
	ValueAverage    CorrelationType = "value_avg"
	ValuePercentile CorrelationType = "value_percentile"
)

var correlationTypes = []string{
	string(EventCount), string(ValueCount), string(Temporal), string(TemporalOrdered),
	string(ValueSum), string(ValueAverage), string(ValuePercentile),
}

// Correlation relates the events that rules, or other correlations, found.
type Correlation struct {
	ID, Name, Title, Description, Status string
	// Level is medium when the correlation does not say.
	Level                            event.Severity
	Tags, References, FalsePositives []string
	Type                             CorrelationType
	// Rules are the ids of the rules and correlations, in the order in which
	// TemporalOrdered wants them.
	Rules []string
	// GroupBy are fields, or names of Aliases; events of different values are
	// counted apart.
	GroupBy []string
	// Aliases says for a name, and the id of a rule, which field it means.
	Aliases  map[string]map[string]string
	Timespan time.Duration
	// Conditions must all hold for the number that Type makes.
	Conditions []Bound
	// Fields are what ValueCount counts the distinct values of; for the other
	// types over values it is one field.
	Fields []string
	// Percentile is which one ValuePercentile takes; 50 when it does not say.
	Percentile int
	// Expression is the extended condition of Temporal and TemporalOrdered: its
	// leaves are rules. Nil means that all of them must occur.
	Expression *RuleExpr
	// Generate says that the rules raise alerts of their own too.
	Generate bool
	File     string
	Line     int
}

// Bound compares a number. Op is "gt", "gte", "lt", "lte", "eq" or "neq".
type Bound struct {
	Op     string
	Number float64
}

// RuleExpr is a condition on which rules found something.
type RuleExpr struct {
	Op   Op
	Subs []*RuleExpr
	// Rule is the id of the rule of a Leaf.
	Rule string
}

const (
	maxGroupBy  = 16
	maxTimespan = 366 * 24 * time.Hour
	maxRelated  = 1000
)

var boundOps = []string{"gt", "gte", "lt", "lte", "eq", "neq"}

// correlation reads a correlation.
func (c *Collector) correlation(r *reader, root *yaml.Node) error {
	m, err := r.mapping(root, "the correlation", nil)
	if err != nil {
		return err
	}
	h, err := r.head(m)
	if err != nil {
		return err
	}
	out := &Correlation{
		ID: h.id, Name: h.name, Title: h.title, Description: h.description, Status: h.status, Level: h.level,
		Tags: h.tags, References: h.references, FalsePositives: h.falsePositives, File: r.file, Line: max(root.Line, 1),
	}
	for _, other := range []string{h.name, h.title} {
		if out.ID == "" {
			out.ID = other
		}
	}
	known := []string{"type", "rules", "aliases", "group-by", "timespan", "condition", "generate"}
	body, err := r.mapping(m.get("correlation"), "correlation", known)
	if err != nil {
		return err
	}
	for _, key := range []string{"type", "rules", "timespan"} {
		if body.get(key) == nil {
			return r.problem(body.node, CodeMissingKey, "correlation has no %q", key)
		}
	}
	var condition *yaml.Node
	for _, p := range body.pairs {
		what := "correlation." + p.key
		switch p.key {
		case "type":
			var word string
			word, err = r.oneOf(p.node, what, correlationTypes)
			out.Type = CorrelationType(word)
		case "rules":
			out.Rules, err = r.related(p.node, what)
		case "group-by":
			out.GroupBy, err = r.texts(p.node, what, true)
			if err == nil && len(out.GroupBy) > maxGroupBy {
				err = r.problem(p.node, CodeOutOfRange, "%s has %d fields, allowed are %d", what, len(out.GroupBy), maxGroupBy)
			}
		case "timespan":
			out.Timespan, err = r.timespan(p.node, what)
		case "aliases":
			out.Aliases, err = r.aliases(p.node, what)
		case "condition":
			condition = p.node
		case "generate":
			err = r.generate(p.node, out)
		}
		if err != nil {
			return err
		}
	}
	if generate := m.get("generate"); generate != nil {
		if err := r.generate(generate, out); err != nil {
			return err
		}
	}
	if err := r.bounds(body.node, condition, out); err != nil {
		return err
	}
	if err := c.take(r, root, out.ID); err != nil {
		return err
	}
	c.result.Correlations = append(c.result.Correlations, out)
	return nil
}

func (r *reader) generate(n *yaml.Node, out *Correlation) error {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Decode(&out.Generate) != nil {
		return r.problem(n, CodeWrongType, "generate must be true or false, this is %s", document.Describe(n))
	}
	return nil
}

// related reads the rules of a correlation.
func (r *reader) related(n *yaml.Node, what string) ([]string, error) {
	names, err := r.texts(n, what, true)
	switch {
	case err != nil:
		return nil, err
	case len(names) == 0 || len(names) > maxRelated:
		return nil, r.problem(n, CodeOutOfRange, "%s names %d rules; allowed are 1 to %d", what, len(names), maxRelated)
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return nil, r.problem(n, CodeInvalidValue, "%s names %q twice; keep one", what, document.Clip(name))
		}
	}
	return names, nil
}

// timespan reads a number and its unit.
func (r *reader) timespan(n *yaml.Node, what string) (time.Duration, error) {
	s, err := r.text(n, what, MaxField)
	if err != nil {
		return 0, err
	}
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	var unit time.Duration
	var count int
	if len(s) > 1 {
		unit = units[s[len(s)-1]]
		count, err = strconv.Atoi(s[:len(s)-1])
	}
	if unit == 0 || err != nil || strings.HasPrefix(s, "+") {
		return 0, r.problem(n, CodeInvalidValue, "%s is %q; write a number and s, m, h or d, such as 90m", what, document.Clip(s))
	}
	if count < 1 || count > int(maxTimespan/unit) {
		return 0, r.problem(n, CodeOutOfRange, "%s is %q; allowed are 1s to %dd", what, document.Clip(s), int(maxTimespan/(24*time.Hour)))
	}
	return time.Duration(count) * unit, nil
}

func (r *reader) aliases(n *yaml.Node, what string) (map[string]map[string]string, error) {
	m, err := r.mapping(n, what, nil)
	if err != nil {
		return nil, err
	}
	out := make(map[string]map[string]string, len(m.pairs))
	for _, p := range m.pairs {
		fields, err := r.mapping(p.node, what+"."+document.Clip(p.key), nil)
		if err != nil {
			return nil, err
		}
		out[p.key] = make(map[string]string, len(fields.pairs))
		for _, f := range fields.pairs {
			if out[p.key][f.key], err = r.text(f.node, what+"."+document.Clip(p.key)+"."+document.Clip(f.key), MaxField); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// bounds reads the condition of a correlation, which each type has in its way.
func (r *reader) bounds(at, n *yaml.Node, out *Correlation) error {
	temporal := out.Type == Temporal || out.Type == TemporalOrdered
	switch {
	case n == nil && temporal:
		return nil
	case n == nil:
		return r.problem(at, CodeMissingKey, `correlation has no "condition"; %s compares a number, such as condition: {gte: 10}`, out.Type)
	case n.Kind == yaml.ScalarNode && temporal:
		return r.extended(n, out)
	}
	m, err := r.mapping(n, "correlation.condition", append([]string{"field", "percentile"}, boundOps...))
	if err != nil {
		return err
	}
	for _, p := range m.pairs {
		what := "correlation.condition." + p.key
		switch p.key {
		case "field":
			out.Fields, err = r.texts(p.node, what, true)
		case "percentile":
			if p.node.ShortTag() != "!!int" || p.node.Decode(&out.Percentile) != nil || out.Percentile < 0 || out.Percentile > 100 {
				err = r.problem(p.node, CodeOutOfRange, "%s must be a whole number from 0 to 100, this is %s", what, document.Describe(p.node))
			}
		default:
			var f float64
			if tag := p.node.ShortTag(); (tag != "!!int" && tag != "!!float") || p.node.Decode(&f) != nil || math.IsNaN(f) || math.IsInf(f, 0) {
				err = r.problem(p.node, CodeWrongType, "%s must be a number without quotes, this is %s", what, document.Describe(p.node))
			}
			out.Conditions = append(out.Conditions, Bound{p.key, f})
		}
		if err != nil {
			return err
		}
	}
	overValues := out.Type != EventCount && !temporal
	switch {
	case len(out.Conditions) == 0:
		return r.problem(n, CodeMissingKey, "correlation.condition compares with nothing; add one of %s", strings.Join(boundOps, ", "))
	case overValues && len(out.Fields) == 0:
		return r.problem(n, CodeMissingKey, `correlation.condition has no "field"; %s needs to know whose values it takes`, out.Type)
	case overValues && out.Type != ValueCount && len(out.Fields) > 1:
		return r.problem(n, CodeInvalidValue, "correlation.condition.field names %d fields; %s takes one", len(out.Fields), out.Type)
	case !overValues && len(out.Fields) > 0:
		return r.problem(n, CodeInvalidValue, "correlation.condition has a field, and %s counts events; use value_count for the values of a field", out.Type)
	}
	if out.Type == ValuePercentile && m.get("percentile") == nil {
		out.Percentile = 50
	}
	return nil
}

// extended reads a condition such as "a and not b", whose operands are rules.
func (r *reader) extended(n *yaml.Node, out *Correlation) error {
	text, err := r.text(n, "correlation.condition", MaxCondition)
	if err != nil {
		return err
	}
	known := make([]*search, len(out.Rules))
	for i, name := range out.Rules {
		known[i] = &search{name: name, expr: &Expr{Op: Leaf, Label: name}}
	}
	p := &parser{tokens: tokenize(text), known: known}
	e, code, reason := p.parse()
	if code == CodeUnknownSearch {
		reason = strings.Replace(reason, "search identifier", "rule in correlation.rules", 1)
	}
	if code != "" {
		return r.problem(n, code, "correlation.condition %q: %s", document.Clip(text), reason)
	}
	out.Expression = ruleExpr(e)
	return nil
}

func ruleExpr(e *Expr) *RuleExpr {
	out := &RuleExpr{Op: e.Op, Rule: e.Label}
	for _, s := range e.Subs {
		out.Subs = append(out.Subs, ruleExpr(s))
	}
	return out
}
