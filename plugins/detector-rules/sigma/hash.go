package sigma

import (
	"strconv"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// AddTo adds what the condition asks, without the words of its author.
func (e *Expr) AddTo(d *document.Digest) {
	d.Put(strconv.Itoa(int(e.Op)), strconv.Itoa(len(e.Subs)))
	for _, s := range e.Subs {
		s.AddTo(d)
	}
	if e.Test != nil {
		d.Put(e.Test.Key())
	}
}

// AddTo adds what the condition asks.
func (e *RuleExpr) AddTo(d *document.Digest) {
	d.Put(strconv.Itoa(int(e.Op)), strconv.Itoa(len(e.Subs)), e.Rule)
	for _, s := range e.Subs {
		s.AddTo(d)
	}
}

// Key is the same for two tests exactly if they are the same.
func (t *Test) Key() string {
	b := make([]byte, 0, 64)
	add := func(s string) {
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(append(b, ':'), s...)
	}
	b = append(b, 'a'+byte(t.Kind), 'a'+byte(t.Comparison), 'a'+byte(t.Part))
	if t.Cased {
		b = append(b, 'C')
	}
	add(t.Field)
	add(t.Other)
	switch t.Kind {
	case IsText:
		for _, p := range t.Text {
			b = append(b, 'a'+byte(p.Wild))
			add(p.Text)
		}
	case IsMatch:
		add(t.Regexp.String())
	case IsNumber, IsTime:
		b = strconv.AppendFloat(b, t.Number, 'g', -1, 64)
	case InNetwork:
		b = t.Network.AppendTo(b)
	}
	return string(b)
}
