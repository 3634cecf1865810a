package rule

import (
	"strconv"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// hashOf names what a rule in the simple form detects; see Rule.Hash.
func hashOf(r *Rule) string {
	var d document.Digest
	d.Put("kinds", strconv.Itoa(int(r.Kinds)))
	r.When.AddTo(&d)
	if t := r.Threshold; t != nil {
		d.Put("threshold", strconv.Itoa(t.Count), t.Timeframe.String())
		d.Put(t.GroupBy...)
	}
	r.addSuppress(&d)
	r.addScope(&d)
	return d.String()
}

func (r *Rule) addScope(d *document.Digest) {
	if r.Fleet {
		d.Put("scope", scopeFleet)
	}
}

func (r *Rule) addSuppress(d *document.Digest) {
	if s := r.Suppress; s != nil {
		d.Put("suppress", s.Timeframe.String())
		d.Put(s.GroupBy...)
	}
}
