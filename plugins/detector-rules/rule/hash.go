package rule

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"strconv"
)

// hashOf names what a rule detects; see Rule.Hash.
func hashOf(r *Rule) string {
	h := sha256.New()
	put(h, "kinds", strconv.Itoa(int(r.Kinds)))
	putExpr(h, r.When)
	if t := r.Threshold; t != nil {
		put(h, "threshold", strconv.Itoa(t.Count), t.Timeframe.String())
		put(h, t.GroupBy...)
	}
	if s := r.Suppress; s != nil {
		put(h, "suppress", s.Timeframe.String())
		put(h, s.GroupBy...)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// put writes texts so that no two lists of texts are written alike.
func put(h hash.Hash, texts ...string) {
	_, _ = io.WriteString(h, strconv.Itoa(len(texts))+";")
	for _, t := range texts {
		_, _ = io.WriteString(h, strconv.Itoa(len(t))+":"+t)
	}
}

func putExpr(h hash.Hash, e *Expr) {
	put(h, "expr", strconv.Itoa(int(e.Op)), strconv.Itoa(len(e.Subs)))
	for _, s := range e.Subs {
		putExpr(h, s)
	}
	if m := e.Match; m != nil {
		put(h, m.Field, m.Operator.String(), strconv.FormatBool(m.CaseSensitive))
		put(h, m.Values...)
		for _, re := range m.Regexps {
			put(h, re.String())
		}
	}
}
