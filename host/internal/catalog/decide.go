package catalog

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// State is what is decided of a plugin before it is started.
type State string

// The states that Decide gives. A plugin that is enabled goes on to the states of
// its life (starting, running, ...), which are not of this package.
const (
	Discovered State = "discovered" // sound, unknown, waits for `plugin enable`
	Refused    State = "refused"    // breaks a rule
	Disabled   State = "disabled"   // by the file or the command line
	Changed    State = "changed"    // other bytes than were pinned
	Enabled    State = "enabled"    // to be run
)

// Trust is why a plugin's bytes are trusted.
type Trust string

// The kinds of trust.
const (
	NoTrust Trust = ""
	BuiltIn Trust = "built-in" // listed in plugins.sha256
	Pinned  Trust = "pinned"   // enabled by an operator
)

// Pin records that an operator enabled these bytes under this name.
type Pin struct {
	// Name is the plugin's own name, as it described itself.
	Name string `json:"name"`
	// Digest is the SHA-256 in lower-case hex.
	Digest string `json:"digest"`
	// Grants are the permissions that were granted with it, as JSON; this
	// package does not read them.
	Grants json.RawMessage `json:"grants,omitempty"`
	// Values are those of the configuration keys that the grants refer to, when
	// they were granted; nil when they were not noted.
	Values map[string][]string `json:"values"`
	// At is when it was enabled.
	At time.Time `json:"at"`
}

// Pins is where pins are kept over restarts. The host's state database implements it.
type Pins interface {
	// Get returns the pin of a name, and false if it has none.
	Get(name string) (Pin, bool, error)
	// Put stores a pin under its name, durably, in place of an earlier one.
	Put(Pin) error
	// Delete removes the pin of a name; without one it does nothing.
	Delete(name string) error
}

// Item is a candidate in the terms of a decision.
type Item struct {
	// File is the file's name.
	File string
	// Path tells items apart in messages.
	Path string
	// Name is what the plugin calls itself; empty before it has been described, which counts as File.
	Name string
	// Digest is the SHA-256 of what was imported; empty if it was not.
	Digest string
	// Refusal of the scan, the import or the description; nil if there is none.
	Refusal *Refusal
}

func (i *Item) name() string {
	if i.Name != "" {
		return i.Name
	}
	return i.File
}

// Policy is what decisions follow from.
type Policy struct {
	// Sums lists the plugins built with the host.
	Sums Sums
	// Pins by plugin name.
	Pins map[string]Pin
	// Disabled is plugins.disabled of the configuration. It wins over everything else.
	Disabled []string
	// Enabled is plugins.enabled of the configuration; nil means that it is
	// not set, an empty list that it names nobody.
	Enabled []string
	// Off are the names that the command line disabled, and did not enable since.
	Off []string
}

// Decision is what becomes of an Item.
type Decision struct {
	State State
	Trust Trust
	// Refusal explains the states Refused and Changed; else it is nil.
	Refusal *Refusal
	// Reason explains the states Disabled and Discovered in a few words; else it is empty.
	Reason string
}

// Decide returns the decision for each item, in the same order. It is pure.
// The rules, first match first:
//
//   - An item with a Refusal is refused.
//   - It is disabled when Disabled or Off has its name or its file's name.
//   - Its bytes are trusted when they are those of its name's pin, or those that Sums
//     lists for its file, whichever directory that lies in. Other bytes than the listed or
//     pinned ones make it changed. A name that is neither listed nor pinned is discovered.
//   - A built-in plugin without a pin is disabled when Enabled is set and does not
//     name it. A pin is an operator's explicit word and needs no naming;
//     naming alone makes nothing trusted.
//   - A name belongs to its pinned bytes, else to the first trusted item. Every
//     other item that claims it is refused, unless its file is listed: then it stays changed.
func Decide(items []Item, policy Policy) []Decision {
	out := make([]Decision, len(items))
	for i := range items {
		out[i] = policy.decide(&items[i])
	}
	owners := make(map[string]int) // name -> index of the item that has it
	for _, trust := range []Trust{Pinned, BuiltIn} {
		for i := range items {
			if out[i].State != Enabled || out[i].Trust != trust {
				continue
			}
			if _, taken := owners[items[i].name()]; !taken {
				owners[items[i].name()] = i
			}
		}
	}
	for i := range items {
		holder, taken := owners[items[i].name()]
		if !taken || holder == i {
			continue
		}
		_, listed := policy.Sums[items[i].File]
		switch out[i].State {
		case Refused, Disabled:
			continue
		case Changed:
			if listed {
				continue
			}
		}
		out[i] = Decision{State: Refused, Refusal: NewRefusal(NameTaken,
			fmt.Sprintf("%s calls itself %s, which is the name of %s", items[i].Path, items[i].name(), items[holder].Path),
			"a name of its own", "rm "+Quote(items[i].Path))}
	}
	return out
}

// decide looks at one item by itself.
func (p *Policy) decide(item *Item) Decision {
	name := item.name()
	if item.Refusal != nil {
		return Decision{State: Refused, Refusal: item.Refusal}
	}
	names := func(list []string) bool { return slices.Contains(list, name) || slices.Contains(list, item.File) }
	if names(p.Disabled) {
		return Decision{State: Disabled, Trust: p.trust(item), Reason: "plugins.disabled names it"}
	}
	if names(p.Off) {
		return Decision{State: Disabled, Trust: p.trust(item), Reason: "disabled on the command line"}
	}
	switch trust := p.trust(item); trust {
	case Pinned:
		return Decision{State: Enabled, Trust: trust}
	case BuiltIn:
		if p.Enabled != nil && !names(p.Enabled) {
			return Decision{State: Disabled, Trust: trust, Reason: "plugins.enabled does not name it"}
		}
		return Decision{State: Enabled, Trust: trust}
	}
	wanted := p.Sums[item.File]
	if pin, ok := p.Pins[name]; ok {
		wanted = pin.Digest
	}
	if wanted == "" {
		return Decision{State: Discovered, Reason: "not enabled yet: ironpost plugin enable " + Quote(name)}
	}
	return Decision{State: Changed, Refusal: NewRefusal(ChangedBytes,
		fmt.Sprintf("%s has SHA-256 %s", item.Path, item.Digest), "SHA-256 "+wanted, "ironpost plugin enable "+Quote(name))}
}

// trust compares the bytes of an item with those that were approved.
func (p *Policy) trust(item *Item) Trust {
	if item.Digest == "" {
		return NoTrust
	}
	if pin, ok := p.Pins[item.name()]; ok && pin.Digest == item.Digest {
		return Pinned
	}
	if sum, ok := p.Sums[item.File]; ok && sum == item.Digest {
		return BuiltIn
	}
	return NoTrust
}
