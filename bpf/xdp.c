//go:build ignore

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0

/*
 * The packet filter. For each frame that an interface receives it
 *
 *   1. reads Ethernet, up to two VLAN tags, IPv4 or IPv6 with a bounded walk
 *      over extension headers, and TCP, UDP, ICMP or ICMPv6;
 *   2. looks the source address up: block list first, and, only on a hit, the
 *      allow list, which wins;
 *   3. counts it: by protocol, verdict and reason, and in one slot for its
 *      source and one for its destination address and port.
 *
 * The lists are consulted as soon as the whole fixed IP header is there,
 * whatever else is wrong with the packet: a broken packet from a blocked
 * address is dropped, any other is passed to the stack and counted.
 *
 * Nothing here needs more than Linux 5.15.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "xdp.h"

/* ---- packet headers ---------------------------------------------------- */

/* EtherTypes (IEEE 802 numbers). */
#define ETHERTYPE_IP4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_VLAN 0x8100 /* 802.1Q */
#define ETHERTYPE_IP6 0x86DD
#define ETHERTYPE_QINQ 0x88A8 /* 802.1ad */
#define ETHERTYPE_QINQ_OLD 0x9100

/* MAX_TAGS is how many VLAN tags are followed. */
#define MAX_TAGS 2
/* MAX_EXTENSIONS is how many IPv6 extension headers are followed. */
#define MAX_EXTENSIONS 8
/* MAX_NESTED is how many expired prefixes around an address are looked past. */
#define MAX_NESTED 8

/* IP protocol numbers (IANA). */
#define IP_HOPOPTS 0
#define IP_ICMP 1
#define IP_TCP 6
#define IP_UDP 17
#define IP_ROUTING 43
#define IP_FRAGMENT 44
#define IP_AH 51
#define IP_ICMP6 58
#define IP_DSTOPTS 60
#define IP_MOBILITY 135
#define IP_HIP 139
#define IP_SHIM6 140

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_URG 0x20

struct ethernet {
	__u8 dst[6];
	__u8 src[6];
	__u16 type;
};

struct vlan {
	__u16 tci;
	__u16 type;
};

struct ip4 {
	__u8 version_ihl;
	__u8 tos;
	__u16 total_len;
	__u16 id;
	__u16 fragment;
	__u8 ttl;
	__u8 protocol;
	__u16 checksum;
	__u32 src;
	__u32 dst;
};

struct ip6 {
	__u8 version_class;
	__u8 class_flow[3];
	__u16 payload_len;
	__u8 next;
	__u8 hop_limit;
	struct address src;
	struct address dst;
};

/* extension is the start of every IPv6 extension header, and all of Fragment. */
struct extension {
	__u8 next;
	__u8 len;
	__u16 fragment;
	__u32 id;
};

struct tcp {
	__u16 src;
	__u16 dst;
	__u32 seq;
	__u32 ack;
	__u8 offset;
	__u8 flags;
	__u16 window;
	__u16 checksum;
	__u16 urgent;
};

struct udp {
	__u16 src;
	__u16 dst;
	__u16 len;
	__u16 checksum;
};

struct icmp {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__u32 rest;
};

/* ---- maps -------------------------------------------------------------- */

/* Set before the program is loaded, constant afterwards. */
const volatile __u32 possible_cpus = 1;
const volatile __u32 source_buckets = 64;      /* per processor and half; a power of 2 */
const volatile __u32 destination_buckets = 64; /* likewise */
const volatile __u64 hash_seed = 0;

/* numbers has no use but to keep its types in the object's type information,
 * from which the Go constants are generated. */
const volatile struct {
	enum protocol protocol;
	enum verdict verdict;
	enum reason reason;
	enum malformed malformed;
	enum class class;
	enum odd odd;
	enum action action;
	enum entry_flag entry_flag;
	enum setting setting;
	enum filter filter;
	struct capture capture;
} numbers;

/* The sizes of hosts*, subnets6, nets*, allow* and of the slot tables are set
 * by the host. */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu_state);
} cpus SEC(".maps");

/* filter16 holds one bit for each IPv4 /16: does any entry touch it? */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} filter16 SEC(".maps");

/* filter24 holds two bits (FILTER_*) for each IPv4 /24, a line for each /16. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct filter_line);
} filter24 SEC(".maps");

/* filter6 holds a byte of FILTER_* for each hash of a /48 and of a /32. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FILTER6_LINES);
	__type(key, __u32);
	__type(value, struct filter6_line);
} filter6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct entry);
} hosts4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct lpm4);
	__type(value, struct entry);
} nets4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct lpm4);
	__type(value, struct entry);
} allow4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct address);
	__type(value, struct entry);
} hosts6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct entry);
} subnets6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct lpm6);
	__type(value, struct entry);
} nets6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct lpm6);
	__type(value, struct entry);
} allow6 SEC(".maps");

/*
 * The slot tables: for each of two halves, for each processor, a power of two
 * of buckets of WAYS slots.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot_tags);
} source_tags SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct source_slot);
} sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot_tags);
} destination_tags SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct destination_slot);
} destinations SEC(".maps");

/*
 * captures leads to whoever captures dropped packets; empty most of the time.
 * Its buffers are bounded, and what finds no room is counted there. It is no
 * ring buffer, into which Linux 5.15 cannot copy a packet without a loop.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} captures SEC(".maps");

/* ---- one packet -------------------------------------------------------- */

struct packet {
	struct address src;
	struct address dst;
	__u32 bytes;
	__u32 port; /* destination port, 0 for what has none */
	__u32 protocol;
	__u32 class;
	__u32 note; /* what the class leaves out: the source port, or bits of enum odd */
	__u32 verdict;
	__u32 reason;
	__u32 six; /* 1 for IPv6 */
};

/* walk is where a walk over IPv6 extension headers stands. */
struct walk {
	__u32 offset; /* of the next header, from the start of the frame */
	__u32 next;   /* its protocol number */
	__u32 left;   /* bytes of the IP packet from there on */
	__u32 more;   /* other fragments follow */
	__u32 later;  /* this is a later fragment */
};

static __always_inline void add(struct counter *c, __u32 bytes)
{
	c->packets++;
	c->bytes += bytes;
}

/* mix is a keyed hash: who sends packets must not be able to choose its value. */
static __always_inline __u64 mix(__u64 x)
{
	x ^= hash_seed;
	x *= 0x9E3779B97F4A7C15ULL;
	x ^= x >> 32;
	x *= 0xD6E8FEB86659FD93ULL;
	x ^= x >> 29;
	return x;
}

static __always_inline __u64 mix_address(struct address a, __u32 six)
{
	__u64 x = mix(a.hi);

	/* An IPv4 address has nothing in lo. */
	return six ? mix(x ^ a.lo) : x;
}

/* ---- verdict ----------------------------------------------------------- */

static __always_inline int alive(const struct entry *e)
{
	return !e->expires || bpf_ktime_get_coarse_ns() < e->expires;
}

/* decide gives the verdict of an entry that matched and is not overridden. */
static __always_inline void decide(struct packet *p, struct entry *e, __u32 flags, __u32 reason)
{
	__sync_fetch_and_add(&e->hits, 1);
	p->reason = reason;
	if (e->action != ACTION_DROP)
		p->verdict = VERDICT_MONITORED;
	else if ((flags & SETTING_SIMULATE) || (e->flags & ENTRY_DRY_RUN))
		p->verdict = VERDICT_WOULD_DROP;
	else
		p->verdict = VERDICT_DROP;
}

/*
 * The functions without static are verified once, on their own, for any
 * argument; inlined, they would multiply the states of the parser.
 */

/* search4 looks the source up whose filter bits are given. */
__noinline int search4(struct packet *p, __u32 bits, __u32 flags)
{
	__u32 addr, reason = REASON_HOST4;
	struct entry *e = 0;
	struct lpm4 net;

	if (!p)
		return 0;
	addr = (__u32)p->src.hi;
	if (bits & FILTER_HOST) {
		e = bpf_map_lookup_elem(&hosts4, &addr);
		if (e && !alive(e))
			e = 0;
	}
	if (!e && (bits & FILTER_NET)) {
		reason = REASON_NET4;
		net.prefix_len = 32;
		net.addr = addr;
		for (int i = 0; i < MAX_NESTED; i++) {
			e = bpf_map_lookup_elem(&nets4, &net);
			if (!e || alive(e))
				break;
			/* Expired, not yet collected: the next wider one decides. */
			net.prefix_len = e->prefix_len - 1;
			e = 0;
			if (net.prefix_len > 32)
				break;
		}
	}
	if (!e)
		return 0;

	net.prefix_len = 32;
	net.addr = addr;
	if ((flags & SETTING_ALLOW4) && bpf_map_lookup_elem(&allow4, &net))
		p->verdict = VERDICT_ALLOWED;
	else
		decide(p, e, flags, reason);
	return 0;
}

static __always_inline void judge4(struct packet *p, __u32 flags)
{
	__u32 host = bpf_ntohl((__u32)p->src.hi), key = host >> 22, bits;
	struct filter_line *line;
	__u64 *word;

	word = bpf_map_lookup_elem(&filter16, &key);
	if (!word || !(*word >> ((host >> 16) & 63) & 1))
		return;
	key = host >> 16;
	line = bpf_map_lookup_elem(&filter24, &key);
	if (!line)
		return;
	bits = line->words[(host >> 13) & 7] >> (((host >> 8) & 31) * 2) & 3;
	if (bits)
		search4(p, bits, flags);
}

static __always_inline __u32 filter6_bits(__u64 prefix)
{
	__u64 h = mix(prefix);
	__u32 key = (h >> 6) & (FILTER6_LINES - 1);
	struct filter6_line *line = bpf_map_lookup_elem(&filter6, &key);

	return line ? line->flags[h & (LINE - 1)] : 0;
}

/* search6 looks the source up whose filter bits are given. */
__noinline int search6(struct packet *p, __u32 bits, __u32 flags)
{
	struct entry *e = 0, *subnet = 0;
	__u32 reason = REASON_HOST6;
	struct address addr;
	struct lpm6 net;

	if (!p)
		return 0;
	/* A copy: before Linux 5.18 no key may lie in memory that was passed. */
	addr = p->src;
	if (bits & FILTER_HOST) {
		e = bpf_map_lookup_elem(&hosts6, &addr);
		if (e && !alive(e))
			e = 0;
	}
	if (!e) {
		/* The longer of a /64 and of what the trie knows decides. */
		reason = REASON_NET6;
		if (bits & FILTER_SUBNET) {
			subnet = bpf_map_lookup_elem(&subnets6, &addr.hi);
			if (subnet && !alive(subnet))
				subnet = 0;
		}
		if (bits & FILTER_NET) {
			net.prefix_len = 128;
			__builtin_memcpy(net.addr, &addr, sizeof(net.addr));
			for (int i = 0; i < MAX_NESTED; i++) {
				e = bpf_map_lookup_elem(&nets6, &net);
				if (!e || alive(e))
					break;
				net.prefix_len = e->prefix_len - 1;
				e = 0;
				if (net.prefix_len > 128)
					break;
			}
		}
		if (subnet && (!e || e->prefix_len < 64))
			e = subnet;
	}
	if (!e)
		return 0;

	net.prefix_len = 128;
	__builtin_memcpy(net.addr, &addr, sizeof(net.addr));
	if ((flags & SETTING_ALLOW6) && bpf_map_lookup_elem(&allow6, &net))
		p->verdict = VERDICT_ALLOWED;
	else
		decide(p, e, flags, reason);
	return 0;
}

static __always_inline void judge6(struct packet *p, __u32 flags)
{
	__u32 bits;
	__u64 host;

	if (!(flags & SETTING_LIST6))
		return;
	host = bpf_be64_to_cpu(p->src.hi);
	bits = filter6_bits(host >> 16 << 16) | filter6_bits(host >> 32 << 32 | 1);
	if (flags & SETTING_WIDE6)
		bits |= FILTER_NET;
	if (bits)
		search6(p, bits, flags);
}

/* ---- headers above IP -------------------------------------------------- */

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

		if (len < sizeof(*h) || (void *)(h + 1) > end)
			return MALFORMED_TCP_SHORT;
		words = h->offset >> 4;
		if (words < 5 || (!more && words * 4 > len))
			return MALFORMED_TCP_OFFSET;
		p->port = bpf_ntohs(h->dst);
		p->class = tcp_class(h->flags);
		if (p->class == CLASS_ODD)
			p->note = odd_kind(h->flags);
		return MALFORMED_NONE;
	}
	case PROTOCOL_UDP: {
		struct udp *h = cur;
		__u32 want;

		if (len < sizeof(*h) || (void *)(h + 1) > end)
			return MALFORMED_UDP_SHORT;
		want = bpf_ntohs(h->len);
		/* Zero stands for a jumbogram (RFC 2675, section 4). */
		if (!(want == 0 && p->six) && (want < sizeof(*h) || (!more && want > len)))
			return MALFORMED_UDP_LENGTH;
		p->port = bpf_ntohs(h->dst);
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
static __always_inline __u32 parse4(struct packet *p, void *cur, void *end, __u32 flags, int *ip, int *later)
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

static __always_inline __u32 parse6(struct xdp_md *ctx, struct packet *p, void *cur, void *end, __u32 flags,
				  int *ip, int *later)
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
		if (fault)
			return fault;
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

/* ---- slots ------------------------------------------------------------- */

/*
 * pick_way returns the way that has the tag, else the first that no key took in
 * this epoch, else a way that the hash chooses, whose slot has to be contended for.
 */
static __always_inline __u32 pick_way(const struct slot_tags *t, __u32 tag, __u64 hash)
{
#pragma unroll
	for (__u32 i = 0; i < WAYS; i++)
		if (t->way[i] == tag)
			return i;
#pragma unroll
	for (__u32 i = 0; i < WAYS; i++)
		if ((t->way[i] ^ tag) >> 16)
			return i;
	return (hash >> 48) & (WAYS - 1);
}

/*
 * YIELDS tells whether a slot that another key took in this epoch gives way: it
 * does when it was wanted by others as often as it was used, so that who sends
 * much stays.
 */
#define YIELDS(slot, loss)                                     \
	({                                                     \
		int yields_ = ++(slot)->misses >= (slot)->packets; \
		if (yields_) {                                 \
			(loss)->evicted++;                     \
			(loss)->evicted_packets += (slot)->packets; \
		} else {                                       \
			(loss)->missed_packets++;              \
		}                                              \
		yields_;                                       \
	})

/* COUNT adds the packet to the counters that both kinds of slot have. */
#define COUNT(slot, p)                                         \
	({                                                     \
		(slot)->packets++;                             \
		(slot)->bytes += (p)->bytes;                   \
		if ((p)->class < CLASS_COUNT)                  \
			(slot)->counts[(p)->class]++;          \
		if ((p)->class == CLASS_ODD)                   \
			(slot)->odd |= (p)->note;              \
		else if ((p)->class == CLASS_REFLECT)          \
			(slot)->service = (p)->note;           \
		if ((p)->verdict == VERDICT_DROP)              \
			(slot)->counts[CLASS_DROPPED]++;       \
		else if ((p)->verdict == VERDICT_WOULD_DROP)   \
			(slot)->counts[CLASS_WOULD_DROP]++;    \
	})

static __always_inline void count_source(struct cpu_state *cpu, __u32 half, __u32 epoch, const struct packet *p,
					 __u64 src, __u64 dst)
{
	__u32 bucket = half * source_buckets + (src & (source_buckets - 1)), key;
	__u32 owner = epoch << 1 | p->six;
	__u32 tag = epoch << 16 | ((src >> 32) & 0xffff);
	__u32 last = (__u32)dst ^ (p->port * 0x9E3779B1U) ^ 1, way;
	struct slot_tags *tags = bpf_map_lookup_elem(&source_tags, &bucket);
	struct source_slot *s;
	__u64 bit, hash;

	if (!tags)
		return;
	way = pick_way(tags, tag, src);
	key = bucket * WAYS + way;
	s = bpf_map_lookup_elem(&sources, &key);
	if (!s)
		return;
	if (s->owner != owner || s->addr.hi != p->src.hi || s->addr.lo != p->src.lo) {
		if (s->owner >> 1 == (epoch & 0x7fffffff) && !YIELDS(s, &cpu->sources))
			return;
		tags->way[way & (WAYS - 1)] = tag;
		/* last_destination and sample are written before they are read. */
		__builtin_memset(s, 0, __builtin_offsetof(struct source_slot, last_destination));
		s->addr = p->src;
		s->owner = owner;
	}
	COUNT(s, p);

	if (s->last == last)
		return;
	s->last = last;
	s->peers |= 1ULL << (dst >> 58);
	s->last_destination = p->dst;
	if (!p->port)
		return;
	hash = mix(p->port);
	bit = 1ULL << (hash >> 58);
	if (s->ports[(hash >> 56) & 3] & bit)
		return;
	s->ports[(hash >> 56) & 3] |= bit;
	if (s->samples < PORT_SAMPLE) {
		s->sample[s->samples & (PORT_SAMPLE - 1)] = p->port;
		s->samples++;
	}
}

static __always_inline void count_destination(struct cpu_state *cpu, __u32 half, __u32 epoch, const struct packet *p,
					      __u64 src, __u64 dst)
{
	__u64 hash = mix(dst ^ p->port);
	__u32 bucket = half * destination_buckets + (hash & (destination_buckets - 1)), key;
	__u32 owner = epoch << 1 | p->six;
	__u32 tag = epoch << 16 | ((hash >> 32) & 0xffff), way;
	struct slot_tags *tags = bpf_map_lookup_elem(&destination_tags, &bucket);
	struct destination_slot *s;

	if (!tags)
		return;
	way = pick_way(tags, tag, src);
	key = bucket * WAYS + way;
	s = bpf_map_lookup_elem(&destinations, &key);
	if (!s)
		return;
	if (s->owner != owner || s->port != p->port || s->addr.hi != p->dst.hi || s->addr.lo != p->dst.lo) {
		if (s->owner >> 1 == (epoch & 0x7fffffff) && !YIELDS(s, &cpu->destinations))
			return;
		tags->way[way & (WAYS - 1)] = tag;
		__builtin_memset(s, 0, sizeof(*s));
		s->addr = p->dst;
		s->owner = owner;
		s->port = p->port;
	}
	COUNT(s, p);
	s->peers[(src >> 56) & 3] |= 1ULL << (src >> 58);
}

/* account counts the packet in the slots of its source and its destination. */
static __always_inline int account(struct packet *p, __u32 cpu_id, __u32 epoch)
{
	struct cpu_state *cpu = bpf_map_lookup_elem(&cpus, &cpu_id);
	__u32 half = (epoch & 1) * possible_cpus + cpu_id;
	__u64 src, dst;

	if (!cpu || !p)
		return 0;
	src = mix_address(p->src, p->six);
	dst = mix_address(p->dst, p->six);
	count_source(cpu, half, epoch, p, src, dst);
	count_destination(cpu, half, epoch, p, src, dst);
	return 0;
}

/* show gives a dropped packet to who captures them. */
__noinline int show(struct xdp_md *ctx, __u32 length, __u32 verdict, __u32 reason)
{
	struct capture c = {
		.time = bpf_ktime_get_ns(),
		.length = length,
		.verdict = verdict,
		.reason = reason,
	};
	__u64 bytes = length < CAPTURE_BYTES ? length : CAPTURE_BYTES;

	bpf_perf_event_output(ctx, &captures, BPF_F_CURRENT_CPU | bytes << 32, &c, sizeof(c));
	return 0;
}

/* ---- program ----------------------------------------------------------- */

SEC("xdp")
int ironpost_xdp(struct xdp_md *ctx)
{
	void *cur = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 zero = 0, cpu_id = bpf_get_smp_processor_id();
	struct ethernet *ethernet = cur;
	struct packet p = {
		.bytes = end - cur,
		.class = CLASS_OTHER,
		.protocol = PROTOCOL_UNKNOWN,
	};
	__u64 fault = MALFORMED_NONE;
	int ip = 0, later = 0;
	struct settings *set;
	struct cpu_state *cpu;
	__u16 type;

	set = bpf_map_lookup_elem(&settings, &zero);
	cpu = bpf_map_lookup_elem(&cpus, &cpu_id);
	if (!set || !cpu)
		return XDP_PASS;

	if ((void *)(ethernet + 1) > end) {
		fault = MALFORMED_ETHERNET_SHORT;
		goto parsed;
	}
	type = bpf_ntohs(ethernet->type);
	cur = ethernet + 1;
#pragma unroll
	for (int i = 0; i <= MAX_TAGS; i++) {
		struct vlan *tag = cur;

		if (type != ETHERTYPE_VLAN && type != ETHERTYPE_QINQ && type != ETHERTYPE_QINQ_OLD)
			break;
		if (i == MAX_TAGS) {
			add(&cpu->deep_vlan, p.bytes);
			if (set->flags & SETTING_DROP_DEEP_VLAN) {
				p.reason = REASON_DEEP_VLAN;
				p.verdict = set->flags & SETTING_SIMULATE ? VERDICT_WOULD_DROP : VERDICT_DROP;
			}
			break;
		}
		if ((void *)(tag + 1) > end) {
			fault = MALFORMED_VLAN_SHORT;
			goto parsed;
		}
		type = bpf_ntohs(tag->type);
		cur = tag + 1;
	}

	switch (type) {
	case ETHERTYPE_IP4:
		fault = parse4(&p, cur, end, set->flags, &ip, &later);
		break;
	case ETHERTYPE_IP6:
		fault = parse6(ctx, &p, cur, end, set->flags, &ip, &later);
		break;
	case ETHERTYPE_ARP:
		p.protocol = PROTOCOL_ARP;
		break;
	default:
		p.protocol = PROTOCOL_NON_IP;
	}

parsed:
	/* The bound must be checked on the register that is used. */
	asm volatile("" : "+r"(fault));
	if (fault && fault < MALFORMED_COUNT)
		cpu->malformed[fault]++;
	if (later)
		add(&cpu->fragments, p.bytes);
	if (p.protocol < PROTOCOL_COUNT)
		add(&cpu->protocols[p.protocol], p.bytes);
	/* What passed without further ado is the rest of what came. */
	if (p.verdict && p.verdict < VERDICT_COUNT) {
		add(&cpu->verdicts[p.verdict], p.bytes);
		if (p.verdict == VERDICT_DROP && p.reason < REASON_COUNT)
			add(&cpu->drops[p.reason], p.bytes);
		else if (p.verdict == VERDICT_WOULD_DROP && p.reason < REASON_COUNT)
			add(&cpu->would_drops[p.reason], p.bytes);
		if ((set->flags & SETTING_CAPTURE) && p.verdict >= VERDICT_WOULD_DROP)
			show(ctx, p.bytes, p.verdict, p.reason);
	}

	if (ip)
		account(&p, cpu_id, set->epoch);
	return p.verdict == VERDICT_DROP ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
