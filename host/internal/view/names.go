package view

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// AppendFields appends named values as an object, of several equal names the first.
func AppendFields(dst []byte, fields []*ironpostv1.Field) []byte { return appendFields(dst, fields) }

// OutcomeName returns the word for an outcome on the wire, where any number can stand.
func OutcomeName(o ironpostv1.Outcome) string { return event.Outcome(small(o)).String() }

// EvidenceName is OutcomeName for evidence.
func EvidenceName(e ironpostv1.Evidence) string { return event.Evidence(small(e)).String() }

// ProvenanceName is OutcomeName for provenance.
func ProvenanceName(p ironpostv1.Provenance) string { return event.Provenance(small(p)).String() }

// Fingerprint returns what alerts about the same thing have in common: 12 hexadecimal
// digits made of the rule and its group, or where the rule has none of the entities that
// the alert is about.
func Fingerprint(a *ironpostv1.AlertEvent) string {
	h := sha256.New()
	add := func(text string) {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(text))))
		h.Write([]byte(text))
	}
	add(a.GetRuleId())
	if add(a.GetGroup()); a.GetGroup() == "" {
		pairs := make([]string, 0, len(a.GetEntities()))
		for _, e := range a.GetEntities() {
			pairs = append(pairs, e.GetKey()+"="+e.GetValue())
		}
		slices.Sort(pairs)
		for _, p := range pairs {
			add(p)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}
