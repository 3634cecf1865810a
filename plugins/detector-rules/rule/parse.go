package rule

import (
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/sdk/event"
)

// The keys that each mapping may have.
var (
	ruleKeys = []string{
		"id", "title", "description", "status", "severity", "level", "tags", "references", "falsepositives",
		"logsource", "detection", "events", "suppress", "rate_limit", "evidence",
		// Kept out of the way, so that a rule may say who wrote it.
		"author", "date", "modified", "license", "name", "related", "fields",
	}
	detectionKeys = []string{"conditions", "condition", "threshold"}
	thresholdKeys = []string{"count", "timeframe_secs", "group_by", "scope"}
	suppressKeys  = []string{"timeframe_secs", "group_by", "scope"}
	limitKeys     = []string{"count", "timeframe_secs", "scope"}
	statuses      = []string{"stable", "test", "experimental", "deprecated", "unsupported", statusDisabled}
	evidences     = []string{"confirmed", "forgeable"}
	scopes        = []string{"host", scopeFleet}
)

// scopeFleet counts over all hosts.
const scopeFleet = "fleet"

// Bounds of the numbers in a rule.
const (
	maxCount     = 10_000
	maxTimeframe = 7 * 24 * 60 * 60
	maxLimit     = 1_000_000
	maxGroupBy   = 8
	maxID        = 128
	maxField     = 256
)

// rule reads a rule in the native form.
func (r *reader) rule(root *yaml.Node) (*Rule, error) {
	m, err := r.mapping(root, "the rule", ruleKeys)
	if err != nil {
		return nil, err
	}
	out := &Rule{File: r.file, Line: max(root.Line, 1), Kinds: Logs | Packets, Severity: event.SeverityMedium}
	for _, key := range []string{"id", "title", "detection"} {
		if !m.has(key) {
			return nil, r.problem(root, CodeMissingKey, "the rule has no %q", key)
		}
	}
	for _, p := range m.pairs {
		if err := r.ruleKey(out, p); err != nil {
			return nil, err
		}
	}
	if s, l := m.get("severity"), m.get("level"); s != nil && l != nil {
		return nil, r.problem(l, CodeConflict, "the rule has both severity and level; keep one")
	}
	if s := m.get("suppress"); s != nil && out.Threshold != nil && len(out.Suppress.GroupBy) > 0 {
		return nil, r.problem(s, CodeConflict, "suppress.group_by stands beside a threshold, whose own group_by holds; leave it out")
	}
	out.LogSource = sigma.LogSource{Product: Product}
	out.Hash = hashOf(out)
	return out, nil
}

// ruleKey reads one key of the rule.
func (r *reader) ruleKey(out *Rule, p pair) (err error) {
	switch p.key {
	case "id":
		out.ID, err = r.identifier(p.node)
	case "title":
		out.Title, err = r.text(p.node, "title")
		if err == nil && strings.TrimSpace(out.Title) == "" {
			err = r.problem(p.node, CodeInvalidValue, "title is empty")
		}
	case "description":
		out.Description, err = r.text(p.node, "description")
	case "status":
		out.Status, err = r.oneOf(p.node, "status", statuses)
	case "severity", "level":
		out.Severity, err = r.severity(p.node, p.key)
	case "tags":
		out.Tags, err = r.texts(p.node, "tags")
	case "references":
		out.References, err = r.texts(p.node, "references")
	case "falsepositives":
		out.FalsePositives, err = r.texts(p.node, "falsepositives")
	case "logsource":
		err = r.logSource(p.node)
	case "detection":
		err = r.detection(out, p.node)
	case "events":
		out.Kinds, err = r.kinds(p.node)
	case "suppress":
		out.Suppress, err = r.suppress(p.node)
	case "rate_limit":
		out.RateLimit, err = r.rateLimit(p.node)
	case "evidence":
		var word string
		word, err = r.oneOf(p.node, "evidence", evidences)
		out.Forgeable = word == "forgeable"
	}
	return err
}

func (r *reader) identifier(n *yaml.Node) (string, error) {
	id, err := r.text(n, "id")
	if err != nil {
		return "", err
	}
	valid := id != "" && len(id) <= maxID
	for i := 0; i < len(id) && valid; i++ {
		c := id[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		valid = alnum || i > 0 && strings.IndexByte("._:-", c) >= 0
	}
	if !valid {
		return "", r.problem(n, CodeInvalidID, "the id %q is not 1 to %d letters, digits and . _ : - with a letter or digit first", document.Clip(id), maxID)
	}
	return id, nil
}

func (r *reader) severity(n *yaml.Node, key string) (event.Severity, error) {
	word, err := r.text(n, key)
	if err != nil {
		return 0, err
	}
	s, ok := event.ParseSeverity(word)
	if !ok {
		return 0, r.problem(n, CodeInvalidSeverity, "%s is %q; allowed are informational, low, medium, high, critical", key, document.Clip(word))
	}
	return s, nil
}

// logSource reads the log source of the simple form, which selects nothing.
func (r *reader) logSource(n *yaml.Node) error {
	m, err := r.mapping(n, "logsource", []string{"category", "product", "service", "definition"})
	if err != nil {
		return err
	}
	for _, p := range m.pairs {
		if _, err := r.text(p.node, "logsource."+p.key); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) kinds(n *yaml.Node) (Kinds, error) {
	n = document.Deref(n)
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	var out Kinds
	for _, c := range nodes {
		word, err := r.oneOf(c, "events", kindNames)
		if err != nil {
			return 0, err
		}
		switch word {
		case "log":
			out |= Logs
		case "packet":
			out |= Packets
		case "alert":
			out |= Alerts
		}
	}
	if out == 0 {
		return 0, r.problem(n, CodeInvalidValue, "events is an empty list; allowed are log, packet, alert")
	}
	return out, nil
}

func (r *reader) detection(out *Rule, n *yaml.Node) error {
	m, err := r.mapping(n, "detection", detectionKeys)
	if err != nil {
		return err
	}
	if !m.has("conditions") {
		return r.problem(m.node, CodeMissingKey, `detection has no "conditions"`)
	}
	op := sigma.And
	if c := m.get("condition"); c != nil {
		word, err := r.oneOf(c, "detection.condition", []string{"all", "any"})
		if err != nil {
			return err
		}
		if word == "any" {
			op = sigma.Or
		}
	}
	if out.When, err = r.group(m.get("conditions"), "detection.conditions", op); err != nil {
		return err
	}
	if t := m.get("threshold"); t != nil {
		if out.Threshold, out.Fleet, err = r.threshold(t); err == nil && out.Fleet && out.FleetCount() == 0 {
			err = r.problem(t, CodeOutOfRange, "a threshold of %d events cannot be counted over all hosts; scope: fleet goes with %d to %d", out.Threshold.Count, MinFleetCount, MaxFleetCount)
		}
	}
	return err
}

func (r *reader) threshold(n *yaml.Node) (out *Threshold, fleet bool, err error) {
	m, err := r.mapping(n, "threshold", thresholdKeys)
	if err != nil {
		return nil, false, err
	}
	out = &Threshold{}
	if out.Count, err = r.need(m, "threshold", "count", 1, maxCount); err != nil {
		return nil, false, err
	}
	if out.Timeframe, err = r.timeframe(m, "threshold"); err != nil {
		return nil, false, err
	}
	if out.GroupBy, err = r.groupBy(m, "threshold"); err != nil {
		return nil, false, err
	}
	fleet, err = r.scope(m.get("scope"), "threshold.scope")
	return out, fleet, err
}

// scope reads over which hosts is counted: this one, when nothing is said.
func (r *reader) scope(n *yaml.Node, what string) (fleet bool, err error) {
	if n == nil {
		return false, nil
	}
	word, err := r.oneOf(n, what, scopes)
	return word == scopeFleet, err
}

// suppress reads {timeframe_secs, group_by, scope}, or the seconds alone.
func (r *reader) suppress(n *yaml.Node) (*Suppress, error) {
	if document.Deref(n).Kind == yaml.ScalarNode {
		secs, err := r.number(n, "suppress", 1, maxTimeframe)
		return &Suppress{Timeframe: time.Duration(secs) * time.Second}, err
	}
	m, err := r.mapping(n, "suppress", suppressKeys)
	if err != nil {
		return nil, err
	}
	out := &Suppress{}
	if out.Timeframe, err = r.timeframe(m, "suppress"); err != nil {
		return nil, err
	}
	if out.GroupBy, err = r.groupBy(m, "suppress"); err != nil {
		return nil, err
	}
	out.Fleet, err = r.scope(m.get("scope"), "suppress.scope")
	return out, err
}

func (r *reader) rateLimit(n *yaml.Node) (Limit, error) {
	m, err := r.mapping(n, "rate_limit", limitKeys)
	if err != nil {
		return Limit{}, err
	}
	out := Limit{}
	if out.Count, err = r.need(m, "rate_limit", "count", 1, maxLimit); err != nil {
		return out, err
	}
	if out.Timeframe, err = r.timeframe(m, "rate_limit"); err != nil {
		return out, err
	}
	out.Fleet, err = r.scope(m.get("scope"), "rate_limit.scope")
	return out, err
}

func (r *reader) timeframe(m keyed, what string) (time.Duration, error) {
	secs, err := r.need(m, what, "timeframe_secs", 1, maxTimeframe)
	return time.Duration(secs) * time.Second, err
}

func (r *reader) need(m keyed, what, key string, low, high int) (int, error) {
	n := m.get(key)
	if n == nil {
		return 0, r.problem(m.node, CodeMissingKey, "%s has no %q", what, key)
	}
	return r.number(n, what+"."+key, low, high)
}

func (r *reader) groupBy(m keyed, what string) ([]string, error) {
	n := m.get("group_by")
	if n == nil {
		return nil, nil
	}
	what += ".group_by"
	names, err := r.texts(n, what)
	if err != nil {
		return nil, err
	}
	if len(names) > maxGroupBy {
		return nil, r.problem(n, CodeOutOfRange, "%s has %d fields, allowed are %d", what, len(names), maxGroupBy)
	}
	for i, name := range names {
		if name == "" || len(name) > maxField {
			return nil, r.problem(n, CodeInvalidValue, "%s names the field %q, which is empty or too long", what, document.Clip(name))
		}
		if slices.Contains(names[:i], name) {
			return nil, r.problem(n, CodeInvalidValue, "%s names %q twice", what, document.Clip(name))
		}
	}
	return names, nil
}
