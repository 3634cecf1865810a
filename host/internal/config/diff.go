package config

import (
	"reflect"
	"slices"
	"strings"
)

// Change is one key whose value differs between two configurations.
type Change struct {
	// Key is the full key, as bus.credits.
	Key     string `json:"key"`
	Section string `json:"section"`
	Owner   string `json:"owner"`
	// Old and New are as in Setting; nil when the section was not read. A
	// secret is redacted on both sides.
	Old any `json:"old"`
	New any `json:"new"`
	// Origin is where the new value came from, or, when there is none, the old.
	Origin
	// Live says that the change takes effect without a restart of the owner.
	Live bool `json:"live"`
}

// String gives "KEY: OLD -> NEW (ORIGIN)".
func (c Change) String() string {
	return c.Key + ": " + text(c.Old) + " -> " + text(c.New) + " (" + c.Origin.String() + ")"
}

// Diff returns the keys whose values differ, in the order of the keys. A value
// that merely moved to another origin is no change. Secrets are compared as
// they are written: that the file behind a "file:" reference changed is not
// seen here. Either side may be nil, which is a configuration without sections.
func Diff(before, after *Config) []Change {
	type side struct {
		field *field
		value any
	}
	values := func(c *Config) map[string]side {
		out := make(map[string]side)
		if c == nil {
			return out
		}
		for _, s := range c.schema.sections {
			for _, f := range s.fields {
				out[f.fullKey()] = side{f, c.k.Get(f.path)}
			}
		}
		return out
	}
	was, is := values(before), values(after)
	var out []Change
	for key, n := range is {
		o, had := was[key]
		if had && o.field.Type == n.field.Type && reflect.DeepEqual(o.value, n.value) {
			continue
		}
		ch := Change{
			Key: key, Section: n.field.section.Name, Owner: n.field.section.Owner,
			New: n.field.show(n.value), Origin: after.origins[n.field.path], Live: n.field.Live,
		}
		if had {
			ch.Old = o.field.show(o.value)
		}
		out = append(out, ch)
	}
	for key, o := range was {
		if _, still := is[key]; still {
			continue
		}
		out = append(out, Change{
			Key: key, Section: o.field.section.Name, Owner: o.field.section.Owner,
			Old: o.field.show(o.value), Origin: before.origins[o.field.path],
		})
	}
	slices.SortFunc(out, func(a, b Change) int { return strings.Compare(a.Key, b.Key) })
	return out
}
