//go:build amd64 || arm64

package xdp

import (
	"encoding/binary"
	"net/netip"
)

// reference says what the filter has to see in a frame: a second parser,
// written from the standards that it names, without regard to speed.
func reference(frame []byte) observed {
	o, _ := dissect(frame)
	return o
}

// dissect is reference and returns what follows the IP headers as well, nil when
// that is not the start of a transport header.
func dissect(frame []byte) (o observed, transport []byte) {
	o = observed{Protocol: "unknown", Verdict: "passed"}
	etherType := binary.BigEndian.Uint16(frame[12:])
	rest := frame[14:]
	for tags := 0; etherType == 0x8100 || etherType == 0x88a8 || etherType == 0x9100; tags++ {
		if tags == 2 {
			o.DeepVLAN, o.Protocol = true, "non_ip"
			return o, nil
		}
		if len(rest) < 4 {
			o.Malformed = "vlan_short"
			return o, nil
		}
		etherType, rest = binary.BigEndian.Uint16(rest[2:]), rest[4:]
	}
	switch etherType {
	case 0x0800:
		transport = referenceIP4(&o, rest)
	case 0x86dd:
		transport = referenceIP6(&o, rest)
	case 0x0806:
		o.Protocol = "arp"
	default:
		o.Protocol = "non_ip"
	}
	return o, transport
}

// referenceIP4 reads RFC 791, section 3.1.
func referenceIP4(o *observed, b []byte) []byte {
	if len(b) < 20 {
		o.Malformed = "ip4_short"
		return nil
	}
	if b[0]>>4 != 4 {
		o.Malformed = "ip4_version"
		return nil
	}
	o.Source, o.Destination = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	o.Class = "other"
	names := map[byte]string{1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}
	o.Protocol = "other"
	if name, ok := names[b[9]]; ok {
		o.Protocol = name
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < 20 || header > total {
		o.Malformed = "ip4_header_length"
		return nil
	}
	if total > len(b) {
		o.Malformed = "ip4_total_length"
		return nil
	}
	fragment := binary.BigEndian.Uint16(b[6:])
	if fragment&0x1fff != 0 {
		o.Fragment = true
		return nil
	}
	if b[9] == 58 {
		o.Protocol = "other"
		return nil
	}
	referenceTransport(o, b[header:total], fragment&0x2000 != 0, false)
	return b[header:total]
}

// referenceIP6 reads RFC 8200, sections 3 and 4.
func referenceIP6(o *observed, b []byte) []byte {
	if len(b) < 40 {
		o.Malformed = "ip6_short"
		return nil
	}
	if b[0]>>4 != 6 {
		o.Malformed = "ip6_version"
		return nil
	}
	o.Source, o.Destination = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	o.Class, o.Protocol = "other", "other"
	length, next := int(binary.BigEndian.Uint16(b[4:])), b[6]
	b = b[40:]
	if length == 0 && next == 0 {
		length = len(b)
	}
	if length > len(b) {
		o.Malformed = "ip6_payload_length"
		return nil
	}
	b = b[:length]
	more := false
	for headers := 0; ; headers++ {
		size := 8
		switch next {
		case 0, 43, 60, 135, 139, 140:
			if len(b) >= 8 {
				size = (int(b[1]) + 1) * 8
			}
		case 51: // RFC 4302, section 2.2
			if len(b) >= 8 {
				size = (int(b[1]) + 2) * 4
			}
		case 44:
		default:
			size = 0
		}
		if size == 0 {
			break
		}
		if headers == 8 {
			o.Malformed = "ip6_extension_deep"
			return nil
		}
		if len(b) < 8 {
			o.Malformed = "ip6_extension_short"
			return nil
		}
		if next == 44 {
			field := binary.BigEndian.Uint16(b[2:])
			more = field&1 != 0
			o.Fragment = field&0xfff8 != 0
		}
		next = b[0]
		if o.Fragment {
			break
		}
		if size > len(b) {
			o.Malformed = "ip6_extension_short"
			return nil
		}
		b = b[size:]
	}
	if name, ok := map[byte]string{6: "tcp", 17: "udp", 58: "icmpv6"}[next]; ok {
		o.Protocol = name
	}
	if o.Fragment {
		return nil
	}
	referenceTransport(o, b, more, true)
	return b
}

// referenceTransport reads RFC 9293, RFC 768, RFC 792 and RFC 4443.
func referenceTransport(o *observed, b []byte, more, six bool) {
	switch o.Protocol {
	case "tcp":
		if len(b) < 20 {
			o.Malformed = "tcp_short"
			return
		}
		header := int(b[12]>>4) * 4
		if header < 20 || (header > len(b) && !more) {
			o.Malformed = "tcp_offset"
			return
		}
		o.Port = binary.BigEndian.Uint16(b[2:])
		fin, syn, rst, ack := b[13]&1 != 0, b[13]&2 != 0, b[13]&4 != 0, b[13]&16 != 0
		switch {
		case syn && !ack && !fin && !rst:
			o.Class = "syn"
		case syn && ack && !fin && !rst:
			o.Class = "synack"
		case rst && !syn && !fin:
			o.Class = "rst"
		case fin && ack && !syn && !rst:
			o.Class = "fin"
		case ack && !syn && !fin && !rst:
			o.Class = "ack"
		default:
			o.Class = "odd"
		}
	case "udp":
		if len(b) < 8 {
			o.Malformed = "udp_short"
			return
		}
		length := int(binary.BigEndian.Uint16(b[4:]))
		if jumbo := six && length == 0; !jumbo && (length < 8 || (length > len(b) && !more)) {
			o.Malformed = "udp_length"
			return
		}
		o.Port, o.Class = binary.BigEndian.Uint16(b[2:]), "udp"
	case "icmp", "icmpv6":
		if len(b) < 8 {
			o.Malformed = "icmp_short"
			return
		}
		o.Class = "icmp"
	}
}
