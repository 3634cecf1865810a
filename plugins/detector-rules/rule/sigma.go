package rule

import (
	"strconv"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// extensionKey is the key of a document in Sigma that has what Sigma has not.
const extensionKey = "ironpost"

// extension is what stands under it.
type extension struct {
	suppress  *Suppress
	rateLimit Limit
	forgeable bool
	// fleet says "scope: fleet".
	fleet    bool
	disabled bool
	// expires is when a filter ends; zero is never.
	expires time.Time
}

// Observed is the field that every event has when a filter that expires asks for it:
// when the event was observed, in seconds since 1970.
const Observed = "ironpost.observed"

// expire makes a filter hold for events alone that were observed before it expires.
// So nothing has to be loaded again when that comes, and a replay of old events with
// their time decides as it was.
func (e extension) expire(f *sigma.Filter) {
	if e.expires.IsZero() {
		return
	}
	over := &sigma.Test{Field: Observed, Kind: sigma.IsNumber, Comparison: sigma.GreaterEqual, Number: float64(e.expires.Unix())}
	f.When = &sigma.Expr{Op: sigma.Or, Subs: []*sigma.Expr{f.When, {Op: sigma.Leaf, Test: over, Label: "ironpost.expires", Line: f.Line}}}
}

// extension reads it.
func (r *reader) extension(root *yaml.Node) (out extension, err error) {
	n := value(root, extensionKey)
	if n == nil {
		return out, nil
	}
	if err := r.check(n, 0); err != nil {
		return out, err
	}
	known := []string{"suppress", "rate_limit", "evidence", "disabled"}
	if value(root, "correlation") != nil {
		known = append(known, "scope")
	}
	if value(root, "filter") != nil && value(root, "detection") == nil {
		known = []string{"expires", "created", "from_alert"}
	}
	m, err := r.mapping(n, extensionKey, known)
	if err != nil {
		return out, err
	}
	for _, p := range m.pairs {
		switch p.key {
		case "suppress":
			out.suppress, err = r.suppress(p.node)
		case "rate_limit":
			out.rateLimit, err = r.rateLimit(p.node)
		case "evidence":
			var word string
			word, err = r.oneOf(p.node, extensionKey+".evidence", evidences)
			out.forgeable = word == "forgeable"
		case "scope":
			out.fleet, err = r.scope(p.node, extensionKey+".scope")
		case "expires":
			var word string
			if word, err = r.text(p.node, extensionKey+".expires"); err == nil {
				if out.expires, err = time.Parse(time.RFC3339, word); err != nil {
					err = r.problem(p.node, CodeInvalidValue, "%s.expires is %q; write a time such as 2026-12-31T00:00:00Z", extensionKey, document.Clip(word))
				}
			}
		case "disabled":
			out.disabled, err = r.boolean(p.node, extensionKey+".disabled")
		}
		if err != nil {
			return out, err
		}
	}
	if s := m.get("suppress"); s != nil && value(root, "correlation") != nil && len(out.suppress.GroupBy) > 0 {
		return out, r.problem(s, CodeConflict, "suppress.group_by stands beside a correlation, whose own group-by holds; leave it out")
	}
	return out, nil
}

func (e extension) addTo(out *Rule) {
	out.Suppress, out.RateLimit, out.Forgeable, out.Fleet = e.suppress, e.rateLimit, e.forgeable, e.fleet
	if e.disabled {
		out.Status = statusDisabled
	}
}

// fromSigma makes a rule of one in Sigma.
func fromSigma(s *sigma.Rule, own extension) *Rule {
	out := &Rule{
		ID: s.ID, Title: s.Title, Description: s.Description, Status: s.Status, Severity: s.Level, Tags: s.Tags,
		References: s.References, FalsePositives: s.FalsePositives, Fields: s.Fields, LogSource: s.LogSource,
		When: s.When, Filters: s.Filters, File: s.File, Line: s.Line, Hash: s.Hash,
	}
	own.addTo(out)
	if out.Suppress != nil {
		var d document.Digest
		d.Put(s.Hash)
		out.addSuppress(&d)
		out.Hash = d.String()
	}
	return out
}

// fromCorrelation makes a rule of a correlation; its hash is made last.
func fromCorrelation(c *sigma.Correlation, own extension) *Rule {
	out := &Rule{
		ID: c.ID, Title: c.Title, Description: c.Description, Status: c.Status, Severity: c.Level, Tags: c.Tags,
		References: c.References, FalsePositives: c.FalsePositives, Correlation: c, File: c.File, Line: c.Line,
	}
	own.addTo(out)
	return out
}

// digestCorrelations makes the hashes of correlations, which are over those of the
// rules that they name.
func digestCorrelations(rules []*Rule) {
	byID := make(map[string]*Rule, len(rules))
	for _, r := range rules {
		byID[r.ID] = r
	}
	var hash func(*Rule) string
	hash = func(r *Rule) string {
		c := r.Correlation
		if c == nil || r.Hash != "" {
			return r.Hash
		}
		var d document.Digest
		d.Put(string(c.Type), c.Timespan.String(), strconv.Itoa(c.Percentile))
		d.Put(c.GroupBy...)
		d.Put(c.Fields...)
		for _, b := range c.Conditions {
			d.Put(b.Op, sigma.Number(b.Number))
		}
		for _, id := range c.Rules {
			d.Put(id, hash(byID[id]))
			for _, name := range c.GroupBy {
				d.Put(c.Aliases[name][id])
			}
		}
		if c.Expression != nil {
			c.Expression.AddTo(&d)
		}
		r.addSuppress(&d)
		r.addScope(&d)
		r.Hash = d.String()
		return r.Hash
	}
	for _, r := range rules {
		hash(r)
	}
}
