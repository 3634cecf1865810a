package iplist

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/lines"
	"github.com/ironpost/ironpost/plugins/internal/view"
)

// MaxNetworks is how many networks the lists of an Index may have, before those
// that lie in each other are joined.
const MaxNetworks = 1 << 22

// The shortest prefixes of a list: none that is published has shorter ones, and a
// line that was cut or forged must not make half the Internet a threat.
const (
	Widest4 = 8
	Widest6 = 16
)

// List is the addresses of one list: sorted spans that neither touch nor overlap.
type List struct {
	v4 []span[key4]
	v6 []span[key6]
	// Entries counts the lines.
	Entries lines.Entries
	// Inner counts the networks that were left out because they are whole inner
	// networks, Wide those wider than Widest4 or Widest6.
	Inner, Wide int
}

// Parse reads a list: an address, a network or an IPv4 range (192.0.2.0-192.0.2.63) a
// line, # and ; beginning a comment, as FireHOL and Spamhaus write them, or a JSON
// object a line with the network in cidr, as Spamhaus does. Lists of bogons hold the
// inner networks (10.0.0.0/8 and the like) as a whole, which would put every
// connection inside a site on the list; they are left out, while what is smaller
// than those counts.
//
// It returns a *lines.Error for what is no list, or larger than MaxNetworks.
func Parse(data []byte) (*List, error) {
	p := parser{list: new(List)}
	for n, line := range lines.All(data) {
		if err := p.line(n, line); err != nil {
			return nil, err
		}
	}
	if p.records >= 0 && p.said && p.records != p.objects {
		return nil, lines.Errorf(0, "it says that it has %d records, and %d are in it; fetch it anew", p.records, p.objects)
	}
	p.list.Entries.Right += p.list.Inner + p.list.Wide
	if err := p.list.Entries.Err(); err != nil {
		return nil, err
	}
	p.list.v4, p.list.v6 = join(p.list.v4), join(p.list.v6)
	return p.list, nil
}

type parser struct {
	list *List
	// records is how many objects the list says it has, when it says so.
	records, objects int
	said             bool
}

const wanted = "no address, network (192.0.2.0/24) or range"

func (p *parser) line(n int, line []byte) error {
	if len(line) > lines.MaxLine {
		return lines.Errorf(n, "the line is longer than %d bytes; is this a list of addresses?", lines.MaxLine)
	}
	text := line
	if text[0] == '{' {
		p.object(n, text)
	} else {
		if end := bytes.IndexAny(text, "#;"); end >= 0 {
			text = bytes.TrimSpace(text[:end])
		}
		if len(text) == 0 {
			return nil
		}
		p.entry(n, view.String(text))
	}
	if len(p.list.v4)+len(p.list.v6) > MaxNetworks {
		return lines.Errorf(n, "it has more than %d networks", MaxNetworks)
	}
	return nil
}

func (p *parser) entry(n int, text string) {
	if first, last, ok := strings.Cut(text, "-"); ok {
		from, err1 := netip.ParseAddr(strings.TrimSpace(first))
		to, err2 := netip.ParseAddr(strings.TrimSpace(last))
		if err1 != nil || err2 != nil || !from.Is4() || !to.Is4() || to.Less(from) {
			p.list.Entries.Reject(n, []byte(text), wanted)
			return
		}
		p.add4(span[key4]{toKey4(from), toKey4(to)})
		return
	}
	prefix, ok := ParsePrefix(text)
	if !ok {
		p.list.Entries.Reject(n, []byte(text), wanted)
		return
	}
	p.add(prefix)
}

// object reads a line of Spamhaus's JSON. The last one is about the list itself.
func (p *parser) object(n int, line []byte) {
	var o struct {
		CIDR    string `json:"cidr"`
		Type    string `json:"type"`
		Records *int   `json:"records"`
	}
	err := json.Unmarshal(line, &o)
	if err == nil && o.CIDR == "" && o.Type == "metadata" {
		if o.Records != nil {
			p.records, p.said = *o.Records, true
		}
		return
	}
	prefix, ok := ParsePrefix(o.CIDR)
	if err != nil || !ok {
		p.list.Entries.Reject(n, line, "no JSON object with a network in cidr")
		return
	}
	p.objects++
	p.add(prefix)
}

func (p *parser) add(prefix netip.Prefix) {
	if prefix.Addr().Is4() {
		p.add4(spanOf4(prefix))
		return
	}
	s := spanOf6(prefix)
	switch {
	case covers(s, inner6):
		p.list.Inner++
	case prefix.Bits() < Widest6:
		p.list.Wide++
	default:
		p.list.Entries.Right++
		p.list.v6 = append(p.list.v6, s)
	}
}

func (p *parser) add4(s span[key4]) {
	switch {
	case covers(s, inner4):
		p.list.Inner++
	case s.last-s.first > 1<<(32-Widest4)-1:
		p.list.Wide++
	default:
		p.list.Entries.Right++
		p.list.v4 = append(p.list.v4, s)
	}
}

// Networks that are not of the Internet: RFC 6890 and 5735 without those for
// documentation, which no list of bogons hurts by holding.
var (
	inner4 = spans4("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
	inner6 = spans6("::/8", "fc00::/7", "fe80::/10", "ff00::/8")
)

// covers reports whether a span holds one of others as a whole.
func covers[K key[K]](s span[K], others []span[K]) bool {
	for _, o := range others {
		if !o.first.less(s.first) && !s.last.less(o.last) {
			return true
		}
	}
	return false
}

func spans4(texts ...string) (out []span[key4]) {
	for _, t := range texts {
		out = append(out, spanOf4(netip.MustParsePrefix(t)))
	}
	return out
}

func spans6(texts ...string) (out []span[key6]) {
	for _, t := range texts {
		out = append(out, spanOf6(netip.MustParsePrefix(t)))
	}
	return out
}

// ParsePrefix reads an address or a network in whose host part no bit is set. An
// IPv4 address that is written as an IPv6 one is an IPv4 one; zones are refused.
func ParsePrefix(text string) (netip.Prefix, bool) {
	if strings.IndexByte(text, '/') < 0 {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, false
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p != p.Masked() {
		return netip.Prefix{}, false
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p, true
}
