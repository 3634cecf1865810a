package sigma

import (
	"hash"
	"io"
	"strconv"
)

// put writes texts so that no two lists of texts are written alike.
func put(h hash.Hash, texts ...string) {
	_, _ = io.WriteString(h, strconv.Itoa(len(texts))+";")
	for _, t := range texts {
		_, _ = io.WriteString(h, strconv.Itoa(len(t))+":"+t)
	}
}

func putExpr(h hash.Hash, e *Expr) {
	put(h, strconv.Itoa(int(e.Op)), strconv.Itoa(len(e.Subs)))
	for _, s := range e.Subs {
		putExpr(h, s)
	}
	if e.Test != nil {
		put(h, e.Test.Key())
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
