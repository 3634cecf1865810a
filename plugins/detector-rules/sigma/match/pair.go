package match

// pairs finds needles of two and three bytes inside a text, each by two of its
// bytes. A bit map has all pairs that there are, so it passes none in vain.
type pairs struct {
	filter [1 << 16 / 64]uint64
	chains map[uint16][]place
}

// place is a needle, and where its pair lies in it.
type place struct{ needle, offset int32 }

// fewShort is up to how many short needles it is faster to look for each alone.
const fewShort = 4

// newPairs makes the table. A needle of three bytes goes under the rarer of its
// pairs.
func newPairs(needles []needle, numbers []int32) *pairs {
	p := &pairs{chains: map[uint16][]place{}}
	for _, number := range numbers {
		text := needles[number].text
		offset := 0
		if len(text) == 3 && commonness(text[1:]) < commonness(text[:2]) {
			offset = 1
		}
		key := uint16(text[offset]) | uint16(text[offset+1])<<8
		p.filter[key/64] |= 1 << (key % 64)
		p.chains[key] = append(p.chains[key], place{number, int32(offset)})
	}
	return p
}

// scan tells s of every needle in a text.
func (p *pairs) scan(s *Scratch, t *table, text string) {
	if text == "" {
		return
	}
	b := bytesOf(text)
	w := uint16(b[0]) << 8
	for i, c := range b[1:] {
		w = w>>8 | uint16(c)<<8
		if p.filter[w/64]>>(w%64)&1 != 0 {
			p.verify(s, t, text, i, w)
		}
	}
}

func (p *pairs) verify(s *Scratch, t *table, text string, at int, key uint16) {
	for _, l := range p.chains[key] {
		n := &t.needles[l.needle]
		from := at - int(l.offset)
		if from >= 0 && from+len(n.text) <= len(text) && n.is(text[from:from+len(n.text)]) {
			s.hit(t, n)
		}
	}
}
