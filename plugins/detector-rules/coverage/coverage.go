// Package coverage says which rules can fire over the events of a host, and why the
// others cannot.
//
// It judges by names: whether a stream's events may belong to the log source of a
// rule, and whether they can have the fields without which its condition never
// holds. Values are not judged, so a rule that can fire may still wait for what
// never happens; one that is said not to fire cannot.
package coverage

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/mapping"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/sdk"
)

// The codes of sdk.RuleCoverage.
const (
	CodeDisabled  = "disabled"
	CodeSource    = "no_log_source"
	CodeNotFed    = "not_fed"
	CodeField     = "no_field"
	CodeNoPackets = "no_packets"
	CodeRules     = "rules_cannot_fire"
)

// everyEvent are the fields that need no parser to name them.
var everyEvent = []string{"process", "message", "host", "pid", "severity", "raw", "reason", rule.Observed}

// added are the fields that local files may add to any event: databases of places and
// lists. Whether there are such files is not judged.
var added = []string{
	"source.geo.*", "source.as.*", "source.threat.*", "destination.geo.*", "destination.as.*", "destination.threat.*", "domain.threat.*", "threat.*",
}

// packetFields are those of packet summaries, with the names that rules give them.
var packetFields = []string{
	"src_ip", "dst_ip", "dst_port", "interface", "scope", "interval_ms", "packets", "bytes", "syn", "synack", "ack", "fin", "rst", "odd",
	"udp", "icmp", "other", "dropped", "would_drop", "ports", "peers", "echo", "reflected", "service", "odd_kinds",
}

// Judge judges rules over streams. It may be shared.
type Judge struct {
	namer    *mapping.Namer
	mappings []*mapping.Mapping
	streams  []stream
	packets  bool
}

// stream is one with its fields.
type stream struct {
	sdk.LogStream
	fields map[string]bool
	// open says that it may have any field.
	open bool
}

// New takes mappings, beside which the shipped ones hold, streams, and whether there
// are packet summaries.
func New(mappings []*mapping.Mapping, streams []sdk.LogStream, packets bool) *Judge {
	all := append(slices.Clip(mappings), mapping.Shipped()...)
	j := &Judge{namer: mapping.NewNamer(all), mappings: all, packets: packets}
	for _, s := range streams {
		j.streams = append(j.streams, newStream(s))
	}
	return j
}

func newStream(s sdk.LogStream) stream {
	out := stream{LogStream: s, fields: map[string]bool{}, open: len(s.Fields) == 0 || slices.Contains(s.Fields, "*")}
	for _, name := range append(slices.Clip(s.Fields), everyEvent...) {
		out.fields[name] = true
	}
	return out
}

// Rules judges all rules, in their order.
func (j *Judge) Rules(rules []*rule.Rule) []sdk.RuleCoverage {
	byID := make(map[string]int, len(rules))
	out := make([]sdk.RuleCoverage, len(rules))
	judged := make([]bool, len(rules))
	for i, r := range rules {
		byID[r.ID] = i
	}
	var judge func(i int) *sdk.RuleCoverage
	judge = func(i int) *sdk.RuleCoverage {
		r, c := rules[i], &out[i]
		if judged[i] {
			return c
		}
		judged[i] = true
		*c = sdk.RuleCoverage{ID: r.ID, Title: r.Title, File: r.File, Severity: r.Severity}
		switch {
		case r.Disabled():
			c.Code, c.Reason = CodeDisabled, "the rule is disabled"
		case r.Correlation != nil:
			j.correlation(r.Correlation, c, func(id string) *sdk.RuleCoverage {
				at, ok := byID[id]
				if !ok {
					return nil
				}
				return judge(at)
			})
		default:
			c.LogSource = r.LogSource.String()
			j.rule(r, c)
		}
		if c.CanFire = c.Code == ""; !c.CanFire {
			c.Formats = nil
		}
		slices.Sort(c.Formats)
		c.Formats = slices.Compact(c.Formats)
		return c
	}
	for i := range rules {
		judge(i)
	}
	return out
}

// correlation judges by the rules that it names: all of them are needed where it
// wants all, else one.
func (j *Judge) correlation(c *sigma.Correlation, out *sdk.RuleCoverage, judge func(string) *sdk.RuleCoverage) {
	for _, id := range c.Rules {
		if r := judge(id); r == nil || r.Code != "" {
			out.Missing = append(out.Missing, id)
		} else {
			out.Formats = append(out.Formats, r.Formats...)
		}
	}
	wantsAll := (c.Type == sigma.Temporal || c.Type == sigma.TemporalOrdered) && c.Expression == nil && len(c.Conditions) == 0
	if len(out.Missing) == len(c.Rules) || wantsAll && len(out.Missing) > 0 {
		out.Code, out.Reason = CodeRules, "it waits for rules that cannot fire: "+strings.Join(out.Missing, ", ")
		return
	}
	out.Missing = nil
}

// rule judges a rule on single events.
func (j *Judge) rule(r *rule.Rule, out *sdk.RuleCoverage) {
	when := j.namer.Rename(r.LogSource, r.When)
	logs := r.Kinds == 0 || r.Kinds&rule.Logs != 0
	var fed []stream
	if logs {
		fed = j.fed(r)
	}
	if r.Kinds&rule.Packets != 0 && j.packets {
		fed = append(fed, newStream(sdk.LogStream{Format: "packets", Fields: packetFields}))
	}
	if r.Kinds&rule.Alerts != 0 {
		fed = append(fed, newStream(sdk.LogStream{Format: "alerts", Fields: []string{"*"}}))
	}
	if len(fed) == 0 {
		switch {
		case !logs:
			out.Code, out.Reason = CodeNoPackets, "it looks at packets, and no interface is watched"
		case r.LogSource.Product != rule.Product && len(j.entries(r.LogSource)) == 0:
			out.Code, out.Reason = CodeSource, "nothing that is known belongs to the log source "+r.LogSource.String()
		default:
			out.Code, out.Reason = CodeNotFed, "no stream has events of the log source "+r.LogSource.String()
		}
		return
	}
	var lacks []string
	for i := range fed {
		s := &fed[i]
		missing := map[string]bool{}
		if can(when, s, missing) {
			out.Formats = append(out.Formats, s.Format)
			continue
		}
		var names []string
		for name := range missing {
			names = append(names, name)
		}
		if lacks == nil || len(names) < len(lacks) {
			lacks = names
		}
	}
	if len(out.Formats) > 0 {
		return
	}
	slices.Sort(lacks)
	out.Code, out.Missing = CodeField, lacks
	out.Reason = fmt.Sprintf("no parser of these streams gives the field %s", strings.Join(lacks, ", "))
}

// fed returns the streams whose events may belong to the log source of a rule.
func (j *Judge) fed(r *rule.Rule) (out []stream) {
	if r.LogSource.Product == rule.Product {
		return slices.Clone(j.streams)
	}
	for _, entry := range j.entries(r.LogSource) {
		for i := range j.streams {
			s := &j.streams[i]
			same := func(o stream) bool { return o.Name == s.Name && o.Plugin == s.Plugin && o.Format == s.Format }
			if feeds(entry, s) && !slices.ContainsFunc(out, same) {
				out = append(out, *s)
			}
		}
	}
	return out
}

// entries are those of the mappings that make events of a log source.
func (j *Judge) entries(want sigma.LogSource) (out []mapping.Source) {
	for _, m := range j.mappings {
		for _, s := range m.Sources {
			if slices.ContainsFunc(s.LogSources, want.Covers) {
				out = append(out, s)
			}
		}
	}
	return out
}

// feeds reports whether events of a stream may be those of an entry.
func feeds(entry mapping.Source, s *stream) bool {
	for key, values := range entry.When {
		ok := false
		switch key {
		case "format":
			ok = s.Format == "" || slices.ContainsFunc(values, func(v string) bool { return v == "*" || strings.EqualFold(v, s.Format) })
		case "plugin":
			ok = s.Plugin == "" || slices.ContainsFunc(values, func(v string) bool { return v == "*" || strings.EqualFold(v, s.Plugin) })
		case "stream":
			name := strings.ReplaceAll(strings.ToLower(s.Name), "/", "\x00")
			ok = name == "" || slices.ContainsFunc(values, func(v string) bool {
				fits, err := path.Match(strings.ReplaceAll(v, "/", "\x00"), name)
				return err == nil && fits
			})
		default:
			ok = has(s, key)
		}
		if !ok {
			return false
		}
	}
	return true
}

// can reports whether a condition may hold for an event of a stream, and notes the
// fields for want of which a part of it cannot.
func can(x *sigma.Expr, s *stream, missing map[string]bool) bool {
	switch x.Op {
	case sigma.And:
		ok := true
		for _, sub := range x.Subs {
			ok = can(sub, s, missing) && ok
		}
		return ok
	case sigma.Or:
		without := map[string]bool{}
		for _, sub := range x.Subs {
			if can(sub, s, without) {
				return true
			}
		}
		for name := range without {
			missing[name] = true
		}
		return false
	case sigma.Not:
		if always(x.Subs[0], s) {
			absent(x.Subs[0], s, missing)
			return false
		}
		return true
	}
	if x.Test.Kind == sigma.IsNull || has(s, x.Test.Field) && (x.Test.Kind != sigma.IsField || has(s, x.Test.Other)) {
		return true
	}
	if missing[x.Test.Field] = true; has(s, x.Test.Field) {
		delete(missing, x.Test.Field)
		missing[x.Test.Other] = true
	}
	return false
}

// always reports whether a condition holds for every event of a stream, as that for
// the absence of a field does which none has.
func always(x *sigma.Expr, s *stream) bool {
	switch x.Op {
	case sigma.And:
		return !slices.ContainsFunc(x.Subs, func(sub *sigma.Expr) bool { return !always(sub, s) })
	case sigma.Or:
		return slices.ContainsFunc(x.Subs, func(sub *sigma.Expr) bool { return always(sub, s) })
	case sigma.Not:
		return !can(x.Subs[0], s, map[string]bool{})
	}
	return x.Test.Kind == sigma.IsNull && !has(s, x.Test.Field)
}

// absent notes the fields of a condition that no event of a stream has.
func absent(x *sigma.Expr, s *stream, missing map[string]bool) {
	for _, sub := range x.Subs {
		absent(sub, s, missing)
	}
	if x.Test != nil && !has(s, x.Test.Field) {
		missing[x.Test.Field] = true
	}
}

// has reports whether events of a stream may have a field; "" is the whole event. A
// name may stand for all that begin with it, as in "sd.*".
func has(s *stream, field string) bool {
	if field == "" || s.open || s.fields[field] {
		return true
	}
	return slices.ContainsFunc(slices.Concat(s.Fields, added), func(name string) bool {
		prefix, ok := strings.CutSuffix(name, "*")
		return ok && strings.HasPrefix(field, prefix)
	})
}
