/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */

/* Reading a packet: IP, and what it carries. On the way the lists are asked. */
#ifndef IRONPOST_PARSE_H
#define IRONPOST_PARSE_H

#include "lists.h"
#include "wire.h"

static __always_inline __u32 tcp_class(__u32 flags)
{
	switch (flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST)) {
	case TCP_ACK:
		return CLASS_ACK;
	case TCP_SYN:
		return CLASS_SYN;
	case TCP_SYN | TCP_ACK:
		return CLASS_SYNACK;
	case TCP_FIN | TCP_ACK:
		return CLASS_FIN;
	case TCP_RST:
	case TCP_RST | TCP_ACK:
		return CLASS_RST;
	}
	return CLASS_ODD;
}

static __always_inline __u32 odd_kind(__u32 flags)
{
	if ((flags & (TCP_SYN | TCP_FIN)) == (TCP_SYN | TCP_FIN))
		return ODD_SYN_FIN;
	switch (flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST | TCP_PSH | TCP_URG)) {
	case 0:
		return ODD_NULL;
	case TCP_FIN:
		return ODD_FIN;
	case TCP_FIN | TCP_PSH | TCP_URG:
		return ODD_XMAS;
	}
	return ODD_OTHER;
}

/*
 * amplifies tells the source ports of services that answer a small datagram
 * with a large one, so that they flood whoever the question seems to come from
 * (US-CERT alert TA14-017A).
 */
static __always_inline int amplifies(__u32 port)
{
	switch (port) {
	case 17:    /* QOTD */
	case 19:    /* CharGEN */
	case 53:    /* DNS */
	case 111:   /* portmap */
	case 123:   /* NTP */
	case 137:   /* NetBIOS name service */
	case 161:   /* SNMP */
	case 389:   /* CLDAP */
	case 520:   /* RIPv1 */
	case 1434:  /* SQL Server resolution */
	case 1900:  /* SSDP */
	case 3283:  /* Apple Remote Desktop */
	case 3702:  /* WS-Discovery */
	case 5353:  /* mDNS */
	case 5683:  /* CoAP */
	case 10001: /* Ubiquiti discovery */
	case 11211: /* memcached */
	case 37810: /* DHDiscover */
		return 1;
	}
	return 0;
}

/* Types of echo requests (RFC 792; RFC 4443, section 4.1). */
#define ICMP_ECHO 8
#define ICMP6_ECHO 128

static __always_inline __u32 protocol_of(__u32 next)
{
	switch (next) {
	case IP_TCP:
		return PROTOCOL_TCP;
	case IP_UDP:
		return PROTOCOL_UDP;
	case IP_ICMP:
		return PROTOCOL_ICMP;
	case IP_ICMP6:
		return PROTOCOL_ICMP6;
	}
	return PROTOCOL_OTHER;
}

/* broken keeps the ports, with which TCP and UDP headers begin, of one that is no
 * good otherwise. */
static __always_inline void broken(struct packet *p, void *cur, void *end, __u32 len)
{
	if (len < sizeof(__u32) || cur + sizeof(__u32) > end)
		return;
	p->ports = *(__u32 *)cur;
	p->broken = 1;
}

/*
 * transport reads the header at cur, of which len bytes belong to the IP
 * packet; more says that other fragments follow. It returns the malformed
 * reason, or MALFORMED_NONE.
 */
static __always_inline __u32 transport(struct packet *p, void *cur, void *end, __u32 len, int more)
{
	switch (p->protocol) {
	case PROTOCOL_TCP: {
		struct tcp *h = cur;
		__u32 words;

		if (len < sizeof(*h) || (void *)(h + 1) > end) {
			broken(p, cur, end, len);
			return MALFORMED_TCP_SHORT;
		}
		words = h->offset >> 4;
		if (words < 5 || (!more && words * 4 > len)) {
			broken(p, cur, end, len);
			return MALFORMED_TCP_OFFSET;
		}
		p->ports = *(__u32 *)h;
		p->port = bpf_ntohs(p->ports >> 16);
		p->class = tcp_class(h->flags);
		if (p->class == CLASS_ODD)
			p->note = odd_kind(h->flags);
		return MALFORMED_NONE;
	}
	case PROTOCOL_UDP: {
		struct udp *h = cur;
		__u32 want;

		if (len < sizeof(*h) || (void *)(h + 1) > end) {
			broken(p, cur, end, len);
			return MALFORMED_UDP_SHORT;
		}
		want = bpf_ntohs(h->len);
		/* Zero stands for a jumbogram (RFC 2675, section 4). */
		if (!(want == 0 && p->six) && (want < sizeof(*h) || (!more && want > len))) {
			broken(p, cur, end, len);
			return MALFORMED_UDP_LENGTH;
		}
		p->ports = *(__u32 *)h;
		p->port = bpf_ntohs(p->ports >> 16);
		p->class = CLASS_UDP;
		p->note = bpf_ntohs(h->src);
		if (amplifies(p->note))
			p->class = CLASS_REFLECT;
		return MALFORMED_NONE;
	}
	case PROTOCOL_ICMP:
	case PROTOCOL_ICMP6: {
		struct icmp *h = cur;

		if (len < sizeof(*h) || (void *)(h + 1) > end)
			return MALFORMED_ICMP_SHORT;
		p->class = CLASS_ICMP;
		if (h->type == (p->protocol == PROTOCOL_ICMP ? ICMP_ECHO : ICMP6_ECHO))
			p->class = CLASS_ECHO;
		return MALFORMED_NONE;
	}
	}
	return MALFORMED_NONE;
}

/* ---- IP ---------------------------------------------------------------- */

/* parse4 returns the malformed reason, or MALFORMED_NONE. *ip tells whether the packet has
 * a source address, *later whether it is a later fragment. */
static __always_inline __u32 parse4(struct packet *p, void *cur, void *end, __u32 flags,
				    int *ip, int *later)
{
	struct ip4 *h = cur;
	__u32 header, total, fragment;

	if ((void *)(h + 1) > end)
		return MALFORMED_IP4_SHORT;
	if (h->version_ihl >> 4 != 4)
		return MALFORMED_IP4_VERSION;
	*ip = 1;
	/* The first four bytes, this being a little-endian machine. */
	p->src.hi = h->src;
	p->dst.hi = h->dst;
	p->protocol = protocol_of(h->protocol);
	p->hash = hash_address(p->src);
	judge4(p, flags);

	header = (h->version_ihl & 15) * 4;
	total = bpf_ntohs(h->total_len);
	if (header < sizeof(*h) || header > total)
		return MALFORMED_IP4_HEADER_LENGTH;
	if (cur + total > end)
		return MALFORMED_IP4_TOTAL_LENGTH;
	fragment = bpf_ntohs(h->fragment);
	if (fragment & 0x1fff) {
		*later = 1;
		return MALFORMED_NONE;
	}
	/* ICMPv6 over IPv4 is no protocol. */
	if (p->protocol == PROTOCOL_ICMP6)
		p->protocol = PROTOCOL_OTHER;
	return transport(p, cur + header, end, total - header, fragment & 0x2000);
}

/* MAX_OFFSET bounds the offset of a header in its frame: Ethernet, two tags,
 * the fixed header, and the longest extension headers (2,048 bytes each). */
#define MAX_OFFSET (14 + 2 * 4 + 40 + MAX_EXTENSIONS * 2048)

static __always_inline int is_extension(__u32 next)
{
	switch (next) {
	case IP_HOPOPTS:
	case IP_ROUTING:
	case IP_FRAGMENT:
	case IP_AH:
	case IP_DSTOPTS:
	case IP_MOBILITY:
	case IP_HIP:
	case IP_SHIM6:
		return 1;
	}
	return 0;
}

/*
 * walk6 follows extension headers from w->offset until one that is none, or a
 * later fragment. It returns the malformed reason, or MALFORMED_NONE.
 */
__noinline __u32 walk6(struct xdp_md *ctx, struct walk *w)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 offset, next, left, len;

	if (!w)
		return MALFORMED_NONE;
	offset = w->offset;
	next = w->next;
	left = w->left;
	for (int i = 0; i <= MAX_EXTENSIONS; i++) {
		struct extension *x;

		if (!is_extension(next))
			break;
		if (i == MAX_EXTENSIONS)
			return MALFORMED_IP6_EXTENSION_DEEP;
		if (offset > MAX_OFFSET)
			return MALFORMED_IP6_EXTENSION_SHORT;
		x = data + offset;
		if (left < sizeof(*x) || (void *)(x + 1) > end)
			return MALFORMED_IP6_EXTENSION_SHORT;
		len = (x->len + 1) * 8;
		if (next == IP_AH) {
			len = (x->len + 2) * 4;
		} else if (next == IP_FRAGMENT) {
			len = sizeof(*x);
			w->more = x->fragment & bpf_htons(1);
			w->later = x->fragment & bpf_htons(0xfff8);
		}
		next = x->next;
		if (w->later)
			break;
		if (len > left)
			return MALFORMED_IP6_EXTENSION_SHORT;
		left -= len;
		offset += len;
	}
	w->offset = offset;
	w->next = next;
	w->left = left;
	return MALFORMED_NONE;
}

static __always_inline __u32 parse6(struct xdp_md *ctx, struct packet *p, void *cur, void *end,
				    __u32 flags, int *ip, int *later)
{
	void *data = (void *)(long)ctx->data;
	struct walk w = {};
	struct ip6 *h = cur;
	__u32 fault;

	if ((void *)(h + 1) > end)
		return MALFORMED_IP6_SHORT;
	if (h->version_class >> 4 != 6)
		return MALFORMED_IP6_VERSION;
	*ip = 1;
	p->six = 1;
	p->src = h->src;
	p->dst = h->dst;
	p->protocol = PROTOCOL_OTHER;
	p->hash = hash_address(p->src);
	judge6(p, flags);

	w.next = h->next;
	w.left = bpf_ntohs(h->payload_len);
	cur = h + 1;
	/* A jumbogram gives its length elsewhere (RFC 2675, section 3). */
	if (w.left == 0 && w.next == IP_HOPOPTS)
		w.left = end - cur;
	if (w.left > (__u64)(end - cur))
		return MALFORMED_IP6_PAYLOAD_LENGTH;
	if (is_extension(w.next)) {
		w.offset = cur - data;
		fault = walk6(ctx, &w);
		if (fault) {
			p->unread = fault == MALFORMED_IP6_EXTENSION_DEEP;
			return fault;
		}
		if (w.offset > MAX_OFFSET)
			return MALFORMED_IP6_EXTENSION_SHORT;
		cur = data + w.offset;
	}
	/* ICMP over IPv6 is no protocol. */
	if (w.next != IP_ICMP)
		p->protocol = protocol_of(w.next);
	if (w.later) {
		*later = 1;
		return MALFORMED_NONE;
	}
	return transport(p, cur, end, w.left, w.more);
}

#endif
