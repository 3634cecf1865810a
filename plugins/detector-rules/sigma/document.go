package sigma

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
	"github.com/ironpost/ironpost/sdk/event"
)

// form is what a document is.
type form int

const (
	formNone form = iota
	formRule
	formFilter
	formCorrelation
	formAction
)

// formOf tells rules from other YAML. A mapping with "detection", "correlation"
// or "filter" is one of ours; so is one with a title and one of the words that
// other files do not have, so that a misspelled "detection" is reported and not
// passed over.
func formOf(root *yaml.Node) form {
	switch {
	case root.Kind != yaml.MappingNode:
		return formNone
	case value(root, "correlation") != nil:
		return formCorrelation
	case value(root, "filter") != nil && value(root, "detection") == nil:
		return formFilter
	case value(root, "action") != nil && (value(root, "detection") != nil || value(root, "title") != nil):
		return formAction
	case value(root, "detection") != nil:
		return formRule
	case value(root, "title") != nil && (value(root, "logsource") != nil || value(root, "level") != nil):
		return formRule
	}
	return formNone
}

// Is reports whether a document is, or means to be, a rule, filter or correlation.
func Is(root *yaml.Node) bool { return formOf(document.Deref(root)) != formNone }

// document reads one document: the form decides how.
func (c *Collector) document(name string, root *yaml.Node) {
	r := &reader{file: name, options: c.options, budget: MaxNodes, tests: MaxTests}
	root = document.Deref(root)
	form := formOf(root)
	if form == formNone {
		c.result.Skipped++
		return
	}
	r.id = idOf(root)
	err := r.check(root, 0)
	if err == nil {
		switch form {
		case formFilter:
			err = c.filter(r, root)
		case formCorrelation:
			err = c.correlation(r, root)
		case formAction:
			err = r.problem(value(root, "action"), CodeOldCollection, "action (%s) belongs to the collections of Sigma 1; write every rule of the file out in a document of its own", document.Describe(value(root, "action")))
		default:
			err = c.rule(r, root)
		}
	}
	if err != nil {
		problem := (*Problem)(nil)
		if !errors.As(err, &problem) {
			problem = r.make(root, CodeInvalidValue, "%v", err)
		}
		c.result.Problems = append(c.result.Problems, *problem)
		return
	}
	c.result.Warnings = append(c.result.Warnings, r.warnings...)
}

// take notes an id as taken.
func (c *Collector) take(r *reader, root *yaml.Node, id string) error {
	if first, ok := c.ids.Take(id, document.Place{File: r.file, Line: max(root.Line, 1)}); !ok {
		at := root
		if n := value(root, "id"); n != nil {
			at = n
		}
		return r.problem(at, CodeDuplicateID, "the id %q is taken by %s; give one of the two another", document.Clip(id), first)
	}
	return nil
}

var (
	statuses = []string{"stable", "test", "experimental", "deprecated", "unsupported"}
	levels   = []string{"informational", "low", "medium", "high", "critical"}
	dateForm = regexp.MustCompile(`^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$`)
)

// head are the keys that every kind of document may have.
type head struct {
	id, name, title, description, status, author string
	level                                        event.Severity
	tags, references, falsePositives, fields     []string
}

// head reads them. What Sigma does not know is left alone: it allows keys of one's
// own.
func (r *reader) head(m mapping) (h head, err error) {
	if m.get("title") == nil {
		return h, r.problem(m.node, CodeMissingKey, `the rule has no "title"; say in a few words what it finds`)
	}
	h.level = event.SeverityMedium
	for _, p := range m.pairs {
		switch p.key {
		case "title":
			h.title, err = r.text(p.node, "title", MaxTitle)
			if err == nil && strings.TrimSpace(h.title) == "" {
				err = r.problem(p.node, CodeInvalidValue, "title is empty; say in a few words what the rule finds")
			}
		case "id":
			h.id, err = r.identifier(p.node, "id")
		case "name":
			h.name, err = r.identifier(p.node, "name")
		case "description":
			if p.node.ShortTag() != "!!null" {
				h.description, err = r.text(p.node, "description", MaxDescription)
			}
		case "status":
			h.status, err = r.oneOf(p.node, "status", statuses)
		case "author":
			if p.node.ShortTag() != "!!null" {
				h.author, err = r.text(p.node, "author", MaxDescription)
			}
		case "level":
			var word string
			if word, err = r.oneOf(p.node, "level", levels); err == nil {
				h.level, _ = event.ParseSeverity(word)
			}
		case "tags":
			h.tags, err = r.texts(p.node, "tags", false)
		case "references":
			h.references, err = r.texts(p.node, "references", false)
		case "falsepositives":
			h.falsePositives, err = r.texts(p.node, "falsepositives", true)
		case "fields":
			h.fields, err = r.texts(p.node, "fields", false)
		case "date", "modified":
			if p.node.Kind != yaml.ScalarNode || !dateForm.MatchString(p.node.Value) {
				r.warn(p.node, CodeDate, "%s is %s; write YYYY-MM-DD", p.key, document.Describe(p.node))
			}
		}
		if err != nil {
			return h, err
		}
	}
	return h, nil
}

// identifier reads a name without blanks at its ends and control characters.
func (r *reader) identifier(n *yaml.Node, what string) (string, error) {
	s, err := r.text(n, what, MaxField)
	if err != nil {
		return "", err
	}
	bad := func(c rune) bool { return c < ' ' || c == 0x7f }
	if s == "" || strings.TrimSpace(s) != s || strings.ContainsFunc(s, bad) {
		return "", r.problem(n, CodeInvalidValue, "%s is %q; a UUID is best", what, document.Clip(s))
	}
	return s, nil
}

// rule reads a detection rule.
func (c *Collector) rule(r *reader, root *yaml.Node) error {
	m, err := r.mapping(root, "the rule", nil)
	if err != nil {
		return err
	}
	h, err := r.head(m)
	if err != nil {
		return err
	}
	out := &Rule{
		ID: h.id, Name: h.name, Title: h.title, Description: h.description, Status: h.status, Level: h.level, Author: h.author,
		Tags: h.tags, References: h.references, FalsePositives: h.falsePositives, Fields: h.fields,
		File: r.file, Line: max(root.Line, 1),
	}
	if out.LogSource, err = r.logSource(m, "the rule"); err != nil {
		return err
	}
	detection := m.get("detection")
	if detection == nil {
		return r.problem(root, CodeMissingKey, `the rule has no "detection"%s`, instead(m, "detection"))
	}
	if out.When, err = r.detection(detection, "detection"); err != nil {
		return err
	}
	out.Hash = hashOf(out.LogSource, out.When)
	if out.ID == "" {
		out.ID = out.Name
	}
	if out.ID == "" {
		out.ID = "sigma-" + out.Hash
	}
	if err := c.take(r, root, out.ID); err != nil {
		return err
	}
	c.result.Rules = append(c.result.Rules, out)
	return nil
}

// instead names the key that was probably meant.
func instead(m mapping, want string) string {
	for _, p := range m.pairs {
		if document.Nearest(p.key, []string{want}) != "" {
			return "; " + p.key + " is probably meant to be it"
		}
	}
	return ""
}

// logSource reads the log source of a rule or of a filter.
func (r *reader) logSource(m mapping, of string) (out LogSource, err error) {
	n := m.get("logsource")
	if n == nil {
		return out, r.problem(m.node, CodeMissingKey, `%s has no "logsource"; give it a category, a product or a service%s`, of, instead(m, "logsource"))
	}
	source, err := r.mapping(n, "logsource", nil)
	if err != nil {
		return out, err
	}
	for _, p := range source.pairs {
		var to *string
		switch p.key {
		case "category":
			to = &out.Category
		case "product":
			to = &out.Product
		case "service":
			to = &out.Service
		default:
			continue
		}
		if *to, err = r.text(p.node, "logsource."+p.key, MaxField); err != nil {
			return out, err
		}
		if *to == "" || strings.ToLower(*to) != *to {
			return out, r.problem(p.node, CodeInvalidValue, "logsource.%s is %q; it is written in lower case", p.key, document.Clip(*to))
		}
	}
	if out == (LogSource{}) {
		return out, r.problem(n, CodeMissingKey, "logsource has no category, product or service; give one at least")
	}
	return out, nil
}

// detection reads search identifiers and the condition over them; the keys of
// except are neither.
func (r *reader) detection(n *yaml.Node, what string, except ...string) (*Expr, error) {
	m, err := r.mapping(n, what, nil)
	if err != nil {
		return nil, err
	}
	condition := m.get("condition")
	if condition == nil {
		return nil, r.problem(m.node, CodeMissingKey, `%s has no "condition"; name the search identifiers that must hold, such as condition: selection`, what)
	}
	known, err := r.searches(m, what, append(slices.Clone(except), "condition")...)
	if err != nil {
		return nil, err
	}
	e, err := r.condition(condition, what+".condition", known)
	if err != nil {
		return nil, err
	}
	for _, s := range known {
		if !s.used {
			r.warn(s.node, CodeUnused, "the search identifier %s is not in the condition, so it does nothing", document.Clip(s.name))
		}
	}
	return e, nil
}

// hashOf names what a rule detects; see Rule.Hash.
func hashOf(source LogSource, e *Expr) string {
	var d document.Digest
	d.Put(source.Category, source.Product, source.Service)
	e.AddTo(&d)
	return d.String()
}
