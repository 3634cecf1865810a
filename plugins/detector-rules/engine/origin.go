package engine

import (
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/mapping"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/match"
	"github.com/ironpost/ironpost/sdk/event"
)

// What origins remember at most: streams, and kinds of event of each.
const (
	maxOrigins       = 256
	maxKindsOfOrigin = 4096
	maxSeenOfOrigin  = 512
)

// origins finds the log sources of log events. What it found for one event holds
// for all of the stream that have the same values where the mappings look, so that
// is remembered.
type origins struct {
	set *Set
	// simple says that the rules ask for nothing but the kind of event, and logs
	// is what every log event belongs to then.
	simple   bool
	logs     match.Origin
	byStream map[originKey]*origin
	// last is the one that was asked for last.
	lastKey originKey
	last    *origin
	key     []byte
}

// originKey is what mappings know of a stream.
type originKey struct{ plugin, format, name string }

// origin is what is known of one stream.
type origin struct {
	view *mapping.View
	// process is where the process is among the keys, -1 when it is none; fields
	// are the places of the others by name.
	process int
	fields  map[string]int
	// at has the places of the others by the sketches of their names: none,
	// several, or the one.
	at     [256]int8
	keys   []string
	values []string
	// set are the places that have a value.
	set []int32
	// found is by the values that the mappings tell apart, so that nobody can fill
	// it; seen is by the values as they are, and begins anew when it is full.
	found, seen map[string]match.Origin
}

// What origin.at has but places.
const (
	noPlace     = -1
	manyPlaces  = -2
	firstPlaces = 127
)

func newOrigins(set *Set) origins {
	o := origins{set: set, simple: true, byStream: map[originKey]*origin{}}
	for _, p := range set.programs {
		if p.rule.When != nil && p.rule.LogSource.Product != rule.Product {
			o.simple = false
		}
	}
	o.logs = set.matcher.Origin(rule.Logs.Source())
	return o
}

func (o *origins) of(e *event.LogEvent) match.Origin {
	if o.simple {
		return o.logs
	}
	var key originKey
	if s := e.Stream; s != nil {
		key = originKey{s.Plugin, s.Format, s.Name}
	}
	if o.last == nil || o.lastKey != key {
		o.last, o.lastKey = o.stream(key, e.Stream), key
	}
	at := o.last
	for _, n := range at.set {
		at.values[n] = ""
	}
	at.set, o.key = at.set[:0], o.key[:0]
	if at.process >= 0 && e.Process != "" {
		o.put(at, at.process, e.Process)
	}
	for i := range e.Fields {
		f := &e.Fields[i]
		n := int(at.at[sketch(f.Key)])
		switch {
		case n == noPlace:
			continue
		case n == manyPlaces:
			var ok bool
			if n, ok = at.fields[f.Key]; !ok {
				continue
			}
		case at.keys[n] != f.Key:
			continue
		}
		if at.values[n] == "" && f.Value != "" {
			o.put(at, n, f.Value)
		}
	}
	found, ok := at.seen[string(o.key)]
	if !ok {
		if len(at.seen) == maxSeenOfOrigin {
			clear(at.seen)
		}
		key := string(o.key)
		found = o.find(at)
		at.seen[key] = found
	}
	return found
}

// put sets the value of a place, and adds both to the key.
func (o *origins) put(at *origin, n int, value string) {
	at.values[n] = value
	at.set = append(at.set, int32(n))
	// With its length, so that no value can look like two.
	o.key = append(o.key, byte(n), byte(n>>8), byte(len(value)), byte(len(value)>>8), byte(len(value)>>16))
	o.key = append(o.key, value...)
}

// find is of for an event whose values were not seen before.
func (o *origins) find(at *origin) match.Origin {
	o.key = o.key[:0]
	for i, value := range at.values {
		switch {
		case value == "":
		case at.view.Known(i, value):
			o.key = append(o.key, strings.ToLower(value)...)
		default:
			o.key = append(o.key, '*')
		}
		o.key = append(o.key, 0)
	}
	found, ok := at.found[string(o.key)]
	if !ok {
		if len(at.found) == maxKindsOfOrigin {
			clear(at.found)
		}
		found = o.resolve(at)
		at.found[string(o.key)] = found
	}
	return found
}

func (o *origins) stream(key originKey, s *event.Stream) *origin {
	if at := o.byStream[key]; at != nil {
		return at
	}
	if len(o.byStream) == maxOrigins {
		clear(o.byStream)
	}
	at := &origin{
		view: o.set.table.For(s), process: -1, fields: map[string]int{},
		found: map[string]match.Origin{}, seen: map[string]match.Origin{},
	}
	for i := range at.at {
		at.at[i] = noPlace
	}
	at.keys = at.view.Keys()
	for i, name := range at.keys {
		if name == "process" {
			at.process = i
			continue
		}
		at.fields[name] = i
		if place := &at.at[sketch(name)]; *place == noPlace && i < firstPlaces {
			*place = int8(i)
		} else {
			*place = manyPlaces
		}
	}
	at.values = make([]string, len(at.keys))
	key = originKey{strings.Clone(key.plugin), strings.Clone(key.format), strings.Clone(key.name)}
	o.byStream[key] = at
	return at
}

// sketch makes little of a name, at little cost.
func sketch(name string) uint8 {
	if name == "" {
		return 0
	}
	return uint8(len(name))<<4 ^ name[0] ^ name[len(name)-1]<<2
}

// resolve finds the log sources of events with the values at hand.
func (o *origins) resolve(at *origin) match.Origin {
	get := func(name string) string {
		for i, key := range at.view.Keys() {
			if key == name {
				return at.values[i]
			}
		}
		return ""
	}
	sources := append(at.view.LogSources(get), rule.Logs.Source())
	return o.set.matcher.Origin(sources...)
}
